"""Market structure: swing pivots, the divergences between them, and Fibonacci levels. Nothing is told before it is confirmed.

high      ·  P  ·
        ·       · ·      a pivot is known `bars` bars after its own: at the first bar where a trader could have seen it
bar     …  p …  p + bars
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.indicators import Column, atr14, max_before, rsi14

Places = NDArray[np.intp]

FIBONACCI = (0.236, 0.382, 0.5, 0.618, 0.786)


def swing_highs(high: Column, low: Column, close: Column, *, bars: int, prominence_atr: float = 0.0) -> Places:
    """Bars whose high is above all of the `bars` before and no lower than the `bars` after it; of a plateau its first bar.

    prominence_atr: how far, in ATR14 of the pivot, the lows on both sides must lie beneath it; free of any price scale.
    A pivot p is known from bar p + bars on, so a prefix of the candles gives the pivots it had confirmed.
    """
    before = max_before(high, bars)
    after = max_before(high[::-1].copy(), bars)[::-1]
    is_pivot = (high > before) & (high >= after)
    depth = np.minimum(high + max_before(-low, bars), high + max_before(-low[::-1].copy(), bars)[::-1])
    if prominence_atr > 0:
        is_pivot &= depth >= prominence_atr * atr14(high, low, close)
    return np.flatnonzero(is_pivot)


def swing_lows(high: Column, low: Column, close: Column, *, bars: int, prominence_atr: float = 0.0) -> Places:
    """The mirror of `swing_highs` on the lows."""
    return swing_highs(-low, -high, -close, bars=bars, prominence_atr=prominence_atr)


@dataclass(frozen=True, eq=False)
class Divergences:
    """Pairs of neighbouring pivots between which price and RSI14 part, known at `known_at`. All (m,), oldest first.

    first, second, known_at: bars; known_at = second + the bars of confirmation. first_rsi, second_rsi: 0…100.
    """

    first: Places
    second: Places
    known_at: Places
    first_rsi: Column
    second_rsi: Column


def bullish_divergences(
    high: Column, low: Column, close: Column, *, bars: int, longest_bars: int, rsi_gap: float = 2.0, prominence_atr: float = 0.5
) -> Divergences:
    """Two neighbouring swing lows, the second lower in price and higher in RSI14 by `rsi_gap` points or more.

    RSI is read at the price's own pivots: the two are paired in time. longest_bars: the most bars between the pivots.
    """
    return _divergences(
        swing_lows(high, low, close, bars=bars, prominence_atr=prominence_atr), low, rsi14(close), 1, bars, longest_bars, rsi_gap
    )


def bearish_divergences(
    high: Column, low: Column, close: Column, *, bars: int, longest_bars: int, rsi_gap: float = 2.0, prominence_atr: float = 0.5
) -> Divergences:
    """Two neighbouring swing highs, the second higher in price and lower in RSI14 by `rsi_gap` points or more."""
    return _divergences(
        swing_highs(high, low, close, bars=bars, prominence_atr=prominence_atr), high, rsi14(close), -1, bars, longest_bars, rsi_gap
    )


def fibonacci_levels(*, swing_start: float, swing_end: float) -> dict[float, float]:
    """Retracement levels of the move from one pivot to the next, share → price.

    After a rise they lie under its high, after a fall above its low: always between the two pivots.
    """
    return {share: swing_end - share * (swing_end - swing_start) for share in FIBONACCI}


def _divergences(pivots: Places, price: Column, strength: Column, side: int, bars: int, longest_bars: int, rsi_gap: float) -> Divergences:
    """side 1: price falls while strength rises; −1 the mirror."""
    first, second = pivots[:-1], pivots[1:]
    price_parts = side * (price[second] - price[first]) < 0
    strength_parts = side * (strength[second] - strength[first]) >= rsi_gap
    chosen = price_parts & strength_parts & (second - first <= longest_bars)
    first, second = first[chosen], second[chosen]
    return Divergences(first=first, second=second, known_at=second + bars, first_rsi=strength[first], second_rsi=strength[second])
