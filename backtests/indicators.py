"""Indicators by Wilder's conventions, as TA-Lib has them. Unknown is NaN: over the warm-up, and wherever the formula says nothing.

Every function takes finite, contiguous float64 columns (n,), oldest first, and returns (n,) float64; a column may begin with
unknowns, as another indicator's warm-up does. Value t depends on bars up to t only, so a prefix of the bars gives a prefix of
the results, to the bit. Raises ValueError for anything else: most libraries would go on and answer nonsense.

What strategies ask for at every bar is compiled in `indicator_kernels`, the rest is TA-Lib's: docs/decisions/0011-own-indicators.md
"""

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

WILDER_BARS = 14  # Wilder's own length for RSI, ATR and ADX
NOTHING: Column = np.empty(0)
PART = 4096  # bars looked at together
WILDER_LOOK_BACK = 125  # bars after which all older ones together weigh under a thousandth in ADX14, the slowest of the three


def sma(values: Column, bars: int) -> Column:
    """Mean of the `bars` bars up to t. Unknown for the first bars − 1."""
    return _mean(values, bars, lag=0)


def bollinger_bands(close: Column, *, bars: int = 20, deviations: float = 2.0) -> tuple[Column, Column, Column]:
    """Upper, middle and lower band: mean ± deviations · σ of the `bars` closes up to t, σ of the population (divided by n)."""
    upper, middle, lower = np.empty_like(_shaped(close)), np.empty_like(close), np.empty_like(close)
    _refuse_unless(_kernels().bands(close, bars, deviations, upper, middle, lower), close)
    return upper, middle, lower


def bollinger_width(close: Column, *, bars: int = 20, deviations: float = 2.0) -> Column:
    """(upper − lower) / middle, a fraction: 0.01 is 1 %. Unknown for the first bars − 1."""
    width = np.empty_like(_shaped(close))
    _refuse_unless(_kernels().bands(close, bars, deviations, width, NOTHING, NOTHING), close)
    return width


def bollinger_position(close: Column, *, bars: int = 20, deviations: float = 2.0) -> Column:
    """%B: 0 at the lower band, 1 at the upper one. Unknown for the first bars − 1 and where the bands meet."""
    upper, _middle, lower = bollinger_bands(close, bars=bars, deviations=deviations)
    return _ratio(close - lower, upper - lower)


def ema(values: Column, bars: int) -> Column:
    """Exponential mean with α = 2 / (bars + 1), seeded with the mean of the first `bars`. Unknown for the first bars − 1."""
    first, mean = _first_known(values), np.empty_like(_shaped(values))
    _refuse_unless(_kernels().exponential(values, first, bars, mean), values[first:])
    return mean


def ema_look_back(bars: int) -> int:
    """Bars after which all older ones together weigh under a thousandth in `ema`."""
    return max(bars, math.ceil(math.log(0.001) / math.log(1 - 2 / (bars + 1))))


def macd(close: Column, *, fast_bars: int = 12, slow_bars: int = 26, signal_bars: int = 9) -> tuple[Column, Column, Column]:
    """Fast minus slow exponential mean, its own exponential mean (the signal), and their difference (the histogram).

    Quote currency. Both means are seeded at the same bar. Unknown for the first slow_bars + signal_bars − 2 bars.
    """
    fast_bars, slow_bars = min(fast_bars, slow_bars), max(fast_bars, slow_bars)
    line, signal, histogram = np.empty_like(_shaped(close)), np.empty_like(close), np.empty_like(close)
    _refuse_unless(_kernels().convergence(close, fast_bars, slow_bars, signal_bars, line, signal, histogram), close)
    return line, signal, histogram


def atr(high: Column, low: Column, close: Column, *, bars: int = WILDER_BARS) -> Column:
    """Average true range in quote currency, smoothed as Wilder does. Unknown for the first `bars` bars."""
    _shaped_together(high, low, close)
    mean = np.empty_like(close)
    _refuse_unless(_kernels().true_range(high, low, close, bars, mean), high, low, close)
    return mean


def atr14(high: Column, low: Column, close: Column) -> Column:
    """Average true range of 14 bars in quote currency. Unknown for the first 14 bars."""
    return atr(high, low, close)


def atr_fraction(high: Column, low: Column, close: Column, *, bars: int = WILDER_BARS) -> Column:
    """`atr` as a fraction of the close: 0.01 is 1 %. Unknown for the first `bars` bars."""
    return _ratio(atr(high, low, close, bars=bars), close)


def rsi(close: Column, *, bars: int = WILDER_BARS) -> Column:
    """Relative strength, 0…100, smoothed as Wilder does. Unknown for the first `bars` bars and until the price has moved:
    without a move it is 0/0, TA-Lib says 0."""
    strength = np.empty_like(_shaped(close))
    _refuse_unless(_kernels().relative_strength(close, bars, strength), close)
    return strength


def rsi14(close: Column) -> Column:
    """`rsi` of 14 bars."""
    return rsi(close)


