"""Strategies that know nothing: entries thrown by a seeded coin, for proofs that nothing is made of nothing."""

from dataclasses import dataclass

import numpy as np

from backtests.candles.series import Candles
from backtests.strategies.base import NO, YES, Parameters, Signals, Strategy, bounded
from backtests.strategies.exits import ExitRules


@dataclass(frozen=True)
class NoiseParameters(Parameters):
    """The coin and how long a trade is held."""

    coin: int = bounded(0, low=0, high=1_000_000, unit="seed", help="Which throws.")
    every: float = bounded(20.0, low=5, high=60, unit="bars", help="Bars between two entries, on average.")
    hold_bars: int = bounded(8, low=1, high=40, unit="bars", help="Leave after so many.")


def signals(candles: Candles, parameters: NoiseParameters) -> Signals:
    throws = np.random.default_rng(parameters.coin).random(len(candles))
    return Signals(entry=np.where(throws < 1 / parameters.every, YES, NO).astype(np.int8))


def noise_strategy(number: int) -> Strategy[NoiseParameters]:
    """The strategy called noise_<number>."""
    return Strategy(
        name=f"noise_{number}",
        title="Noise",
        description="Throws a coin.",
        parameters=NoiseParameters,
        warm_up=lambda _parameters: 0,
        look_back=lambda _parameters: 1,
        signals=signals,
        exit_rules=lambda parameters: ExitRules(hold_bars=parameters.hold_bars),
    )
