"""Loss breakers on equity: a trading day, seven of them, the fall from the peak, and losing trades in a row.

Equity holds open positions and fees. What was paid in or out is not profit: everything is counted on equity − capital, where capital
is what the account was given net of withdrawals, or a bot's allocation. A release starts the count anew at the profit it found;
otherwise the next look would trip at once again. Source: requirements §2.5 with W-08; docs/decisions/0015-a-release-counts-anew.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from risk.domain.days import week_start
from risk.domain.reasons import Reason

HUNDRED = Decimal(100)
REMEDY = "Find the cause, then release safe mode with a reason."


@dataclass(frozen=True)
class LossLimits:
    """Fractions of `base`, the money the limits refer to in quote currency; of the peak for the drawdown. None: not limited."""

    base: Decimal
    daily_fraction: Decimal | None
    weekly_fraction: Decimal | None
    drawdown_fraction: Decimal | None = None
    loss_streak: int | None = None


@dataclass(frozen=True)
class Mark:
    """Equity and the capital in it at one instant, quote currency."""

    equity: Decimal
    capital: Decimal

    @property
    def profit(self) -> Decimal:
        """What was earned over all time; for an account without known deposits its first equity is in it, which cancels out."""
        return self.equity - self.capital


@dataclass(frozen=True)
class DayStart:
    """The first mark of one trading day."""

    day: date
    mark: Mark


@dataclass(frozen=True)
class Released:
    """The newest release of safe mode: from here losses are counted anew."""

    day: date
    profit: Decimal


@dataclass(frozen=True)
class Losses:
    """How much is lost, quote currency, negative when lost. drawdown: fraction of the peak; None when it is not positive."""

    daily_pnl: Decimal
    weekly_pnl: Decimal
    peak_profit: Decimal
    drawdown: Decimal | None
    loss_streak: int = 0


def losses(
    *,
    now: Mark,
    today: date,
    starts: Sequence[DayStart],
    peak_profit: Decimal | None,
    loss_streak: int = 0,
    released: Released | None = None,
) -> Losses:
    """Profit and loss up to `now` as the breakers count it.

    starts: the first marks of known trading days in any order; those before the last seven are left out, and a day or week without
    a mark starts now. peak_profit: highest profit so far, None at the first look. A release within day or week replaces their start.
    """
    first_day = week_start(today)
    week = sorted((start for start in starts if first_day <= start.day <= today), key=lambda start: start.day)
    day_profit = week[-1].mark.profit if week and week[-1].day == today else now.profit
    week_profit = week[0].mark.profit if week else now.profit
    if released is not None and released.day == today:
        day_profit = released.profit
    if released is not None and released.day >= first_day:
        week_profit = released.profit
    peak = now.profit if peak_profit is None else max(peak_profit, now.profit)
    highest = peak + now.capital
    return Losses(
        daily_pnl=now.profit - day_profit,
        weekly_pnl=now.profit - week_profit,
        peak_profit=peak,
        drawdown=(peak - now.profit) / highest if highest > 0 else None,
        loss_streak=loss_streak,
    )


def tripped(*, losses: Losses, limits: LossLimits, whose: str) -> tuple[Reason, ...]:
    """Every breaker that acts; reaching a limit trips it. A base that is not positive can lose nothing: only the other two are judged."""
    found = []
    for code, word, pnl, fraction in (
        ("daily_loss", "today", losses.daily_pnl, limits.daily_fraction),
        ("weekly_loss", "in 7 trading days", losses.weekly_pnl, limits.weekly_fraction),
    ):
        if fraction is not None and limits.base > 0 and pnl <= -fraction * limits.base:
            found.append(_lost(code, f"{whose} lost", word, lost=-pnl / limits.base, limit=fraction))
    if limits.drawdown_fraction is not None and losses.drawdown is not None and losses.drawdown >= limits.drawdown_fraction:
        found.append(_lost("drawdown", f"{whose} fell", "from its peak", lost=losses.drawdown, limit=limits.drawdown_fraction))
    if limits.loss_streak is not None and losses.loss_streak >= limits.loss_streak:
        found.append(
            Reason(
                code="loss_streak",
                message=(
                    f"{whose} lost {losses.loss_streak} trades in a row; the limit is {limits.loss_streak}."
                    " Entries are blocked until safe mode is released."
                ),
                value=str(losses.loss_streak),
                limit=str(limits.loss_streak),
                remedy=REMEDY,
            )
        )
    return tuple(found)


def next_streak(streak: int, *, profit: Decimal) -> int:
    """Losing trades in a row after one more closed position; a draw neither adds to a streak nor ends it."""
    if profit > 0:
        return 0
    return streak + 1 if profit < 0 else streak


def _lost(code: str, what: str, word: str, *, lost: Decimal, limit: Decimal) -> Reason:
    return Reason(
        code=code,
        message=(
            f"{what} {lost * HUNDRED:.2f} % {word}; the limit is {limit * HUNDRED:.2f} %. Entries are blocked until safe mode is released."
        ),
        value=f"{lost * HUNDRED:.4f} %",
        limit=f"{limit * HUNDRED:.4f} %",
        remedy=REMEDY,
    )
