"""Conservative EMA: trade a cross of two exponential means that relative strength and volume confirm. Source: requirements §2.11.

The source calls its stop "ATR" and uses a fixed 4 %; here it is called what it is.
"""

from dataclasses import dataclass

from backtests.candles.series import Candles
from backtests.indicators import WILDER_BARS, WILDER_LOOK_BACK, adx14, ema, ema_look_back, mean_before, rsi14
from backtests.strategies import fractions
from backtests.strategies.base import Parameters, Signals, Strategy, all_open, answers, bounded, crosses_above, unknown_before
from backtests.strategies.exits import ExitRules

FEWEST_BARS = 60  # before that the slow mean is mostly its own seed


@dataclass(frozen=True)
class ConservativeEmaParameters(Parameters):
    """Lengths in bars, distances as fractions."""

    fast_bars: int = bounded(20, low=2, high=40, unit="bars", help="The fast exponential mean of closes.")
    slow_bars: int = bounded(50, low=41, high=400, unit="bars", help="The slow exponential mean of closes.")
    rsi_middle: float = bounded(50.0, low=1, high=99, unit="RSI14", help="RSI14 must be above this for a long, below it for a short.")
    volume_bars: int = bounded(30, low=2, high=1000, unit="bars", help="Volume: compared with the mean of this many bars before.")
    volume_factor: float = bounded(1.5, low=0, high=100, unit="times", help="Volume: strong means over this many times the mean.")
    stop: float = fractions.stop(0.04)
    target: float = fractions.target(0.08)
    partial_profit: float = fractions.partial_profit(0.05)
    partial_share: float = fractions.partial_share(0.5)


def warm_up(parameters: ConservativeEmaParameters) -> int:
    """Bars at the start whose answer is unknown."""
    return max(FEWEST_BARS - 1, parameters.slow_bars, parameters.volume_bars, WILDER_BARS)


def signals(candles: Candles, parameters: ConservativeEmaParameters) -> Signals:
    """A long where the fast mean crosses above the slow one, a short where it crosses below; both need RSI and volume."""
    fast, slow = ema(candles.close, parameters.fast_bars), ema(candles.close, parameters.slow_bars)
    strength, usual = rsi14(candles.close), mean_before(candles.volume, parameters.volume_bars)
    volume = answers(candles.volume > parameters.volume_factor * usual, usual)
    gates = {
        "cross": answers(crosses_above(fast, slow), fast, slow),
        "rsi": answers(strength > parameters.rsi_middle, strength),
        "volume": volume,
    }
    short_gates = {
        "short_cross": answers(crosses_above(slow, fast), fast, slow),
        "short_rsi": answers(strength < parameters.rsi_middle, strength),
        "volume": volume,
    }
    return Signals(
        entry=unknown_before(warm_up(parameters), all_open(gates)),
        short_entry=unknown_before(warm_up(parameters), all_open(short_gates)),
        stop_distance=fractions.distance(candles, parameters.stop),
        target_distance=fractions.distance(candles, parameters.target),
        strength=adx14(candles.high, candles.low, candles.close),
        gates=gates | short_gates,
    )


STRATEGY = Strategy(
    name="conservative_ema",
    title="Conservative EMA",
    description="Trades a cross of two exponential means, long or short, that relative strength and volume confirm.",
    parameters=ConservativeEmaParameters,
    warm_up=warm_up,
    look_back=lambda parameters: max(warm_up(parameters) + 1, WILDER_LOOK_BACK, ema_look_back(parameters.slow_bars) + 1),
    signals=signals,
    exit_rules=lambda parameters: ExitRules(
        partial_levels=fractions.levels(profit=parameters.partial_profit, share=parameters.partial_share)
    ),
    allows_shorts=True,
    is_recursive=True,
)
