"""Loss breakers on equity: money lost in a trading day or in seven, open positions and fees included."""

from dataclasses import dataclass
from decimal import Decimal

from risk.domain.reasons import Reason


@dataclass(frozen=True)
class LossLimits:
    """Fractions of `base`, the money the limits refer to in quote currency."""

    base: Decimal
    daily_fraction: Decimal
    weekly_fraction: Decimal


def tripped(*, daily_pnl: Decimal, weekly_pnl: Decimal, limits: LossLimits, whose: str) -> Reason | None:
    """The breaker that acts, the daily one first, or None. Profit and loss in quote currency; reaching a limit trips it."""
    for code, word, pnl, fraction in (
        ("daily_loss", "today", daily_pnl, limits.daily_fraction),
        ("weekly_loss", "in 7 trading days", weekly_pnl, limits.weekly_fraction),
    ):
        if pnl <= -fraction * limits.base:
            lost = -pnl / limits.base * 100
            return Reason(
                code=code,
                message=(
                    f"{whose} lost {lost:.2f} % {word}; the limit is {fraction * 100:.2f} %."
                    " Entries are blocked until safe mode is released."
                ),
                value=f"{lost:.4f} %",
                limit=f"{fraction * 100:.4f} %",
                remedy="Find the cause, then release safe mode with a reason.",
            )
    return None
