"""Stop and target, frozen at entry, and what a price does to them. Long and short."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from dgbot.core.money import round_down, round_up


class ExitReason(StrEnum):
    """Why a position is left."""

    STOP = "stop"
    TARGET = "target"
    TRAILING = "trailing"
    PARTIAL = "partial"
    LIQUIDATION = "liquidation"
    FAKEOUT = "fakeout"
    WEAKENING = "weakening"
    TIMEOUT = "timeout"
    HOLD = "hold"
    SIGNAL = "signal"
    MANUAL = "manual"


@dataclass(frozen=True)
class Protection:
    """Where a position ends, quote currency."""

    stop_price: Decimal
    target_price: Decimal


def protect(
    *,
    entry_price: Decimal,
    stop_fraction: Decimal,
    target_fraction: Decimal,
    tick: Decimal,
    stop_distance: Decimal | None = None,
    target_distance: Decimal | None = None,
    is_long: bool = True,
) -> Protection:
    """The nearer of profile and strategy stop, the nearer of the two targets, each rounded to the tick toward the entry.

    Neither ever reaches the entry, however coarse the tick: a position must not end at the price that opened it.
    entry_price, distances, tick: quote currency. Fractions: 0.05 is 5 %. A distance that is None leaves the fraction alone.
    A stop (long) or target (short) at or below zero becomes the lowest price there is.
    Raises ValueError when no tick lies below the entry, and for a distance that is not positive and finite.
    """
    for what, distance in (("stop", stop_distance), ("target", target_distance)):
        if distance is not None and not (distance.is_finite() and distance > 0):
            raise ValueError(f"the {what} distance must be positive, was {distance}")
    below, above = round_up(entry_price, step=tick) - tick, round_down(entry_price, step=tick) + tick
    if below < tick:
        raise ValueError(f"no stop fits between zero and an entry at {entry_price} in steps of {tick}")
    falls = [entry_price * (1 - (stop_fraction if is_long else target_fraction))]
    rises = [entry_price * (1 + (target_fraction if is_long else stop_fraction))]
    fall, rise = (stop_distance, target_distance) if is_long else (target_distance, stop_distance)
    if fall is not None:
        falls.append(entry_price - fall)
    if rise is not None:
        rises.append(entry_price + rise)
    lower = max(min(round_up(max(falls), step=tick), below), tick)
    upper = max(round_down(min(rises), step=tick), above)
    return Protection(stop_price=lower, target_price=upper) if is_long else Protection(stop_price=upper, target_price=lower)


def protect_long(
    *,
    entry_price: Decimal,
    stop_fraction: Decimal,
    target_fraction: Decimal,
    tick: Decimal,
    stop_distance: Decimal | None = None,
    target_distance: Decimal | None = None,
) -> Protection:
    """`protect` for a position bought: the stop below, the target above."""
    return protect(
        entry_price=entry_price,
        stop_fraction=stop_fraction,
        target_fraction=target_fraction,
        tick=tick,
        stop_distance=stop_distance,
        target_distance=target_distance,
    )


def exit_due(*, price: Decimal, stop_price: Decimal | None, target_price: Decimal | None, is_long: bool = True) -> ExitReason | None:
    """Whether a position ends at `price`; the stop is looked at first."""
    if stop_price is not None and (price <= stop_price if is_long else price >= stop_price):
        return ExitReason.STOP
    if target_price is not None and (price >= target_price if is_long else price <= target_price):
        return ExitReason.TARGET
    return None
