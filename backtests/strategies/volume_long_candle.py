"""Volume long candle: buy after a tall rising candle with short wicks on strong volume. Source: requirements §2.10, W-88."""

from dataclasses import dataclass

from backtests.candles.series import Candles
from backtests.indicators import mean_before
from backtests.strategies.base import ROUNDING, Parameters, Signals, Strategy, all_open, answers, bounded
from backtests.strategies.exits import ExitRules


@dataclass(frozen=True)
class VolumeLongCandleParameters(Parameters):
    """Sizes are fractions of the candle's open."""

    volume_bars: int = bounded(20, low=2, high=1000, unit="bars", help="Volume: compared with the mean of this many bars before.")
    volume_factor: float = bounded(1.5, low=0, high=100, unit="times", help="Volume: strong means at least this many times the mean.")
    body: float = bounded(0.02, low=0.0001, high=5, unit="fraction", help="The close is at least this far above the open; 0.02 is 2 %.")
    wick: float = bounded(0.04, low=0.0001, high=5, unit="fraction", help="Each wick, measured from the open, is shorter than this.")
    hold_bars: int = bounded(1, low=1, high=1000, unit="bars", help="Leave at the open this many bars after the entry's.")


def signals(candles: Candles, parameters: VolumeLongCandleParameters) -> Signals:
    """Entry needs the body, both wicks and the volume; the mean leaves the bar itself out. No stop or target of its own."""
    usual = mean_before(candles.volume, parameters.volume_bars)
    wanted = parameters.volume_factor * usual * (1 - ROUNDING)
    gates = {
        "body": answers((candles.close - candles.open) / candles.open >= parameters.body),
        "upper_wick": answers((candles.high - candles.close) / candles.open < parameters.wick),
        "lower_wick": answers((candles.open - candles.low) / candles.open < parameters.wick),
        "volume": answers((candles.volume > 0) & (candles.volume >= wanted), usual),
    }
    return Signals(entry=all_open(gates), gates=gates)


STRATEGY = Strategy(
    name="volume_long_candle",
    title="Long candle on volume",
    description="Buys after a tall rising candle with short wicks on strong volume; leaves after some bars.",
    parameters=VolumeLongCandleParameters,
    warm_up=lambda parameters: parameters.volume_bars,
    look_back=lambda parameters: parameters.volume_bars + 1,
    signals=signals,
    exit_rules=lambda parameters: ExitRules(hold_bars=parameters.hold_bars),
)
