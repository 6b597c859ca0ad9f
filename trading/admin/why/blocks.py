"""What a moment of a story is made of. The template draws each kind; every text in it is escaped there."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from dgbot.core.money import plain

SHOWN_DECIMALS = 8
NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(E-[0-9]{1,2})?")


@dataclass(frozen=True)
class Fact:
    """A label and its value. known_at: when the platform knew it. A value of None is unknown, and shown so."""

    label: Any
    value: Any
    known_at: datetime | None = None
    is_code: bool = False  # a hash or an id, in letters of equal width


@dataclass(frozen=True)
class Facts:
    """Facts, one below the other."""

    rows: tuple[Fact, ...]
    title: Any = ""
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Check:
    """One rule's answer: its tone, its word, what it compared and with which limit."""

    tone: str
    word: Any
    name: str
    value: str = ""
    limit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Checks:
    """Rules, one below the other. note: what was not asked."""

    rows: tuple[Check, ...]
    title: Any = ""
    note: str = ""
    kind: ClassVar[str] = "checks"


@dataclass(frozen=True)
class Words:
    """Somebody's words, as they came. Long ones wait behind their title."""

    title: Any
    text: str
    is_folded: bool = True
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Table:
    """Rows under headings."""

    headings: tuple[Any, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: Any = ""
    kind: ClassVar[str] = "table"


Block = Facts | Checks | Words | Table


def instant(text: Any) -> datetime | None:
    """A stored time; None when there is none or it cannot be read."""
    if isinstance(text, datetime) or text is None:
        return text
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def number(text: Any) -> Decimal | None:
    """A stored number; None when it is unknown or none."""
    try:
        found = None if text is None or isinstance(text, bool) else Decimal(str(text))
    except InvalidOperation:
        return None
    return found if found is None or found.is_finite() else None


def told(value: Any) -> Any:
    """A stored value in words: yes and no, plain digits, lists with commas; None stays None."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, float):
        return plain(round(Decimal(repr(value)), SHOWN_DECIMALS)) if math.isfinite(value) else None
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(map(str, value)) if _is_flat(value) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _as_number(value) if isinstance(value, str) else str(value)


def _as_number(text: str) -> str:
    """A number without the zeros and the exponent of its column; any other text as it is."""
    return plain(round(Decimal(text), SHOWN_DECIMALS)) if NUMBER.fullmatch(text) else text


def facts_of(row: Mapping[str, Any], *, title: Any = "") -> Facts:
    """Every name with its value, as stored."""
    return Facts(tuple(Fact(name.replace("_", " "), told(value)) for name, value in row.items()), title=title)


def evidence(row: Mapping[str, Any]) -> str:
    """A short JSON object as one line: `name value · name value`."""
    return " · ".join(f"{name.replace('_', ' ')} {told(value)}" for name, value in row.items() if value not in (None, "", {}, []))


def reasons(rows: Iterable[Any], *, tone: str, word: Any, title: Any = "") -> Checks | None:
    """Stored reasons with value, limit and remedy; None when there are none."""
    items = [row if isinstance(row, Mapping) else {"message": str(row)} for row in rows]
    checks = tuple(
        Check(
            tone=tone,
            word=word,
            name=str(item.get("message") or item.get("code") or ""),
            value=str(item.get("value") or ""),
            limit=str(item.get("limit") or ""),
            note=str(item.get("remedy") or ""),
        )
        for item in items
    )
    return Checks(checks, title=title) if checks else None


def _is_flat(value: Any) -> bool:
    return isinstance(value, list | tuple) and not any(isinstance(one, Mapping | list | tuple) for one in value)
