"""Ticks and lots as integers, and what a market order pays: the float side of `TradingRules` and of the assumed book.

A price is k · num / den with integers, so that it is the float nearest to the exchange's decimal, and comparing prices is exact.
Bands are columns, highest first within one grid; grids are ordered by the instant they came into force.
"""

from math import ceil, floor
from typing import Any

from numba import njit

# A float that should be a whole number of steps may miss it by rounding; a hundred-millionth of a step decides nothing else.
GRID_SLACK = 1e-8


@njit(nogil=True, forceinline=True, error_model="numpy")
def band_of(at_ns: int, price: float, grid_from: Any, grid_offset: Any, band_start: Any) -> int:
    """Index of the band that holds at `price` (quote) at `at_ns`; the first grid holds before its own time, too."""
    grid = len(grid_from) - 1
    while grid > 0 and grid_from[grid] > at_ns:
        grid -= 1
    band = grid_offset[grid]
    last = grid_offset[grid + 1] - 1
    while band < last and price < band_start[band]:
        band += 1
    return band


@njit(nogil=True, forceinline=True, error_model="numpy")
def _in_steps(value: float, num: float, den: float) -> float:
    """value · den / num. Dividing by one changes no bit and costs as much as any division, so it is left out."""
    scaled = value * den
    return scaled if num == 1.0 else scaled / num


@njit(nogil=True, forceinline=True, error_model="numpy")
def on_grid(steps: float, num: float, den: float) -> float:
    """The price of so many ticks: the float nearest to the exchange's decimal. Quote currency."""
    scaled = steps * num
    return scaled if den == 1.0 else scaled / den


@njit(nogil=True, forceinline=True, error_model="numpy")
def steps_up(value: float, num: float, den: float) -> float:
    """Ticks of the smallest grid price not below `value`."""
    return ceil(_in_steps(value, num, den) - GRID_SLACK)


@njit(nogil=True, forceinline=True, error_model="numpy")
def steps_down(value: float, num: float, den: float) -> float:
    """Ticks of the largest grid price not above `value`."""
    return floor(_in_steps(value, num, den) + GRID_SLACK)


@njit(nogil=True, forceinline=True, error_model="numpy")
def market_price(
    is_buy: bool, at_ns: int, price: float, away: float, grid_from: Any, grid_offset: Any, band_start: Any, band_num: Any, band_den: Any
) -> float:
    """What a market order gets when the market is at `price` (quote): `away` (fraction) against us, then to the tick against us.

    A seller gets at least the lowest price there is.
    """
    raw = price * (1.0 + away) if is_buy else price * (1.0 - away)
    band = band_of(at_ns, raw, grid_from, grid_offset, band_start)
    num = band_num[band]
    den = band_den[band]
    steps = steps_up(raw, num, den) if is_buy else max(steps_down(raw, num, den), 1.0)
    return on_grid(steps, num, den)


@njit(nogil=True, forceinline=True, error_model="numpy")
def whole_lots(amount_in_lots: float) -> float:
    """Down to a whole lot."""
    return floor(amount_in_lots + GRID_SLACK)
