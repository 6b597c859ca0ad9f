"""Numbers of a report as people read them. Unknown is a dash, never a zero."""

import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils.translation import gettext as _

from backtests import report_words as words
from dgbot.base import display

register = template.Library()
UNKNOWN = "–"


@register.filter
def metric(value: Any, kind: str, currency: str = "KRW") -> str:
    """A metric by its kind."""
    if value is None:
        return UNKNOWN
    if kind == words.PERCENT:
        return f"{100 * value:.2f} %"
    if kind == words.MONEY:
        return display.money(Decimal(repr(value)), currency)
    if kind == words.COUNT:
        return f"{value:,}"
    return f"{value:,.1f}" if kind == words.BARS and value != int(value) else f"{value:,.0f}" if kind == words.BARS else f"{value:.2f}"


@register.filter
def percent(value: float | None) -> str:
    """A fraction, signed."""
    return UNKNOWN if value is None else f"{100 * value:+.2f} %"


@register.filter
def short_percent(value: float | None) -> str:
    """A fraction in a narrow cell."""
    return "" if value is None else f"{100 * value:+.1f}"


@register.filter
def heat(value: float | None, most: float) -> str:
    """The class of a cell: g1 to g4 for gains, l1 to l4 for losses, by its share of the largest."""
    if value is None or not most or not value:
        return ""
    return f"{'g' if value > 0 else 'l'}{max(1, math.ceil(4 * min(1.0, abs(value) / most)))}"


@register.filter
def below(count: int, tallest: int) -> int:
    """Where a bar begins that stands on the ground, in a picture as high as the tallest."""
    return tallest - count


@register.filter
def sign(value: float | None) -> str:
    """The class of a signed number."""
    return "" if not value else "gain" if value > 0 else "loss"


@register.simple_tag
def sum_of(value: float | None, currency: str) -> str:
    """Money, signed."""
    return UNKNOWN if value is None else display.signed(Decimal(repr(value)), currency)


@register.simple_tag
def price(value: float | None, currency: str) -> str:
    """Money."""
    return UNKNOWN if value is None else display.money(Decimal(repr(value)), currency)


@register.filter
def moment(text: str) -> str:
    """An ISO time to the minute, UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if text else UNKNOWN


@register.filter
def word(name: str) -> Any:
    """An assumption or an exit in the reader's language; parameters keep their names."""
    return words.ASSUMPTIONS.get(name) or words.EXITS.get(name) or name.replace("_", " ")


@register.filter
def assumed(value: Any, name: str = "") -> Any:
    """An assumption's value as text, in the unit its name asks for."""
    if value in (None, "", [], ()):
        return UNKNOWN
    if name in words.SWITCHED_OFF_BY_ZERO and not float(value):
        return _("off")
    kind = next((kind for names, kind in _UNITS.items() if name in names), _as_text)
    return kind(value)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, list | tuple):
        return "; ".join(", ".join(str(part) for part in (one.values() if isinstance(one, dict) else one)) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


_UNITS: dict[frozenset[str], Any] = {
    words.FRACTIONS: lambda value: f"{100 * float(value):.4g} %",
    words.AMOUNTS: lambda value: f"{Decimal(str(value)):,f}",
    frozenset(("spacing",)): lambda value: display.age(timedelta(seconds=float(value))),
    frozenset(("from", "to")): moment,
}


@register.filter
def quality(value: str | None) -> Any:
    """A series' quality in words."""
    return words.QUALITIES.get(value or "", UNKNOWN)
