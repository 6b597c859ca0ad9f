"""Stop and target, frozen at entry, and what a price does to them."""

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
    """Where a long position ends, quote currency."""

    stop_price: Decimal
    target_price: Decimal


def protect_long(
    *,
    entry_price: Decimal,
    stop_fraction: Decimal,
    target_fraction: Decimal,
    tick: Decimal,
    stop_distance: Decimal | None = None,
    target_distance: Decimal | None = None,
) -> Protection:
    """The nearer of profile and strategy stop, the nearer of the two targets, each rounded to the tick toward the entry.

    Neither ever reaches the entry, however coarse the tick: a position must not end at the price that opened it.
    entry_price, distances, tick: quote currency. Fractions: 0.05 is 5 %. A distance that is None leaves the fraction alone.
    A stop at or below zero becomes the lowest price there is. Raises ValueError when no tick lies below the entry.
    """
    stops = [entry_price * (1 - stop_fraction)]
    targets = [entry_price * (1 + target_fraction)]
    if stop_distance is not None:
        stops.append(entry_price - stop_distance)
    if target_distance is not None:
        targets.append(entry_price + target_distance)
    below, above = round_up(entry_price, step=tick) - tick, round_down(entry_price, step=tick) + tick
    if below < tick:
        raise ValueError(f"no stop fits between zero and an entry at {entry_price} in steps of {tick}")
    stop = max(min(round_up(max(stops), step=tick), below), tick)
    target = max(round_down(min(targets), step=tick), above)
    return Protection(stop_price=stop, target_price=target)


def exit_due(*, price: Decimal, stop_price: Decimal | None, target_price: Decimal | None) -> ExitReason | None:
    """Whether a long position ends at `price`; the stop is looked at first."""
    if stop_price is not None and price <= stop_price:
        return ExitReason.STOP
    if target_price is not None and price >= target_price:
        return ExitReason.TARGET
    return None