def adx14(high: Column, low: Column, close: Column) -> Column:
    """Strength of the trend, 0…100, whatever its direction. Unknown for 27 bars, counted from the first directional movement.

    Before any directional movement DX is 0/0; TA-Lib would count such bars as zero and stay too low long after.
    """
    _shaped_together(high, low, close)
    strength = np.empty_like(close)
    _refuse_unless(_kernels().directional(high, low, close, WILDER_BARS, strength), high, low, close)
    return strength


def directional14(high: Column, low: Column, close: Column) -> tuple[Column, Column]:
    """+DI14 and −DI14, 0…100: the shares of the true range that went up and down. Unknown for 14 bars and until there is a range."""
    high, low, close = _checked_together(high, low, close)
    if len(close) <= WILDER_BARS:
        return _unknown(close), _unknown(close)
    plus, minus = (move(high, low, close, timeperiod=WILDER_BARS) for move in (_talib().PLUS_DI, _talib().MINUS_DI))

    def has_range(part: slice) -> NDArray[np.bool_]:
        return np.maximum(high[1:][part], close[:-1][part]) > np.minimum(low[1:][part], close[:-1][part])

    without_range = _first_place(has_range, len(close) - 1) + 1
    plus[:without_range] = minus[:without_range] = np.nan
    return plus, minus


def stochastic(high: Column, low: Column, close: Column, *, bars: int = 14, smooth_bars: int = 3) -> tuple[Column, Column]:
    """%K: where the close lies in the range of `bars` bars, 0…100, and %D: the mean of `smooth_bars` of it.

    Unknown for the first bars − 1 (%D: and smooth_bars − 1 more), and where a range in it is zero.
    """
    ceiling, floor = donchian(high, low, bars)
    position = _ratio(100 * (_checked(close) - floor), ceiling - floor)
    return position, window_sum(position, smooth_bars) / smooth_bars


def williams(high: Column, low: Column, close: Column, *, bars: int = 14) -> Column:
    """%R, −100…0: how far under the highest high the close lies. Unknown for the first bars − 1 and where the range is zero."""
    ceiling, floor = donchian(high, low, bars)
    return _ratio(-100 * (ceiling - _checked(close)), ceiling - floor)


def cci(high: Column, low: Column, close: Column, *, bars: int = 20) -> Column:
    """Commodity channel index of the typical price, Lambert's 0.015. Unknown for the first bars − 1 and without any deviation."""
    high, low, close = _checked_together(high, low, close)
    if len(close) < bars:
        return _unknown(close)
    typical = _typical(high, low, close)
    index = _talib().CCI(high, low, close, timeperiod=bars)
    is_flat = _top(typical, bars, sign=1.0, lag=0) == _top(typical, bars, sign=-1.0, lag=0)
    return np.where(is_flat, np.nan, index)


def mfi(high: Column, low: Column, close: Column, volume: Column, *, bars: int = 14) -> Column:
    """Money flow index, 0…100: the share of price × volume traded on a rising typical price.

    Unknown for the first `bars` bars and where nothing flowed. Not TA-Lib's, which says 0 for any flow under one unit of money.
    """
    high, low, close, volume = _checked_together(high, low, close, volume)
    typical = _typical(high, low, close)
    change = np.diff(typical, prepend=np.nan)
    flow = np.where(np.isnan(change), np.nan, typical * volume)
    into, out_of = (window_sum(np.where(np.isnan(change), np.nan, flow * side), bars) for side in (change > 0, change < 0))
    return _ratio(100 * into, into + out_of)


def roc(close: Column, *, bars: int = 10) -> Column:
    """Rate of change against the close `bars` before, a fraction: 0.01 is 1 %. Unknown for the first `bars`."""
    known = _checked(close)
    rate = _unknown(close)
    rate[bars:] = _ratio(known[bars:], known[: max(0, len(known) - bars)]) - 1
    return rate


def keltner(high: Column, low: Column, close: Column, *, bars: int = 20, width: float = 2.0) -> tuple[Column, Column, Column]:
    """Upper, middle and lower channel: mean ± width · ATR of `bars` bars. The outer ones are unknown for the first `bars` bars."""
    middle, reach = sma(close, bars), width * atr(high, low, close, bars=bars)
    return middle + reach, middle, middle - reach


def obv(close: Column, volume: Column) -> Column:
    """On-balance volume: starts at the first volume, adds each volume with the sign of its close's change. Only changes mean anything."""
    close, volume = _checked_together(close, volume)
    return _talib().OBV(close, volume) if len(close) else _unknown(close)


def volume_ratio(volume: Column, *, bars: int = 20) -> Column:
    """Volume over the mean of the `bars` bars before it, itself left out. Unknown for the first `bars` and where nothing was traded."""
    usual, most = mean_before(volume, bars), max_before(volume, bars)
    return _ratio(volume, np.where(most > 0, usual, 0))


def vwap(high: Column, low: Column, close: Column, volume: Column, *, bars: int = 20) -> Column:
    """Mean typical price of `bars` bars weighted with volume. Unknown for the first bars − 1 and where nothing was traded."""
    high, low, close, volume = _checked_together(high, low, close, volume)
    return _ratio(window_sum(_typical(high, low, close) * volume, bars), window_sum(volume, bars))


