"""Below which equity entries stop: `risk/domain/breakers` in floats, folded into the kernels."""

from math import inf, isnan
from typing import Any

from numba import njit

WEEK_DAYS_BEFORE = 6  # the week is today and the six trading days before it


@njit(nogil=True, forceinline=True, error_model="numpy")
def start_day(day: int, worth: float, allocation: float, daily_loss: float, weekly_loss: float, day_starts: Any) -> float:
    """Note what `day` begins with and return the equity at or below which its breaker trips, quote currency.

    day_starts: (days,) equity at each day's first close, NaN for days without one. Fractions of the allocation, or of the equity
    where that is less; 0: off.
    """
    day_starts[day] = worth
    week_start = worth
    for past in range(max(day - WEEK_DAYS_BEFORE, 0), day):
        if not isnan(day_starts[past]):
            week_start = day_starts[past]
            break
    base = allocation
    if 0.0 < worth < base:
        base = worth
    floor = -inf
    if daily_loss > 0.0:
        floor = worth - daily_loss * base
    if weekly_loss > 0.0:
        floor = max(floor, week_start - weekly_loss * base)
    return floor
