"""What a report draws and tabulates, from the arrays of a result. Pure: values in, JSON values out.

Times are open times of bars, ns since 1970 UTC in, whole seconds out. Money is quote currency, returns are fractions.
"""

import math
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from dgbot.core.clock import from_nanoseconds

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]

MOST_POINTS = 1600  # of a line: more than a screen has columns
MOST_BINS = 24
NS = 10**9
NICE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # widths of a bin, fractions


def drawdown(worth: Numbers, *, cash: float) -> Numbers:
    """How far each value lies under the highest before it, as a fraction, 0 or negative; the first peak is the cash. (n,) → (n,)."""
    return worth / np.maximum.accumulate(np.maximum(worth, cash)) - 1


def held(candles: Candles, times: Times, *, first: int, cash: float, fee_rate: float) -> Numbers:
    """What `cash` is worth at each time when it buys at the open of bar `first`, pays the fee, and does nothing more. (n,)."""
    bought = cash / (1 + fee_rate) / candles.open[first]
    newest = np.searchsorted(candles.open_time, times, side="right") - 1
    worth: Numbers = np.where(newest < first, cash, bought * candles.close[np.maximum(newest, 0)])
    return worth


def thinned(*columns: Numbers, most: int = MOST_POINTS) -> NDArray[np.intp]:
    """Indices of at most `most` points that keep every stretch's lowest and highest value of the first column, and both ends."""
    first = columns[0]
    if len(first) <= most:
        return np.arange(len(first))
    cells = np.array_split(np.arange(len(first)), max(1, most // 2 - 1))
    kept = {0, len(first) - 1}
    for cell in cells:
        kept |= {int(cell[np.argmin(first[cell])]), int(cell[np.argmax(first[cell])])}
    return np.array(sorted(kept))


def line(times: Times, values: Numbers, *, digits: int = 8) -> list[dict[str, float]]:
    """Points as the chart takes them."""
    return [{"time": int(at) // NS, "value": _short(value, digits)} for at, value in zip(times, values, strict=True)]


def months(times: Times, worth: Numbers, *, cash: float) -> list[dict[str, Any]]:
    """One row per calendar year (UTC): twelve compounded returns, None where nothing was traded, and the year's."""
    labels = times.astype("datetime64[ns]").astype("datetime64[M]")
    last = np.flatnonzero(np.append(labels[1:] != labels[:-1], True))
    ends = worth[last]
    returns = ends / np.concatenate([[cash], ends[:-1]]) - 1
    by_month = {str(labels[at]): float(value) for at, value in zip(last, returns, strict=True)}
    rows = []
    for year, group in groupby(sorted(by_month), key=lambda label: label[:4]):
        found = {label: by_month[label] for label in group}
        total = math.prod(1 + value for value in found.values()) - 1
        rows.append({"year": year, "months": [found.get(f"{year}-{month:02d}") for month in range(1, 13)], "total": total})
    return rows


def histogram(returns: Numbers) -> dict[str, Any]:
    """Trades by their return: bins of one nice width, the outermost holding everything beyond. Empty without trades.

    bins: low and high (fractions), count, whether the bin lies above zero. mean, median: of all.
    """
    if not len(returns):
        return {"bins": [], "width": None, "mean": None, "median": None}
    low, high = (float(value) for value in np.percentile(returns, [1, 99]))
    width = next((width for width in NICE if (max(high, 0.0) - min(low, 0.0)) / width <= MOST_BINS - 2), NICE[-1])
    start, stop = math.floor(min(low, 0.0) / width), max(math.ceil(max(high, 0.0) / width), 1)
    places = np.clip(np.floor(returns / width), start, stop - 1).astype(int)
    bins = [
        {"low": place * width, "high": (place + 1) * width, "count": int(np.sum(places == place)), "is_gain": place >= 0}
        for place in range(start, stop)
    ]
    return {"bins": bins, "width": width, "mean": float(np.mean(returns)), "median": float(np.median(returns))}


def bars(candles: Candles, *, first: int, last: int, most: int = MOST_POINTS) -> tuple[list[dict[str, float]], int]:
    """Candles [first, last), several drawn as one where they are more than `most`, and how many those are."""
    step = max(1, math.ceil((last - first) / most))
    starts = np.arange(first, last, step)
    if not len(starts):
        return [], step
    ends = np.minimum(starts + step, last) - 1
    high = np.maximum.reduceat(candles.high[first:last], starts - first)
    low = np.minimum.reduceat(candles.low[first:last], starts - first)
    columns = (candles.open_time[starts], candles.open[starts], high, low, candles.close[ends])
    return [
        {"time": int(at) // NS, "open": float(open_), "high": float(up), "low": float(down), "close": float(close)}
        for at, open_, up, down, close in zip(*columns, strict=True)
    ], step


def day(nanoseconds: Any) -> str:
    """The date, UTC."""
    return f"{from_nanoseconds(int(nanoseconds)):%Y-%m-%d}"


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
