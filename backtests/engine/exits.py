"""When and where a position is left: `risk/domain/exits` and `trailing` in floats, folded into the kernels.

side: 1 long, -1 short. num, den: the tick of the entry. Prices are quote currency; `p` is a settings row by `layout.S`.
"""

from math import nan
from typing import Any

from numba import njit

from backtests.engine.grid import on_grid, steps_down, steps_up, tick_of, whole_lots
from backtests.engine.layout import AT_ADVERSE, AT_FAVOURABLE, AT_OPEN, S, reason_code
from risk.domain.exits import ExitReason

NOTHING = 0  # no exit has the code of an entry
STOP, TARGET, TRAILING = (reason_code(reason) for reason in (ExitReason.STOP, ExitReason.TARGET, ExitReason.TRAILING))
PARTIAL, LIQUIDATION, FAKEOUT = (reason_code(reason) for reason in (ExitReason.PARTIAL, ExitReason.LIQUIDATION, ExitReason.FAKEOUT))
WEAKENING, TIMEOUT = reason_code(ExitReason.WEAKENING), reason_code(ExitReason.TIMEOUT)
HOLD, SIGNAL = reason_code(ExitReason.HOLD), reason_code(ExitReason.SIGNAL)


@njit(nogil=True, forceinline=True, error_model="numpy")
def protect(p: Any, side: float, entry: float, stop_distance: float, target_distance: float, num: float, den: float) -> tuple[float, float]:
    """Stop and target: `risk.domain.exits.protect` in floats. NaN distances leave the profile's fractions alone."""
    fall = p[S.STOP_FRACTION] if side > 0.0 else p[S.TARGET_FRACTION]
    rise = p[S.TARGET_FRACTION] if side > 0.0 else p[S.STOP_FRACTION]
    fall_distance = stop_distance if side > 0.0 else target_distance
    rise_distance = target_distance if side > 0.0 else stop_distance
    lower = entry * (1.0 - fall)
    upper = entry * (1.0 + rise)
    lower = max(lower, entry - fall_distance)
    upper = min(upper, entry + rise_distance)
    below = steps_up(entry, num, den) - 1.0
    above = steps_down(entry, num, den) + 1.0
    lower_price = on_grid(max(min(steps_up(lower, num, den), below), 1.0), num, den)
    upper_price = on_grid(max(steps_down(upper, num, den), above), num, den)
    if side > 0.0:
        return lower_price, upper_price
    return upper_price, lower_price


@njit(nogil=True, forceinline=True, error_model="numpy")
def triggers(is_perpetual: bool, side: float, stop: float, target: float, next_level: float, liquidation: float) -> tuple[float, float]:
    """The two prices between which nothing happens inside a bar, lower first. next_level: NaN when none is left."""
    nearest = target
    if side * next_level < side * target:
        nearest = next_level
    worst = stop
    if is_perpetual and side * liquidation > side * stop:
        worst = liquidation
    if side > 0.0:
        return worst, nearest
    return nearest, worst


@njit(nogil=True, forceinline=True, error_model="numpy")
def level_price(side: float, entry: float, profit: float, num: float, den: float) -> float:
    """Where a partial level fires: `risk.domain.trailing.level_price` in floats."""
    if side > 0.0:
        return on_grid(max(steps_down(entry * (1.0 + profit), num, den), steps_down(entry, num, den) + 1.0), num, den)
    return on_grid(max(min(steps_up(entry * (1.0 - profit), num, den), steps_up(entry, num, den) - 1.0), 1.0), num, den)


@njit(nogil=True, forceinline=True, error_model="numpy")
def level_after(p: Any, taken: int, side: float, entry: float, num: float, den: float) -> float:
    """Where the next partial level fires after `taken` of them, NaN when none is left."""
    if taken < int(p[S.LEVELS]):
        return level_price(side, entry, p[S.PROFIT_1 + 2 * taken], num, den)
    return nan


