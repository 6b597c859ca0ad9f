"""What a single bar looks like against the bars before it: the readings the validator asks of every entry."""

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import Column, adx14, atr14, atr_fraction, bollinger_width, mean_before, rsi14, volume_ratio

EXPANSION_BARS = 50  # long enough that the burst itself hardly moves the mean it is measured against


def columns(candles: Candles) -> dict[str, Column]:
    """Each reading as (n,) float64, NaN unknown.

    rsi14, adx14: 0…100. atr_fraction: ATR14 / close. atr_expansion: ATR14 over its mean of the 50 bars before. volume_ratio:
    volume over the mean of the 20 bars before, the bar left out (requirements §2.1). band_width: (upper − lower) / middle, 20 bars, 2 σ.
    """
    high, low, close = candles.high, candles.low, candles.close
    return {
        "rsi14": rsi14(close),
        "adx14": adx14(high, low, close),
        "atr_fraction": atr_fraction(high, low, close),
        "atr_expansion": _expansion(atr14(high, low, close)),
        "volume_ratio": volume_ratio(candles.volume),
        "band_width": bollinger_width(close),
    }


def newest(candles: Candles) -> dict[str, float | None]:
    """The readings of the last bar; None unknown. An empty series knows nothing."""
    if not len(candles):
        return {}
    last = {name: float(column[-1]) for name, column in columns(candles).items()}
    return {name: None if np.isnan(value) else value for name, value in last.items()}


def _expansion(atr: Column) -> Column:
    usual = mean_before(atr, EXPANSION_BARS)
    is_known = usual > 0
    return np.where(is_known, atr / np.where(is_known, usual, 1), np.nan)