def donchian(high: Column, low: Column, bars: int) -> tuple[Column, Column]:
    """Highest high and lowest low of the `bars` bars up to t. Unknown for the first bars − 1."""
    _shaped_together(high, low)
    return _top(high, bars, sign=1.0, lag=0), _top(low, bars, sign=-1.0, lag=0)


def candle_pattern(name: str, opened: Column, high: Column, low: Column, close: Column) -> NDArray[np.int32]:
    """TA-Lib's candle pattern `name`: 100 where a bullish one ends, −100 for a bearish one, 0 else and over its look-back."""
    columns = _checked_together(opened, high, low, close)
    answers: NDArray[np.int32] = getattr(_talib(), name)(*columns)
    return answers


def window_sum(values: Column, bars: int) -> Column:
    """Sum of the `bars` bars up to t, added oldest first: no running sum, so nothing of an older bar is left in it.

    Unknown for the first bars − 1 and where one of the bars is.
    """
    total = _unknown(values)
    count = len(values) - bars + 1
    if count > 0:
        part = np.zeros(count)
        for start in range(bars):
            part += values[start : start + count]
        total[bars - 1 :] = part
    return total


def max_before(values: Column, bars: int) -> Column:
    """The largest of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _top(values, bars, sign=1.0, lag=1)


def min_before(values: Column, bars: int) -> Column:
    """The smallest of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _top(values, bars, sign=-1.0, lag=1)


def mean_before(values: Column, bars: int) -> Column:
    """The mean of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _mean(values, bars, lag=1)


def _typical(high: Column, low: Column, close: Column) -> Column:
    return (high + low + close) / 3


def _ratio(above: Column, below: Column) -> Column:
    """above / below, unknown where that is 0/0 or has no bound."""
    is_known = below != 0
    return np.where(is_known, above / np.where(is_known, below, 1), np.nan)


@cache
def _talib() -> Any:
    """TA-Lib, imported when first needed, and without pandas: it would load it only to accept columns that we never hand it.

    That half second is a third of a whole `manage.py backtest`. TA-Lib looks for pandas once and does without where it is missing.
    """
    is_hidden = "pandas" not in sys.modules
    if is_hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # how Python says "not to be had"
    try:
        import talib
    finally:
        if is_hidden:
            del sys.modules["pandas"]
    return talib


@cache
def _kernels() -> Any:
    """The compiled part, loaded when first needed: numba is a quarter of a second that the web need not spend."""
    from backtests import indicator_kernels

    return indicator_kernels


def _mean(values: Column, bars: int, *, lag: int) -> Column:
    first, mean = _first_known(values), np.empty_like(_shaped(values))
    _refuse_unless(_kernels().window_mean(values, first, bars, lag, mean), values[first:])
    return mean


def _top(values: Column, bars: int, *, sign: float, lag: int) -> Column:
    first, top = _first_known(values), np.empty_like(_shaped(values))
    _refuse_unless(_kernels().window_top(values, first, bars, lag, sign, top), values[first:])
    return top


def _first_known(values: Column) -> int:
    """The first bar that is not unknown, the length when there is none."""
    return 0 if not len(values) or math.isfinite(values[0]) else _first_true(np.isfinite(values))


def _shaped(values: Column) -> Column:
    if values.ndim != 1 or values.dtype != np.float64 or not values.flags.c_contiguous:
        raise ValueError(f"a contiguous float64 column is needed, was {values.dtype} of shape {values.shape}")
    return values


def _shaped_together(*columns: Column) -> None:
    if len({len(_shaped(column)) for column in columns}) != 1:
        raise ValueError(f"columns must be equally long, were {[len(column) for column in columns]}")


def _refuse_unless(is_finite: bool, *columns: Column) -> None:
    """Raises ValueError naming the value that is not finite; a kernel only tells that there is one."""
    if not is_finite:
        for column in columns:
            _checked(column)


def _checked(values: Column) -> Column:
    _shaped(values)
    # A sum is finite only when every value is, and reads the column once; the exact look follows where it is not.
    if not math.isfinite(values.sum()) and not np.isfinite(values).all():
        at = _first_true(~np.isfinite(values))
        raise ValueError(f"value {at} of {len(values)} is {values[at]}; indicators need finite numbers")
    return values


def _checked_together(*columns: Column) -> tuple[Column, ...]:
    _shaped_together(*columns)
    return tuple(_checked(column) for column in columns)


def _unknown(like: Column) -> Column:
    return np.full(len(like), np.nan)


def _first_place(flags: Callable[[slice], NDArray[np.bool_]], count: int) -> int:
    """Index of the first True among `count` flags, `count` when there is none; asked for in parts, as it is nearly always early."""
    for start in range(0, count, PART):
        part = flags(slice(start, start + PART))
        if part.any():
            return start + int(np.argmax(part))
    return max(count, 0)


def _first_true(flags: NDArray[np.bool_]) -> int:
    """Index of the first True, the length when there is none."""
    return int(np.argmax(flags)) if flags.any() else len(flags)
