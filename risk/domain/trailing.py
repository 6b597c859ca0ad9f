"""What a position remembers of its exits while it is open: how far the price has come, where its stop is, what was sold.

    entry ──▶ ExitState ──close──▶ stop follows, never back ──level reached──▶ part sold, level spent ──▶ …

The state is a value made of plain numbers: stored in the position's columns it survives restarts, and the same calls give the
same state in backtest, paper, live and guardian. The stop moves at closes only, so that every mode sees the same stop inside a bar.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from dgbot.core.money import EXACT, round_down, round_up
from risk.domain.exits import ExitReason, Protection, exit_due


@dataclass(frozen=True)
class PartialLevel:
    """At `profit_fraction` of the entry price `share` of what is then held is sold; 0.05 is 5 %, a share of 1 is the rest.

    Raises ValueError for a profit that is not positive or a share outside (0, 1].
    """

    profit_fraction: Decimal
    share: Decimal

    def __post_init__(self) -> None:
        if not (self.profit_fraction.is_finite() and self.profit_fraction > 0):
            raise ValueError(f"the profit of a level must be positive, was {self.profit_fraction}")
        if not (self.share.is_finite() and 0 < self.share <= 1):
            raise ValueError(f"the share of a level must lie in 0…1, was {self.share}")


MOST_LEVELS = 4  # of one position; the engine keeps room for as many
# Half at +5 %, the rest at +10 %: requirements §2.5. Off unless a profile asks for it.
DEFAULT_LEVELS = (PartialLevel(Decimal("0.05"), Decimal("0.5")), PartialLevel(Decimal("0.10"), Decimal(1)))


@dataclass(frozen=True)
class ExitState:
    """high_water: the best price since entry, seen at closes (for a short the lowest). Quote currency. levels_taken: how many fired."""

    high_water: Decimal
    stop_price: Decimal
    levels_taken: int = 0


def opened(*, entry_price: Decimal, protection: Protection) -> ExitState:
    """The state of a position that has just been opened."""
    return ExitState(high_water=_positive(entry_price, "entry price"), stop_price=_positive(protection.stop_price, "stop"))


def after_close(state: ExitState, *, best_price: Decimal, trail_distance: Decimal | None, tick: Decimal, is_long: bool = True) -> ExitState:
    """The state after a bar has closed: the stop follows the best price at `trail_distance` and never loosens.

    best_price: the bar's high (long) or low (short), from the fill on. trail_distance: k·ATR frozen at entry, None: no trailing.
    tick: grid at the stop. Quote currency all. Raises ValueError for a number that is not positive and finite.
    """
    best = _positive(best_price, "best price")
    high_water = max(state.high_water, best) if is_long else min(state.high_water, best)
    if trail_distance is None:
        return replace(state, high_water=high_water)
    distance = _positive(trail_distance, "trailing distance")
    if is_long:
        followed = max(state.stop_price, round_up(high_water - distance, step=tick))
    else:
        followed = min(state.stop_price, max(round_down(high_water + distance, step=tick), tick))
    return replace(state, high_water=high_water, stop_price=followed)


def level_price(level: PartialLevel, *, entry_price: Decimal, tick: Decimal, is_long: bool = True) -> Decimal:
    """Where a level fires: rounded to the tick toward the entry, at least one tick beyond it. Quote currency."""
    entry = _positive(entry_price, "entry price")
    if is_long:
        return max(round_down(entry * (1 + level.profit_fraction), step=tick), round_down(entry, step=tick) + tick)
    return max(min(round_up(entry * (1 - level.profit_fraction), step=tick), round_up(entry, step=tick) - tick), tick)


def next_level(
    state: ExitState, *, price: Decimal, entry_price: Decimal, levels: Sequence[PartialLevel], tick: Decimal, is_long: bool = True
) -> PartialLevel | None:
    """The first level that has not fired and is reached at `price`, or None. Ask again after `level_taken`: two may be reached at once."""
    _positive(price, "price")
    if state.levels_taken >= len(levels):
        return None
    level = levels[state.levels_taken]
    at = level_price(level, entry_price=entry_price, tick=tick, is_long=is_long)
    is_reached = price >= at if is_long else price <= at
    return level if is_reached else None


def level_taken(state: ExitState) -> ExitState:
    """The state once a level has sold, or was found too small to sell: it never fires again."""
    return replace(state, levels_taken=state.levels_taken + 1)


def due(
    state: ExitState,
    *,
    price: Decimal,
    target_price: Decimal | None,
    entry_price: Decimal,
    levels: Sequence[PartialLevel],
    tick: Decimal,
    has_trailed: bool,
    is_long: bool = True,
) -> ExitReason | None:
    """Why something is sold at `price`, or None: stop, target, then the next partial level, in the engine's order.

    price, target_price, entry_price: quote currency. tick: grid at the entry. has_trailed: the stop is no longer the entry's, so
    reaching it is the trailing stop's doing. Raises ValueError for a price that is not positive and finite.
    """
    _positive(price, "price")
    reason = exit_due(price=price, stop_price=state.stop_price, target_price=target_price, is_long=is_long)
    if reason is not None:
        return ExitReason.TRAILING if reason is ExitReason.STOP and has_trailed else reason
    level = next_level(state, price=price, entry_price=entry_price, levels=levels, tick=tick, is_long=is_long)
    return None if level is None else ExitReason.PARTIAL


def partial_amount(*, held: Decimal, share: Decimal, price: Decimal, lot_step: Decimal, minimum_total: Decimal) -> Decimal:
    """Base currency a level sells: the share of what is held, in whole lots.

    All of it when the rest could not be sold any more, nothing when the part is below the market's minimum.
    Raises ValueError for a number that is not positive and finite (the minimum may be zero).
    """
    _positive(held, "amount held")
    _positive(share, "share")
    _positive(price, "price")
    if not minimum_total.is_finite() or minimum_total < 0:
        raise ValueError(f"the minimum must be finite and not negative, was {minimum_total}")
    part = min(round_down(EXACT.multiply(held, share), step=lot_step), held)
    if EXACT.multiply(held - part, price) < minimum_total:
        part = held
    return part if part > 0 and EXACT.multiply(part, price) >= minimum_total else Decimal(0)


def _positive(value: Decimal, what: str) -> Decimal:
    if not (value.is_finite() and value > 0):
        raise ValueError(f"the {what} must be positive, was {value}")
    return value