@njit(nogil=True, forceinline=True, error_model="numpy")
def liquidation_price(p: Any, side: float, entry: float) -> float:
    """Where the maintenance margin is no longer covered, isolated margin."""
    return entry * (1.0 - side / p[S.LEVERAGE]) / (1.0 - side * p[S.MAINTENANCE])


@njit(nogil=True, forceinline=True, error_model="numpy")
def next_exit(  # noqa: PLR0911 - one line for each thing that can happen
    is_perpetual: bool,
    planned: int,
    where: int,
    side: float,
    open_price: float,
    high: float,
    low: float,
    stop: float,
    target: float,
    next_level: float,
    liquidation: float,
    has_trailed: bool,
) -> tuple[int, float, int]:
    """The next thing that happens to a position on its way open → adverse → favourable: its reason, price and place.

    planned: the reason decided at the last close, or NOTHING. where: how far the bar has been walked. next_level: NaN when none is
    left; it compares false. The reason is NOTHING when the rest of the bar is quiet.
    """
    if planned != NOTHING:
        return planned, open_price, AT_OPEN
    if where == AT_OPEN:
        if is_perpetual and side * open_price <= side * liquidation:
            return LIQUIDATION, open_price, AT_OPEN
        if side * open_price <= side * stop:
            return TRAILING if has_trailed else STOP, open_price, AT_OPEN
        if side * open_price >= side * target:
            return TARGET, open_price, AT_OPEN
        if side * open_price >= side * next_level:
            return PARTIAL, open_price, AT_OPEN
    if where != AT_FAVOURABLE:
        adverse = low if side > 0.0 else high
        if is_perpetual and side * liquidation > side * stop and side * adverse <= side * liquidation:
            return LIQUIDATION, liquidation, AT_ADVERSE
        if side * adverse <= side * stop:
            return TRAILING if has_trailed else STOP, stop, AT_ADVERSE
    favourable = high if side > 0.0 else low
    if side * next_level < side * target:
        if side * favourable >= side * next_level:
            return PARTIAL, next_level, AT_FAVOURABLE
    elif side * favourable >= side * target:
        return TARGET, target, AT_FAVOURABLE
    return NOTHING, 0.0, AT_FAVOURABLE


@njit(nogil=True, forceinline=True, error_model="numpy")
def part_of(p: Any, lots: float, taken: int, price: float) -> float:
    """Lots a partial level sells of `lots`: all when the rest could not be sold, none when the part could not."""
    selling = min(whole_lots(lots * p[S.SHARE_1 + 2 * taken]), lots)
    if (lots - selling) / p[S.LOTS_PER_UNIT] * price < p[S.MINIMUM_TOTAL]:
        selling = lots
    if selling / p[S.LOTS_PER_UNIT] * price < p[S.MINIMUM_TOTAL]:
        selling = 0.0
    return selling


@njit(nogil=True, forceinline=True, error_model="numpy")
def raised_stop(side: float, followed: float, now: int, grid: Any) -> float:
    """A stop that follows, on the grid of `now` (ns): toward the market for a long and away from nothing below one tick."""
    num, den = tick_of(now, followed, grid)
    steps = steps_up(followed, num, den) if side > 0.0 else max(steps_down(followed, num, den), 1.0)
    return on_grid(steps, num, den)


@njit(nogil=True, forceinline=True, error_model="numpy")
def reason_to_leave(
    p: Any,
    side: float,
    age: int,
    close: float,
    stop: float,
    has_trailed: bool,
    fakeout_price: float,
    is_weak: bool,
    timeout_price: float,
) -> int:
    """Why a position is left after this close, or NOTHING; the order is that of the rules. age: bars since the fill bar."""
    if side * close <= side * stop:
        return TRAILING if has_trailed else STOP
    if 1 <= age <= int(p[S.FAKEOUT_BARS]) and side * close < side * fakeout_price:
        return FAKEOUT
    if is_weak:
        return WEAKENING
    if age > int(p[S.TIMEOUT_BARS]) > 0 and side * close < side * timeout_price:
        return TIMEOUT
    if int(p[S.HOLD_BARS]) > 0 and age + 1 >= int(p[S.HOLD_BARS]):
        return HOLD
    return NOTHING
