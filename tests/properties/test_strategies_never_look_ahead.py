"""What must hold for every registered strategy on any legal candles."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtests.candles.series import Candles
from backtests.strategies.base import NO, UNKNOWN, YES, Signals, Strategy
from backtests.strategies.registry import STRATEGIES
from tests.candle_factory import make_candles, random_candles

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
COLUMNS = ("entry", "stop_distance", "target_distance", "fakeout_distance", "strength")


def columns(signals: Signals) -> dict[str, np.ndarray]:
    return {name: getattr(signals, name) for name in COLUMNS} | signals.gates


@st.composite
def legal_candles(draw: st.DrawFn) -> Candles:
    """Any prices with flat stretches, jumps and wicks; any volume with zeros."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 130))
    steps = random.normal(0, draw(st.sampled_from([0.0, 1e-6, 0.01, 0.3])), count) * (
        random.random(count) < draw(st.sampled_from([0.1, 1]))
    )
    close = draw(st.sampled_from([1e-8, 1.0, 1e8])) * np.exp(np.cumsum(steps))
    opens = np.concatenate([close[:1], close[:-1]])
    wick = draw(st.sampled_from([0.0, 0.01]))
    high = np.maximum(opens, close) * (1 + wick * random.random(count))
    low = np.minimum(opens, close) * (1 - wick * random.random(count))
    return make_candles(close, high=high, low=low, volume=random.lognormal(0, 2, count) * (random.random(count) < 0.9))


@every_strategy
def test_no_bar_changes_when_later_bars_are_cut_off(strategy: Strategy[Any]) -> None:
    candles, parameters = random_candles(200), strategy.parameters()
    whole = columns(strategy.signals(candles, parameters))

    for count in range(len(candles) + 1):
        for name, column in columns(strategy.signals(candles.prefix(count), parameters)).items():
            np.testing.assert_array_equal(column, whole[name][:count], err_msg=f"{name} after {count} bars")


@every_strategy
def test_changing_the_future_changes_nothing_known(strategy: Strategy[Any]) -> None:
    left, right = random_candles(200, seed=1), random_candles(200, seed=2)
    joined = {name: np.concatenate([getattr(left, name)[:150], getattr(right, name)[150:]]) for name in ("high", "low", "close", "volume")}

    other = columns(strategy.signals(make_candles(**joined), strategy.parameters()))

    for name, column in columns(strategy.signals(left, strategy.parameters())).items():
        np.testing.assert_array_equal(column[:150], other[name][:150])


@every_strategy
def test_the_answer_is_unknown_exactly_over_the_warm_up(strategy: Strategy[Any]) -> None:
    entry = strategy.signals(random_candles(200), strategy.parameters()).entry
    warm_up = strategy.warm_up(strategy.parameters())

    assert (entry[:warm_up] == UNKNOWN).all()
    assert (entry[warm_up:] != UNKNOWN).all()


@every_strategy
@settings(max_examples=60, deadline=None)
@given(candles=legal_candles())
def test_an_entry_is_never_taken_on_unknown_ground(strategy: Strategy[Any], candles: Candles) -> None:
    found = strategy.signals(candles, strategy.parameters())
    is_entry = found.entry == YES

    assert {len(column) for column in columns(found).values()} == {len(candles)}
    assert set(found.entry.tolist()) <= {YES, NO, UNKNOWN}
    for gate in found.gates.values():
        assert (gate[is_entry] == YES).all()
    for name in ("stop_distance", "target_distance", "fakeout_distance"):
        assert (getattr(found, name)[is_entry] > 0).all()
