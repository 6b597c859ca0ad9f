"""Numbers as people read them: thousands separators, a sign where it matters, no eighteen zeros. Unknown stays unknown."""

from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dgbot.core.money import plain

WHOLE_FROM = Decimal(100)  # from here on KRW needs no decimals
MYRIADS = (("조", 10**12), ("억", 10**8), ("만", 10**4))
BASE_PLACES, SMALL_PLACES = 8, 4
CENT_CURRENCIES = ("USD", "USDT", "USDC")


def money(value: Decimal | None, currency: str = "KRW") -> str:
    """A price or a sum with its thousands separated, without the currency's name."""
    if value is None:
        return _("unknown")
    return f"{value.quantize(Decimal(1).scaleb(-_places(value, currency)), rounding=ROUND_HALF_EVEN):,f}"


def amount(value: Decimal | None) -> str:
    """A quantity of the base currency, at most eight decimals, without trailing zeros."""
    if value is None:
        return _("unknown")
    whole, _dot, decimals = plain(value.quantize(Decimal(1).scaleb(-BASE_PLACES), rounding=ROUND_HALF_EVEN)).partition(".")
    return f"{int(whole):,}" + (f".{decimals}" if decimals else "") if whole != "-0" else f"-0.{decimals}"


def signed(value: Decimal | None, currency: str = "KRW") -> str:
    """`money` with its sign, also for a gain."""
    text = money(value, currency)
    return f"+{text}" if value is not None and value > 0 else text


def korean_units(value: Decimal) -> str:
    """A sum as Koreans read it: 123456789 is `1억 2,345만 6,789`. Empty below ten thousand, where it says nothing more."""
    rest = int(abs(value).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    if rest < MYRIADS[-1][1]:
        return ""
    parts = []
    for unit, size in (*MYRIADS, ("", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,}{unit}")
    return ("-" if value < 0 else "") + " ".join(parts)


def percent(fraction: Decimal | None, *, places: int = 2, with_sign: bool = False) -> str:
    """A fraction as percent: 0.0123 is `1.23 %`."""
    if fraction is None:
        return _("unknown")
    return f"{fraction * 100:{'+' if with_sign else ''}.{places}f} %"


def age(duration: timedelta | None) -> str:
    """How long ago in its largest unit: `3 s`, `12 min`, `5 h`, `8 d`."""
    if duration is None:
        return _("unknown")
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 120:
        return ngettext("%(count)d s", "%(count)d s", seconds) % {"count": seconds}
    if seconds < 7200:
        return ngettext("%(count)d min", "%(count)d min", seconds // 60) % {"count": seconds // 60}
    if seconds < 172_800:
        return ngettext("%(count)d h", "%(count)d h", seconds // 3600) % {"count": seconds // 3600}
    return ngettext("%(count)d d", "%(count)d d", seconds // 86_400) % {"count": seconds // 86_400}


def mode_label(mode: str, *, is_demo: bool) -> str:
    """The word on a badge: LIVE is real money and nothing else is."""
    return "DEMO" if is_demo else mode.upper()


def _places(value: Decimal, currency: str) -> int:
    if currency in CENT_CURRENCIES:
        return 2 if abs(value) >= 1 or value == 0 else SMALL_PLACES
    if abs(value) >= WHOLE_FROM or value == 0:
        return 0
    return 2 if abs(value) >= 1 else SMALL_PLACES
