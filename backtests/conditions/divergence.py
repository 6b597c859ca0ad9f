"""RSI divergence: price makes a higher high while momentum makes a lower one, or the mirror of it on lows.

A pivot is a high no bar within 3 on either side exceeds, so it is known 3 bars later and never earlier; it must stand out from
the valleys beside it by one ATR14, which is the same for every price. RSI is read at the very bars of the two newest pivots.
Corrected from requirements §2.7: there, peaks were not paired in time and their prominence was half a currency unit (W-36).
"""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import Column, atr14, rsi14

SIDE_BARS = 3
LOOK_BACK = 60  # bars in which both pivots lie
FRESH_BARS = 10  # older pivots say nothing about now
PROMINENCE_ATR = 1.0
RISE_ATR = 0.1  # two highs closer than this are level


@dataclass(frozen=True)
class Divergence:
    """RSI points lost between two rising highs, and gained between two falling lows; 0 none, None unknown."""

    bearish: float | None
    bullish: float | None


UNKNOWN = Divergence(None, None)


def divergence(candles: Candles) -> Divergence:
    """At the newest bar. Unknown until LOOK_BACK bars have an ATR and an RSI."""
    if len(candles) < LOOK_BACK:
        return UNKNOWN
    atr, rsi = atr14(candles.high, candles.low, candles.close)[-LOOK_BACK:], rsi14(candles.close)[-LOOK_BACK:]
    if np.isnan(atr).any() or np.isnan(rsi).any():
        return UNKNOWN
    high, low = candles.high[-LOOK_BACK:], candles.low[-LOOK_BACK:]
    return Divergence(bearish=_lost(high, rsi, atr), bullish=_lost(-low, -rsi, atr))


def pivots(values: Column, *, prominence: Column, side_bars: int = SIDE_BARS) -> list[int]:
    """Indices of confirmed highs, oldest first. prominence: (n,) how far each must stand out, in the unit of `values`."""
    return [
        at
        for at in range(side_bars, len(values) - side_bars)
        if _is_top(values, at, side_bars) and _stands_out(values, at) >= prominence[at]
    ]


def _is_top(values: Column, at: int, side_bars: int) -> bool:
    before, after = values[at - side_bars : at], values[at + 1 : at + 1 + side_bars]
    return bool(values[at] > before.max() and values[at] >= after.max())  # of two level tops the first one counts


def _stands_out(values: Column, at: int) -> float:
    """Height over the higher of the two valleys that part it from higher ground, or from the ends."""
    left, right = values[:at], values[at + 1 :]
    higher_left, higher_right = np.flatnonzero(left > values[at]), np.flatnonzero(right > values[at])
    left = left[higher_left[-1] + 1 :] if len(higher_left) else left
    right = right[: higher_right[0]] if len(higher_right) else right
    return float(values[at] - max(left.min(), right.min()))


def _lost(price: Column, momentum: Column, atr: Column) -> float:
    tops = pivots(price, prominence=PROMINENCE_ATR * atr)
    if len(tops) < 2 or len(price) - 1 - tops[-1] > FRESH_BARS:
        return 0.0
    first, last = tops[-2:]
    if price[last] - price[first] < RISE_ATR * atr[last]:
        return 0.0
    return max(0.0, float(momentum[first] - momentum[last]))
