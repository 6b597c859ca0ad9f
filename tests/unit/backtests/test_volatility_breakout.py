from dataclasses import replace

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.strategies.base import NO, UNKNOWN, YES
from backtests.strategies.registry import STRATEGIES, strategy_named
from backtests.strategies.volatility_breakout import STRATEGY, VolatilityBreakoutParameters
from dgbot.core.errors import BadInput
from tests.candle_factory import make_candles

BREAKOUT = 85  # the bar that breaks out of the hand-made market


def breaking_out(**last: float) -> Candles:
    """60 lively bars that climb, 25 quiet ones, then a bar above all on three times the volume."""
    lively = 100 + 0.05 * np.arange(60) + np.where(np.arange(60) % 2, 1.5, -1.5)
    quiet = 103.5 + np.where(np.arange(25) % 2, 0.1, -0.1)
    close = np.concatenate([lively, quiet, [last.get("close", 106.0)]])
    volume = np.concatenate([np.full(85, 10.0), [last.get("volume", 30.0)]])
    return make_candles(close, volume=volume)


def gates(candles: Candles) -> dict[str, int]:
    found = STRATEGY.signals(candles, VolatilityBreakoutParameters())
    return {name: int(gate[BREAKOUT]) for name, gate in found.gates.items()} | {"entry": int(found.entry[BREAKOUT])}


def test_a_quiet_market_that_breaks_out_upward_on_volume_is_bought() -> None:
    assert gates(breaking_out()) == {"trend": YES, "squeeze": YES, "breakout": YES, "volume": YES, "entry": YES}


def test_volume_of_exactly_the_factor_is_not_enough() -> None:
    assert gates(breaking_out(volume=15.0)) == {"trend": YES, "squeeze": YES, "breakout": YES, "volume": NO, "entry": NO}
    assert gates(breaking_out(volume=15.1))["volume"] == YES


def test_touching_the_highest_high_is_no_breakout() -> None:
    candles = breaking_out()
    ceiling = float(candles.high[BREAKOUT - 20 : BREAKOUT].max())

    assert gates(breaking_out(close=ceiling)) == {"trend": YES, "squeeze": YES, "breakout": NO, "volume": YES, "entry": NO}
    assert gates(breaking_out(close=np.nextafter(ceiling, np.inf)))["breakout"] == YES


def test_a_wick_before_counts_as_the_ceiling() -> None:
    candles = breaking_out()
    high = candles.high.copy()

    high[BREAKOUT - 20] = 107.0
    assert gates(replace(candles, high=high, chain=None))["breakout"] == NO

    high[BREAKOUT - 20], high[BREAKOUT - 21] = candles.high[BREAKOUT - 20], 107.0
    assert gates(replace(candles, high=high, chain=None))["breakout"] == YES


def test_a_close_under_the_mean_is_no_trend() -> None:
    high_before = np.concatenate([np.full(40, 200.0), breaking_out().close[40:]])

    found = gates(make_candles(high_before, volume=breaking_out().volume))

    assert (found["trend"], found["entry"]) == (NO, NO)


def test_an_evenly_lively_market_is_no_squeeze() -> None:
    close = np.concatenate([100 + np.where(np.arange(85) % 2, 1.5, -1.5), [106.0]])

    found = gates(make_candles(close, volume=breaking_out().volume))

    assert found == {"trend": YES, "squeeze": NO, "breakout": YES, "volume": YES, "entry": NO}


def test_distances_are_multiples_of_the_signal_bars_atr() -> None:
    found = STRATEGY.signals(breaking_out(), VolatilityBreakoutParameters())

    atr = found.fakeout_distance[BREAKOUT]
    assert atr > 0
    assert found.stop_distance[BREAKOUT] == 2 * atr
    assert found.target_distance[BREAKOUT] == 3 * atr


def test_constant_prices_are_never_bought() -> None:
    found = STRATEGY.signals(make_candles(np.full(100, 100.0)), VolatilityBreakoutParameters())

    assert set(found.entry[STRATEGY.warm_up(VolatilityBreakoutParameters()) :].tolist()) == {NO}
    assert np.isnan(found.strength).all()


def test_hit_rates_count_known_bars_only() -> None:
    found = STRATEGY.signals(breaking_out(), VolatilityBreakoutParameters())

    assert found.hit_rates()["volume"] == pytest.approx(1 / (86 - 20))
    assert found.gates["volume"][:20].tolist() == [UNKNOWN] * 20


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert strategy_named("volatility_breakout") is STRATEGIES["volatility_breakout"]
    with pytest.raises(BadInput, match="no strategy 'moon'; known are volatility_breakout"):
        strategy_named("moon")


def test_defaults_are_within_their_bounds_and_told() -> None:
    VolatilityBreakoutParameters().validate()

    assert all(bounds.help and bounds.unit for bounds in VolatilityBreakoutParameters.bounds().values())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"trend_bars": 1}, "trend_bars is 1 bars; it must lie in 2…1000"),
        ({"trend_bars": 50.5}, "trend_bars must be a whole number"),
        ({"squeeze_ratio": "0.8"}, "squeeze_ratio must be a number, was '0.8'"),
        ({"squeeze_ratio": float("nan")}, "squeeze_ratio must be a number, was nan"),
        ({"squeeze_ratio": True}, "squeeze_ratio must be a number, was True"),
        ({"moon": 1}, "'moon' is not known; known are stop_atr"),
    ],
)
def test_wrong_parameters_are_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        VolatilityBreakoutParameters.of(values)


def test_given_parameters_replace_defaults() -> None:
    parameters = VolatilityBreakoutParameters.of({"trend_bars": 20.0, "stop_atr": 1})

    assert parameters == VolatilityBreakoutParameters(trend_bars=20, stop_atr=1.0)
    assert isinstance(parameters.trend_bars, int)
