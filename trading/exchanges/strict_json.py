"""JSON from outside, read strictly: decimals stay decimals, and nothing that is no number counts as one.

Refused are NaN and Infinity, duplicate keys, numbers too long to be money, nesting too deep, and text that is not UTF-8.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from dgbot.core.money import LARGEST

LONGEST_NUMBER = 64  # characters
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
SMALLEST_EXPONENT = -40  # digits after the point; money has 18
LATEST_MS = 4_102_444_800_000  # the year 2100: seconds, microseconds and nonsense fall outside
EARLIEST_MS = 1_262_304_000_000  # the year 2010


class Unreadable(ValueError):
    """An answer that says nothing we can use."""


def loads(raw: bytes | str) -> object:
    """The value written in `raw`; numbers with a point or exponent become Decimal. Raises Unreadable."""
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return json.loads(text, parse_float=_number, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the answer is no JSON that can be used: {str(error)[:200] or type(error).__name__}") from None


def mapping(value: object, *, name: str) -> Mapping[str, object]:
    """An object. Raises Unreadable."""
    if not isinstance(value, dict):
        raise Unreadable(f"{name} must be an object, was {_shown(value)}")
    return value


def sequence(value: object, *, name: str) -> Sequence[object]:
    """A list. Raises Unreadable."""
    if not isinstance(value, list):
        raise Unreadable(f"{name} must be a list, was {_shown(value)}")
    return value


def words(row: Mapping[str, object], name: str) -> str:
    """A text of at most 200 characters that is not empty. Raises Unreadable."""
    value = row.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise Unreadable(f"{name} must be a text, was {_shown(value)}")
    return value


def decimal(row: Mapping[str, object], name: str, *, least: Decimal | None = Decimal(0)) -> Decimal:
    """A finite number, sent as a number or as text, not below `least` (None: any sign). Raises Unreadable."""
    value = row.get(name)
    number = _as_decimal(value)
    if number is None or (least is not None and number < least):
        raise Unreadable(f"{name} must be a number{'' if least is None else f' from {least} on'}, was {_shown(value)}")
    return number


def positive(row: Mapping[str, object], name: str) -> Decimal:
    """A finite number above zero. Raises Unreadable."""
    number = decimal(row, name)
    if not number:
        raise Unreadable(f"{name} must be above zero, was {_shown(row.get(name))}")
    return number


def optional(row: Mapping[str, object], name: str) -> Decimal | None:
    """A number from zero on; None where the field is absent or null. Raises Unreadable."""
    return None if row.get(name) is None else decimal(row, name)


def whole(row: Mapping[str, object], name: str) -> int:
    """A whole number from zero on. Raises Unreadable."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unreadable(f"{name} must be a whole number, was {_shown(value)}")
    return value


def moment_of_ms(row: Mapping[str, object], name: str) -> datetime:
    """The aware UTC time of milliseconds since 1970. Raises Unreadable for anything that cannot be milliseconds of our days."""
    number = _as_decimal(row.get(name))
    if number is None or not EARLIEST_MS <= number <= LATEST_MS:
        raise Unreadable(f"{name} must be milliseconds since 1970, was {_shown(row.get(name))}")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(number))


def moment(row: Mapping[str, object], name: str, *, zone: timedelta | None = None) -> datetime:
    """An ISO 8601 time, with or without a fraction, as aware UTC. zone: what holds when none is written. Raises Unreadable."""
    text = words(row, name)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"{name} must be a time, was {_shown(text)}") from None
    if parsed.tzinfo is None:
        if zone is None:
            raise Unreadable(f"{name} must be a time with its zone, was {_shown(text)}")
        parsed = (parsed - zone).replace(tzinfo=UTC)
    return parsed.astimezone(UTC)


def _as_decimal(value: object) -> Decimal | None:
    """The number, or None for what is none, is not finite, or would be absurd as money or time."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if _is_sane(number) else None


def _is_sane(number: Decimal) -> bool:
    """Checked before any arithmetic: spelled out, 1e999999 has a million digits."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):  # NaN and infinity have a letter there
        return False
    return exponent >= SMALLEST_EXPONENT and number.adjusted() <= LARGEST.adjusted() and abs(number) < LARGEST


def _number(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} characters; at most {LONGEST_NUMBER} are read")
    return Decimal(text)


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} characters; at most {LONGEST_NUMBER} are read")
    return int(text)


def _constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same key twice")
    return made


def _shown(value: object) -> str:
    return repr(value)[:60]
