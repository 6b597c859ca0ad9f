"""Volatility breakout: buy when a quiet market in an upward trend leaves its range on strong volume. Source: DESIGN §10."""

from dataclasses import dataclass

from backtests.candles.series import Candles
from backtests.indicators import WILDER_BARS, WILDER_LOOK_BACK, adx14, atr14, bollinger_width, max_before, mean_before, min_before, sma
from backtests.strategies.base import Answers, Numbers, Signals, Strategy, all_open, answers, bounded, exceeds, scaled
from backtests.strategies.exits import ExitParameters


@dataclass(frozen=True)
class VolatilityBreakoutParameters(ExitParameters):
    """Lengths in bars, factors as fractions."""

    trend_bars: int = bounded(50, low=2, high=1000, unit="bars", help="Trend: the close is above the mean of this many closes.")
    band_bars: int = bounded(20, low=2, high=500, unit="bars", help="Squeeze: length of the Bollinger bands.")
    band_deviations: float = bounded(2.0, low=0.1, high=10, unit="σ", help="Squeeze: half width of the bands.")
    squeeze_bars: int = bounded(10, low=2, high=500, unit="bars", help="Squeeze: the narrowest band of this many bars before counts.")
    squeeze_mean_bars: int = bounded(
        20, low=2, high=500, unit="bars", help="Squeeze: it is compared with the mean width of this many bars."
    )
    squeeze_ratio: float = bounded(0.8, low=0.01, high=2, unit="fraction", help="Squeeze: narrow means under this share of the mean.")
    breakout_bars: int = bounded(20, low=2, high=1000, unit="bars", help="Breakout: the close is above the highest high of this many bars.")
    volume_bars: int = bounded(20, low=2, high=1000, unit="bars", help="Volume: compared with the mean of this many bars before.")
    volume_factor: float = bounded(1.5, low=0, high=100, unit="times", help="Volume: strong means over this many times the mean.")


def warm_up(parameters: VolatilityBreakoutParameters) -> int:
    """Bars at the start whose answer is unknown; the next one is known."""
    band_known_at = parameters.band_bars - 1
    return max(
        parameters.trend_bars - 1,
        band_known_at + parameters.squeeze_bars,
        band_known_at + parameters.squeeze_mean_bars,
        parameters.breakout_bars,
        parameters.volume_bars,
        WILDER_BARS,
    )


def signals(candles: Candles, parameters: VolatilityBreakoutParameters) -> Signals:
    """Entry needs all four gates at the close of a bar, and an ATR14 to measure stop and target with."""
    gates = {
        "trend": _trend(candles, parameters),
        "squeeze": _squeeze(candles, parameters),
        "breakout": _breakout(candles, parameters),
        "volume": _volume(candles, parameters),
    }
    atr = atr14(candles.high, candles.low, candles.close)
    return Signals(
        entry=all_open({**gates, "distance": answers(atr > 0, atr)}),
        stop_distance=scaled(atr, parameters.stop_atr),
        target_distance=scaled(atr, parameters.target_atr),
        fakeout_distance=scaled(atr, parameters.fakeout_atr),
        strength=adx14(candles.high, candles.low, candles.close),
        gates=gates,
    )


def _trend(candles: Candles, parameters: VolatilityBreakoutParameters) -> Answers:
    mean: Numbers = sma(candles.close, parameters.trend_bars)
    return exceeds(candles.close, mean)


def _squeeze(candles: Candles, parameters: VolatilityBreakoutParameters) -> Answers:
    width = bollinger_width(candles.close, bars=parameters.band_bars, deviations=parameters.band_deviations)
    narrowest = min_before(width, parameters.squeeze_bars)
    usual = mean_before(width, parameters.squeeze_mean_bars)
    return exceeds(usual, narrowest, left_times=parameters.squeeze_ratio)


def _breakout(candles: Candles, parameters: VolatilityBreakoutParameters) -> Answers:
    ceiling = max_before(candles.high, parameters.breakout_bars)
    return exceeds(candles.close, ceiling)


def _volume(candles: Candles, parameters: VolatilityBreakoutParameters) -> Answers:
    usual = mean_before(candles.volume, parameters.volume_bars)
    return exceeds(candles.volume, usual, right_times=parameters.volume_factor)


STRATEGY = Strategy(
    name="volatility_breakout",
    title="Volatility breakout",
    description="Buys when a quiet market in an upward trend leaves its range on strong volume.",
    parameters=VolatilityBreakoutParameters,
    warm_up=warm_up,
    look_back=lambda parameters: max(warm_up(parameters) + 1, WILDER_LOOK_BACK),
    signals=signals,
    exit_rules=VolatilityBreakoutParameters.exit_rules,
    is_recursive=True,
)
