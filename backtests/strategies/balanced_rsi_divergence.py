"""Balanced RSI divergence: trade the end of a counter-move that relative strength no longer follows, with the long trend.

The source asks for RSI under 30, a falling price, a fresh MACD cross and a close above EMA200 in the same bar, which next to
never happens. Here the three follow each other: a divergence between confirmed pivots whose first was stretched, then the
MACD line above its signal, both within a few bars, on the right side of the trend. Source: docs/decisions/0012-corrected-strategies.md
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import WILDER_BARS, WILDER_LOOK_BACK, adx14, ema, ema_look_back, macd, rsi14
from backtests.strategies import fractions
from backtests.strategies.base import (
    NO,
    ROUNDING,
    YES,
    Answers,
    Parameters,
    Signals,
    Strategy,
    all_open,
    answers,
    bounded,
    is_above,
    unknown_before,
    within,
)
from backtests.strategies.exits import ExitRules
from backtests.structure import Divergences, bearish_divergences, bullish_divergences

MACD_BARS = (12, 26, 9)
MACD_WARM_UP = 26 + 9 - 2


@dataclass(frozen=True)
class BalancedRsiDivergenceParameters(Parameters):
    """Lengths in bars, distances as fractions."""

    pivot_bars: int = bounded(
        3, low=1, high=50, unit="bars", help="A pivot stands out from this many bars on both sides; it is known as late."
    )
    longest_bars: int = bounded(60, low=2, high=500, unit="bars", help="The two pivots of a divergence lie at most this far apart.")
    stretched: float = bounded(
        30.0, low=1, high=50, unit="RSI14", help="RSI14 at the first low is under this; at the first high over 100 minus this."
    )
    rsi_gap: float = bounded(2.0, low=0, high=50, unit="RSI14", help="RSI14 differs by at least this between the two pivots.")
    prominence_atr: float = bounded(0.5, low=0, high=20, unit="ATR14", help="A pivot stands out by at least this.")
    fresh_bars: int = bounded(
        10, low=1, high=200, unit="bars", help="The divergence became known, and MACD crossed, within this many bars."
    )
    trend_bars: int = bounded(
        200, low=2, high=1000, unit="bars", help="Longs above, shorts below the exponential mean of this many closes."
    )
    leave_rsi: float = bounded(
        55.0, low=50, high=100, unit="RSI14", help="Leave a long at this RSI14, a short at 100 minus it; 100: never."
    )
    stop: float = fractions.stop(0.02)
    target: float = fractions.target(0.04)


def warm_up(parameters: BalancedRsiDivergenceParameters) -> int:
    """Bars at the start whose answer is unknown."""
    return max(parameters.trend_bars - 1, MACD_WARM_UP, WILDER_BARS)


def look_back(parameters: BalancedRsiDivergenceParameters) -> int:
    """Bars an answer depends on: the trend's, or those back to the first pivot and its own RSI14."""
    to_the_first_pivot = parameters.fresh_bars + 2 * parameters.pivot_bars + parameters.longest_bars
    return max(warm_up(parameters) + 1, ema_look_back(parameters.trend_bars), to_the_first_pivot + WILDER_LOOK_BACK)


def signals(candles: Candles, parameters: BalancedRsiDivergenceParameters) -> Signals:
    """A long after a bullish divergence above the trend, a short after a bearish one below; each leaves as RSI14 is back."""
    high, low, close = candles.high, candles.low, candles.close
    bullish, bearish = (_found(find, candles, parameters) for find in (bullish_divergences, bearish_divergences))
    mean, strength = ema(close, parameters.trend_bars), rsi14(close)
    _line, _signal, histogram = macd(close)
    margin = ROUNDING * close
    gates = {
        "divergence": _recent(bullish, bullish.first_rsi < parameters.stretched, like=close, parameters=parameters),
        "macd": _turned(histogram > margin, histogram, parameters),
        "trend": answers(is_above(close, mean), mean),
    }
    short_gates = {
        "short_divergence": _recent(bearish, bearish.first_rsi > 100 - parameters.stretched, like=close, parameters=parameters),
        "short_macd": _turned(histogram < -margin, histogram, parameters),
        "short_trend": answers(is_above(mean, close), mean),
    }
    known = {"rsi": answers(np.ones(len(close), dtype=np.bool_), strength)}
    return Signals(
        entry=unknown_before(warm_up(parameters), all_open(gates | known)),
        short_entry=unknown_before(warm_up(parameters), all_open(short_gates | known)),
        exit=answers(strength >= parameters.leave_rsi, strength),
        short_exit=answers(strength <= 100 - parameters.leave_rsi, strength),
        stop_distance=fractions.distance(candles, parameters.stop),
        target_distance=fractions.distance(candles, parameters.target),
        strength=adx14(high, low, close),
        gates=gates | short_gates,
    )


def _found(find: Callable[..., Divergences], candles: Candles, parameters: BalancedRsiDivergenceParameters) -> Divergences:
    return find(
        candles.high,
        candles.low,
        candles.close,
        bars=parameters.pivot_bars,
        longest_bars=parameters.longest_bars,
        rsi_gap=parameters.rsi_gap,
        prominence_atr=parameters.prominence_atr,
    )


def _recent(found: Divergences, is_stretched: np.ndarray, *, like: np.ndarray, parameters: BalancedRsiDivergenceParameters) -> Answers:
    """Whether such a divergence became known within the fresh bars."""
    events = np.zeros(len(like), dtype=np.bool_)
    events[found.known_at[is_stretched]] = True
    return np.where(within(events, parameters.fresh_bars), YES, NO).astype(np.int8)


def _turned(is_on_side: np.ndarray, histogram: np.ndarray, parameters: BalancedRsiDivergenceParameters) -> Answers:
    """Whether the MACD line is on this side of its signal and came there within the fresh bars."""
    came = is_on_side & within(np.isfinite(histogram) & ~is_on_side, parameters.fresh_bars + 1)
    return answers(came, histogram)


STRATEGY = Strategy(
    name="balanced_rsi_divergence",
    title="Balanced RSI divergence",
    description="Trades with the long trend, long or short, after a counter-move that relative strength no longer follows.",
    parameters=BalancedRsiDivergenceParameters,
    warm_up=warm_up,
    look_back=look_back,
    signals=signals,
    exit_rules=lambda _parameters: ExitRules(),
    allows_shorts=True,
    is_recursive=True,
)
