"""Ultra aggressive momentum: follow the newest closes, long or short, on little evidence and with near exits.

Each side counts its own evidence only and never the other's: a close that speaks for both speaks for neither (requirements §2.11).
"""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import Column, sma
from backtests.strategies import fractions
from backtests.strategies.base import Answers, Parameters, Signals, Strategy, answers, before, bounded, is_above, unknown_before
from backtests.strategies.exits import ExitRules

# Evidence in tenths, whole numbers: 0.4 + 0.3 + 0.2 in floats is not 0.9.
MEANS, RUN, MOVE, PLACE = 4, 3, 2, 2


@dataclass(frozen=True)
class UltraAggressiveMomentumParameters(Parameters):
    """What counts as evidence, and how much is enough."""

    fast_bars: int = bounded(3, low=2, high=5, unit="bars", help="The fast mean of closes; above the slow one speaks for a long.")
    slow_bars: int = bounded(7, low=6, high=200, unit="bars", help="The slow mean of closes.")
    run_bars: int = bounded(3, low=2, high=20, unit="bars", help="This many closes in one direction speak for it.")
    smallest_move: float = bounded(
        0.001, low=0, high=0.5, unit="fraction", help="A last change of the close above this speaks for its direction; 0.001 is 0.1 %."
    )
    entry_score: float = bounded(
        0.2, low=0.1, high=1.1, unit="score", help="Evidence needed: means 0.4, run 0.3, last change 0.2, close beyond the fast mean 0.2."
    )
    stop: float = fractions.stop(0.015)
    target: float = fractions.target(0.02)


def warm_up(parameters: UltraAggressiveMomentumParameters) -> int:
    """Bars at the start whose answer is unknown."""
    return max(parameters.slow_bars, parameters.fast_bars, parameters.run_bars) - 1


def signals(candles: Candles, parameters: UltraAggressiveMomentumParameters) -> Signals:
    """The side with enough evidence, and more than the other; leaves when the other side would enter."""
    fast, slow = sma(candles.close, parameters.fast_bars), sma(candles.close, parameters.slow_bars)
    long_score = _score(candles.close, fast, slow, parameters)
    short_score = _score(-candles.close, -fast, -slow, parameters)
    wanted = parameters.entry_score * 10 - 1e-9
    is_long = (long_score >= wanted) & (long_score > short_score)
    is_short = (short_score >= wanted) & (short_score > long_score)
    entry, short_entry = (_known(side, fast, slow, parameters) for side in (is_long, is_short))
    return Signals(
        entry=entry,
        short_entry=short_entry,
        exit=short_entry,
        short_exit=entry,
        stop_distance=fractions.distance(candles, parameters.stop),
        target_distance=fractions.distance(candles, parameters.target),
        gates={"score": entry, "short_score": short_entry},
    )


def _score(close: Column, fast: Column, slow: Column, parameters: UltraAggressiveMomentumParameters) -> np.ndarray:
    """Evidence for a rise, in tenths; with all signs turned, for a fall."""
    previous = before(close, first=np.nan)
    rises = is_above(close, previous)
    run = rises.copy()
    for _ in range(parameters.run_bars - 2):
        run = rises & before(run, first=False)
    moved = close - previous > parameters.smallest_move * np.abs(previous)
    return MEANS * is_above(fast, slow) + RUN * run + MOVE * (moved & rises) + PLACE * is_above(close, fast)


def _known(side: np.ndarray, fast: Column, slow: Column, parameters: UltraAggressiveMomentumParameters) -> Answers:
    return unknown_before(warm_up(parameters), answers(side, fast, slow))


STRATEGY = Strategy(
    name="ultra_aggressive_momentum",
    title="Ultra aggressive momentum",
    description="Follows the newest closes long or short on little evidence, with a near stop and a near target.",
    parameters=UltraAggressiveMomentumParameters,
    warm_up=warm_up,
    look_back=lambda parameters: warm_up(parameters) + 1,
    signals=signals,
    exit_rules=lambda _parameters: ExitRules(),
    allows_shorts=True,
)
