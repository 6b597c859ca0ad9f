"""Ticks and lots as integers, and what a market order pays: the float side of `TradingRules` and of the assumed book.

A price is k · num / den with integers, so that it is the float nearest to the exchange's decimal, and comparing prices is exact.
`grid` is the five columns of `setup.Columns.grid`: bands stand highest first within one grid, grids in the order in which they came
into force. `book` is the two of `setup.Columns.book`. Everything here is folded into the kernels, so it is written for reading.
"""

from math import ceil, floor
from typing import Any

from numba import njit

# A float that should be a whole number of steps may miss it by rounding; a hundred-millionth of a step decides nothing else.
GRID_SLACK = 1e-8


@njit(nogil=True, forceinline=True, error_model="numpy")
def tick_of(at_ns: int, price: float, grid: Any) -> tuple[float, float]:
    """The tick, num and den, that holds at `price` (quote) at `at_ns`; the first grid holds before its own time, too."""
    grid_from, grid_offset, band_start, band_num, band_den = grid
    number = len(grid_from) - 1
    while number > 0 and grid_from[number] > at_ns:
        number -= 1
    band = grid_offset[number]
    last = grid_offset[number + 1] - 1
    while band < last and price < band_start[band]:
        band += 1
    return band_num[band], band_den[band]


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
def market_price(is_buy: bool, at_ns: int, price: float, away: float, grid: Any) -> float:
    """What a market order gets when the market is at `price` (quote): `away` (fraction) against us, then to the tick against us.

    A seller gets at least the lowest price there is.
    """
    raw = price * (1.0 + away) if is_buy else price * (1.0 - away)
    num, den = tick_of(at_ns, raw, grid)
    steps = steps_up(raw, num, den) if is_buy else max(steps_down(raw, num, den), 1.0)
    return on_grid(steps, num, den)


@njit(nogil=True, forceinline=True, error_model="numpy")
def whole_lots(amount_in_lots: float) -> float:
    """Down to a whole lot."""
    return floor(amount_in_lots + GRID_SLACK)


@njit(nogil=True, forceinline=True, error_model="numpy")
def walked_price(
    is_buy: bool,
    at_ns: int,
    price: float,
    total: float,
    slippage: float,
    book: Any,
    grid: Any,
) -> float:
    """Average price of a market order worth `total` (quote, at the market price) in a book of assumed levels.

    Level i lies slippage + depth_offset[i] (fraction) from the price, on the grid, and takes depth_quote[i]; what the book cannot
    take pays its last level. Without levels there is one, at the slippage, as deep as needed.
    """
    depth_offset, depth_quote = book
    if len(depth_offset) == 0:
        return market_price(is_buy, at_ns, price, slippage, grid)
    rest = total
    paid = 0.0
    bought = 0.0
    last = len(depth_offset) - 1
    for level in range(last + 1):
        away = slippage + depth_offset[level]
        at = market_price(is_buy, at_ns, price, away, grid)
        taken = rest if level == last else min(rest, depth_quote[level])
        paid += taken
        bought += taken / at
        rest -= taken
        if rest <= 0.0:
            break
    return paid / bought
