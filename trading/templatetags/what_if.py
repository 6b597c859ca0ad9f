"""Numbers of the what-if panel and of the screener."""

from decimal import Decimal

from django import template
from django.utils.safestring import SafeString

from dgbot.base.badges import profit

register = template.Library()


@register.filter
def as_profit(value: Decimal, currency: str) -> SafeString:
    """Signed and coloured."""
    return profit(value, currency)


@register.filter
def as_percent(fraction: float | None) -> str:
    """A fraction as percent; a dash for what is unknown."""
    return "–" if fraction is None else f"{fraction * 100:.2f} %"


@register.filter
def as_reading(value: float | None) -> str:
    """A screener's reading; a dash for what is unknown."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
