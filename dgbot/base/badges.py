"""Small pieces of HTML that the admin and our pages share; their colours stand in `monitoring/admin.css`."""

from decimal import Decimal
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dgbot.base.display import amount, mode_label, signed


def mode_badge(mode: str, *, is_demo: bool = False) -> SafeString:
    """LIVE in unmistakable red; everything else says that it is not."""
    label = mode_label(mode, is_demo=is_demo)
    return format_html('<span class="dg-badge dg-{}">{}</span>', label.lower(), label)


def state_badge(kind: str, label: Any) -> SafeString:
    """A word in the colour of `kind`: good, bad, warn, busy or quiet."""
    return format_html('<span class="dg-state dg-{}">{}</span>', kind, label)


def profit(value: Decimal | None, currency: str = "KRW") -> SafeString:
    """Signed and coloured; the sign alone tells it, too."""
    kind = "quiet" if value is None or value == 0 else "gain" if value > 0 else "loss"
    return format_html('<span class="dg-number dg-{}">{}</span>', kind, signed(value, currency))


def number(text: Any) -> SafeString:
    """Digits of equal width, kept on one line."""
    return format_html('<span class="dg-number">{}</span>', text)


def quantity(value: Decimal | None) -> SafeString:
    """A base amount."""
    return number(amount(value))


def short(text: str, *, limit: int = 90) -> SafeString:
    """The beginning of a long text, the whole of it on hovering."""
    return format_html('<span title="{}">{}</span>', text, text if len(text) <= limit else f"{text[: limit - 1]}…")
