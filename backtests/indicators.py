"""The one wrapper over TA-Lib, Wilder's conventions. Unknown is NaN: over the warm-up, and wherever the formula says nothing.

Every function takes finite, contiguous float64 columns (n,), oldest first, and returns (n,) float64; a column may begin with
unknowns, as another indicator's warm-up does. Value t depends on bars up to t only, so a prefix of the bars gives a prefix of
the results, to the bit. Raises ValueError for anything else: TA-Lib would go on and answer nonsense.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

WILDER_BARS = 14  # Wilder's own length for RSI, ATR and ADX
WILDER_LOOK_BACK = 125  # bars after which all older ones together weigh under a thousandth in ADX14, the slowest of the three


def sma(values: Column, bars: int) -> Column:
    """Mean of the `bars` bars up to t. Unknown for the first bars − 1."""
    return _known_part(values, lambda known: _talib().SMA(known, timeperiod=bars), needed=bars)


def bollinger_bands(close: Column, *, bars: int = 20, deviations: float = 2.0) -> tuple[Column, Column, Column]:
    """Upper, middle and lower band: mean ± deviations · σ of the `bars` closes up to t, σ of the population (divided by n)."""
    known = _checked(close)
    if len(known) < bars:
        return _unknown(close), _unknown(close), _unknown(close)
    upper, middle, lower = _talib().BBANDS(known, timeperiod=bars, nbdevup=deviations, nbdevdn=deviations)
    return upper, middle, lower


def bollinger_width(close: Column, *, bars: int = 20, deviations: float = 2.0) -> Column:
    """(upper − lower) / middle, a fraction: 0.01 is 1 %. Unknown for the first bars − 1."""
    upper, middle, lower = bollinger_bands(close, bars=bars, deviations=deviations)
    return (upper - lower) / middle


def atr14(high: Column, low: Column, close: Column) -> Column:
    """Average true range in quote currency. Unknown for the first 14 bars."""
    high, low, close = _checked_together(high, low, close)
    if len(close) <= WILDER_BARS:
        return _unknown(close)
    return _talib().ATR(high, low, close, timeperiod=WILDER_BARS)


def rsi14(close: Column) -> Column:
    """Relative strength, 0…100. Unknown for the first 14 bars and until the price has moved: without a move 0/0, TA-Lib says 0."""
    known = _checked(close)
    if len(known) <= WILDER_BARS:
        return _unknown(close)
    strength = _talib().RSI(known, timeperiod=WILDER_BARS)
    strength[: _first_true(known[1:] != known[:-1]) + 1] = np.nan
    return strength


def adx14(high: Column, low: Column, close: Column) -> Column:
    """Strength of the trend, 0…100, whatever its direction. Unknown for 27 bars, counted from the first directional movement.

    Before any directional movement DX is 0/0; TA-Lib would count such bars as zero and stay too low long after.
    """
    high, low, close = _checked_together(high, low, close)
    up, down = np.diff(high), -np.diff(low)
    start = _first_true((np.maximum(up, down) > 0) & (up != down))
    strength = _unknown(close)
    if len(close) - start >= 2 * WILDER_BARS:
        strength[start:] = _talib().ADX(high[start:], low[start:], close[start:], timeperiod=WILDER_BARS)
    return strength


def max_before(values: Column, bars: int) -> Column:
    """The largest of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _before(_known_part(values, lambda known: _talib().MAX(known, timeperiod=bars), needed=bars))


def min_before(values: Column, bars: int) -> Column:
    """The smallest of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _before(_known_part(values, lambda known: _talib().MIN(known, timeperiod=bars), needed=bars))


def mean_before(values: Column, bars: int) -> Column:
    """The mean of the `bars` bars before t, t excluded. Unknown for the first `bars`."""
    return _before(sma(values, bars))


@cache
def _talib() -> Any:
    """TA-Lib, imported when first needed: it pulls in pandas, a second that web and most commands need not spend."""
    import talib

    return talib


def _known_part(values: Column, indicator: Callable[[Column], Column], *, needed: int) -> Column:
    first = _first_true(np.isfinite(values))
    result = np.full(len(values), np.nan)
    known = _checked(values[first:])
    if len(known) >= needed:
        result[first:] = indicator(known)
    return result


def _before(values: Column) -> Column:
    return np.concatenate([[np.nan], values[:-1]]) if len(values) else values


def _checked(values: Column) -> Column:
    if values.ndim != 1 or values.dtype != np.float64 or not values.flags.c_contiguous:
        raise ValueError(f"a contiguous float64 column is needed, was {values.dtype} of shape {values.shape}")
    if not np.isfinite(values).all():
        at = _first_true(~np.isfinite(values))
        raise ValueError(f"value {at} of {len(values)} is {values[at]}; indicators need finite numbers")
    return values


def _checked_together(*columns: Column) -> tuple[Column, ...]:
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"columns must be equally long, were {[len(column) for column in columns]}")
    return tuple(_checked(column) for column in columns)


def _unknown(like: Column) -> Column:
    return np.full(len(like), np.nan)


def _first_true(flags: NDArray[np.bool_]) -> int:
    """Index of the first True, the length when there is none."""
    return int(np.argmax(flags)) if flags.any() else len(flags)
