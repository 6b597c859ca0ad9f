"""The compiled part of the volume zone breakout: the volume profile of a window, rebuilt at every bar.

Importing this module compiles it, or loads it from numba's cache: warming up is importing.
"""

import numpy as np
from numba import njit, types

from backtests.engine import kernel_cache
from backtests.strategies.base import Numbers

kernel_cache.settle()

SLACK = 1e-9  # of the wanted volume: equal bars fill a bin up to rounding

_COLUMN = types.Array(types.float64, 1, "C", readonly=True)  # as candles are; writable columns fit, too


@njit(types.float64[::1](_COLUMN, _COLUMN, _COLUMN, types.int64, types.int64, types.float64), cache=True, nogil=True)
def resistances(high: Numbers, low: Numbers, volume: Numbers, bars: int, bins: int, top_share: float) -> Numbers:
    """high, low, volume: (n,) float64, oldest first. Returns (n,) float64, NaN for the first `bars` and for zones without volume.

    Entry t comes from the bars t − bars … t − 1 alone. A bar's volume is spread evenly over its height; without height it
    falls into one bin. From the top bin down, the first at which `top_share` of the volume is reached gives its lower edge.
    """
    count = len(high)
    levels = np.full(count, np.nan)
    profile = np.empty(bins)
    for t in range(bars, count):
        floor, ceiling = low[t - bars], high[t - bars]
        for i in range(t - bars + 1, t):
            floor, ceiling = min(floor, low[i]), max(ceiling, high[i])
        step = (ceiling - floor) / bins
        profile[:] = 0.0
        for i in range(t - bars, t):
            if step == 0.0:
                profile[0] += volume[i]
                continue
            first = min(int((low[i] - floor) / step), bins - 1)
            height = high[i] - low[i]
            if height == 0.0:
                profile[first] += volume[i]
                continue
            last = min(int((high[i] - floor) / step), bins - 1)
            for b in range(first, last + 1):
                overlap = min(high[i], floor + (b + 1) * step) - max(low[i], floor + b * step)
                if overlap > 0.0:
                    profile[b] += volume[i] * (overlap / height)
        total = 0.0
        for b in range(bins):
            total += profile[b]
        if total > 0.0:
            above = 0.0
            for b in range(bins - 1, -1, -1):
                above += profile[b]
                if above >= top_share * total * (1.0 - SLACK):
                    levels[t] = floor + b * step
                    break
    return levels
