"""Each limit with how much of it is used, for pages and the API. What is unknown stays unknown: its value is None."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from risk.domain.breakers import Losses
from risk.domain.exposure import Bound
from risk.domain.limits import EffectiveLimits

ZERO, ONE = Decimal(0), Decimal(1)


class Unit(StrEnum):
    """How value and limit read."""

    FRACTION = "fraction"
    MONEY = "money"
    COUNT = "count"
    SECONDS = "seconds"


@dataclass(frozen=True)
class Usage:
    """One limit. value and limit in `unit`; fraction: share used, 1 blocks entries. None: unknown. origin: whose limit."""

    code: str
    value: Decimal | None
    limit: Decimal | None
    unit: Unit
    origin: str = ""

    @property
    def fraction(self) -> Decimal | None:
        """Share of the limit that is used, never negative; a limit of zero is used up."""
        if self.value is None or self.limit is None:
            return None
        return max(self.value / self.limit, ZERO) if self.limit > 0 else ONE


@dataclass(frozen=True)
class Gap:
    """Between the stop of a position on margin and its liquidation, fractions of the entry price. there None: unknown."""

    needed: Decimal
    there: Decimal | None


@dataclass(frozen=True)
class Used:
    """What is known of one bot at `now`, market time. allocation and position: quote currency, the position at cost.

    gap: of an open position on margin; None without one.
    """

    losses: Losses | None
    allocation: Decimal | None
    entries_today: int
    last_entry_at: datetime | None
    position: Decimal
    gap: Gap | None = None


def usage(*, limits: EffectiveLimits, used: Used, bounds: tuple[Bound, ...], now: datetime) -> tuple[Usage, ...]:
    """Every limit in force for one bot, in the order in which an entry meets them."""
    losses, base = used.losses, used.allocation
    daily = None if losses is None else _lost(losses.daily_pnl, base)
    weekly = None if losses is None else _lost(losses.weekly_pnl, base)
    streak = None if losses is None else Decimal(losses.loss_streak)
    position = None if base is None or base <= 0 else used.position / base
    told: list[tuple[str, str, Decimal | None, Decimal | int | None, Unit]] = [
        ("daily_loss", "daily_loss_fraction", daily, limits.daily_loss_fraction, Unit.FRACTION),
        ("weekly_loss", "weekly_loss_fraction", weekly, limits.weekly_loss_fraction, Unit.FRACTION),
        ("drawdown", "drawdown_fraction", None if losses is None else losses.drawdown, limits.drawdown_fraction, Unit.FRACTION),
        ("loss_streak", "loss_streak", streak, limits.loss_streak, Unit.COUNT),
        ("daily_count", "entries_per_day", Decimal(used.entries_today), limits.entries_per_day, Unit.COUNT),
        ("spacing", "spacing", _waiting(limits.spacing, used.last_entry_at, now), _seconds(limits.spacing), Unit.SECONDS),
        ("position", "position_fraction", position, limits.position_fraction, Unit.FRACTION),
    ]
    found = [
        Usage(code=code, value=value, limit=Decimal(limit), unit=unit, origin=limits.origins.get(name, ""))
        for code, name, value, limit, unit in told
        if limit is not None
    ]
    for bound in bounds:
        name = "leverage_limit" if bound.code == "leverage" else f"{bound.code}_fraction"
        found.append(Usage(bound.code, bound.used, bound.limit, Unit.MONEY, limits.origins.get(name, "")))
    if used.gap is not None:
        found.append(Usage("liquidation_gap", used.gap.needed, used.gap.there, Unit.FRACTION))
    return tuple(found)


def _lost(pnl: Decimal, base: Decimal | None) -> Decimal | None:
    """Share of `base` lost, zero in profit."""
    return None if base is None or base <= 0 else max(-pnl, ZERO) / base


def _waiting(spacing: timedelta, last_entry_at: datetime | None, now: datetime) -> Decimal:
    """Seconds still to wait; zero when an entry is free."""
    if last_entry_at is None:
        return ZERO
    return max(_seconds(last_entry_at + spacing - now), ZERO)


def _seconds(duration: timedelta) -> Decimal:
    return Decimal(round(duration.total_seconds()))
