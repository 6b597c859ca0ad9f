"""The one suite every registered strategy passes: what must hold on any legal candles."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtests.candles.series import Candles
from backtests.strategies.base import NO, UNKNOWN, YES, Decisions, Parameters, Signals, Strategy
from backtests.strategies.exits import ExitRules
from backtests.strategies.leaks import columns_of, find_leak
from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import BadInput
from tests.candle_factory import make_candles, random_candles
from tests.scale import scale

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
DISTANCES = ("stop_distance", "target_distance", "fakeout_distance")
ANSWERS = ("entry", "short_entry", "exit", "short_exit")


def decisions_at(candles: Candles) -> Decisions:
    """One decision a second after each close, its content a function of the candle alone."""
    kind = (candles.close * 1e6).astype(np.int64) % 4
    return Decisions(
        decided_at=candles.open_time + candles.interval.nanoseconds + 10**9,
        entry=np.choose(kind, [YES, NO, NO, UNKNOWN]).astype(np.int8),
        exit=np.choose(kind, [NO, YES, NO, UNKNOWN]).astype(np.int8),
        confidence=np.where(kind == 0, 40.0 + candles.volume % 60, np.nan),
        stop_distance=0.02 * candles.close,
        target_distance=0.04 * candles.close,
    )


def ask(strategy: Strategy[Any], candles: Candles, parameters: Parameters | None = None, *, decided_on: Candles | None = None) -> Signals:
    """The strategy's word; one that replays decisions gets all of `decided_on`, later ones included."""
    chosen = parameters or strategy.parameters()
    if strategy.needs_decisions:
        return strategy.signals(candles, chosen, decisions_at(decided_on or candles))
    return strategy.signals(candles, chosen)


def enough_candles(strategy: Strategy[Any], *, seed: int = 1) -> Candles:
    return random_candles(strategy.warm_up(strategy.parameters()) + 150, seed=seed)


@st.composite
def legal_candles(draw: st.DrawFn) -> Candles:
    """Any prices with flat stretches, jumps and wicks; any volume with zeros; hours missing."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 320))
    steps = random.normal(0, draw(st.sampled_from([0.0, 1e-6, 0.01, 0.3])), count) * (
        random.random(count) < draw(st.sampled_from([0.1, 1]))
    )
    close = draw(st.sampled_from([1e-8, 0.1, 1.0, 1e8])) * np.exp(np.cumsum(steps))
    opens = np.concatenate([close[:1], close[:-1]])
    wick = draw(st.sampled_from([0.0, 0.01]))
    high = np.maximum(opens, close) * (1 + wick * random.random(count))
    low = np.minimum(opens, close) * (1 - wick * random.random(count))
    volume = random.lognormal(0, 2, count) * (random.random(count) < draw(st.sampled_from([0.0, 0.9, 1.0])))
    candles = make_candles(close, high=high, low=low, volume=volume)
    hours = np.cumsum(1 + (random.random(count) < 0.02) * random.integers(0, 50, count))
    return replace(candles, open_time=hours * candles.interval.nanoseconds, chain=None)


def box(strategy: Strategy[Any]) -> list[Parameters]:
    """The defaults with one parameter at an end of its bounds, and all of them at one end."""
    bounds = strategy.parameters.bounds()
    sets = [{name: end} for name, one in bounds.items() for end in (one.low, one.high)]
    sets += [{name: getattr(one, end) for name, one in bounds.items()} for end in ("low", "high")]
    return [strategy.parameters.of(values) for values in sets]


@st.composite
def parameters_within(draw: st.DrawFn, strategy: Strategy[Any]) -> Parameters:
    values = {
        one.name: draw(st.booleans())
        if one.type is bool
        else draw(st.integers(int(bound.low), min(int(bound.high), 60)))
        if one.type is int
        else draw(st.floats(bound.low, bound.high))
        for one in fields(strategy.parameters)
        for bound in [strategy.parameters.bounds()[one.name]]
    }
    return strategy.parameters.of(values)


def assert_sound(found: Signals, *, count: int, allows_shorts: bool) -> None:
    assert {len(column) for column in columns_of(found).values()} == {count}
    for name in ANSWERS:
        assert set(getattr(found, name).tolist()) <= {YES, NO, UNKNOWN}
    for name in (*DISTANCES, "strength", "size_hint"):
        assert not np.isinf(getattr(found, name)).any()
    assert ((found.size_hint >= 0) & (found.size_hint <= 1)).all()
    is_long, is_short = found.entry == YES, found.short_entry == YES
    assert not (is_long & is_short).any(), "both sides are entered at one close"
    assert allows_shorts or not is_short.any()
    for name in DISTANCES:
        given_distances = getattr(found, name)[is_long | is_short]
        assert (np.isnan(given_distances) | (given_distances > 0)).all()


@every_strategy
def test_no_bar_changes_when_later_bars_are_cut_off(strategy: Strategy[Any]) -> None:
    candles = enough_candles(strategy)

    assert find_leak(lambda part: ask(strategy, part, decided_on=candles), candles) is None


@every_strategy
@settings(max_examples=scale(sample=15, full=300), deadline=None)
@given(data=st.data())
def test_candle_by_candle_says_the_same_as_all_at_once(strategy: Strategy[Any], data: st.DataObject) -> None:
    candles, parameters = data.draw(legal_candles()), data.draw(parameters_within(strategy))
    counts = data.draw(st.lists(st.integers(0, len(candles)), max_size=8))

    assert find_leak(lambda part: ask(strategy, part, parameters, decided_on=candles), candles, counts=counts) is None


@every_strategy
def test_changing_the_future_changes_nothing_known(strategy: Strategy[Any]) -> None:
    left, right = enough_candles(strategy, seed=1), enough_candles(strategy, seed=2)
    now = len(left) - 50
    names = ("open", "high", "low", "close", "volume")
    joined = replace(left, chain=None, **{name: np.concatenate([getattr(left, name)[:now], getattr(right, name)[now:]]) for name in names})

    other = columns_of(ask(strategy, joined))

    for name, column in columns_of(ask(strategy, left)).items():
        np.testing.assert_array_equal(column[:now], other[name][:now])


@every_strategy
@pytest.mark.parametrize("parameters", ["defaults", "shortest", "longer"])
def test_the_answer_is_unknown_exactly_over_the_warm_up(strategy: Strategy[Any], parameters: str) -> None:
    bounds = strategy.parameters.bounds()
    lengths = [one.name for one in fields(strategy.parameters) if one.type is int]
    values = {
        "defaults": {},
        "shortest": {name: bounds[name].low for name in lengths},
        "longer": {name: bounds[name].low + 33 for name in lengths},
    }
    values["longer"] = {name: min(value, bounds[name].high) for name, value in values["longer"].items()}
    chosen = strategy.parameters.of(values[parameters])
    warm_up = strategy.warm_up(chosen)

    found = ask(strategy, random_candles(warm_up + 150), chosen)

    decided = found.entry if not strategy.needs_decisions else found.gates["told"]
    assert (decided[:warm_up] == UNKNOWN).all()
    assert (decided[warm_up:] != UNKNOWN).all()
    if strategy.allows_shorts:
        assert (found.short_entry[:warm_up] == UNKNOWN).all()
        assert (found.short_entry[warm_up:] != UNKNOWN).all()


@every_strategy
def test_bars_older_than_the_look_back_have_no_say(strategy: Strategy[Any]) -> None:
    parameters = strategy.parameters()
    look_back, candles = strategy.look_back(parameters), random_candles(strategy.look_back(parameters) + 300)
    assert look_back > strategy.warm_up(parameters)
    old = len(candles) - look_back  # the newest bar's answer may depend on bars from here on
    other = random_candles(len(candles), seed=9)
    factor = candles.open[old] / other.close[old - 1]
    mixed = {
        name: np.concatenate([getattr(other, name)[:old] * (1 if name == "volume" else factor), getattr(candles, name)[old:]])
        for name in ("open", "high", "low", "close", "volume")
    }

    found = columns_of(ask(strategy, replace(candles, chain=None, **mixed)))

    for name, column in columns_of(ask(strategy, candles)).items():
        if column.dtype == np.int8 and strategy.is_recursive:
            continue  # an old bar may still tip a balance; the columns that carry it are bounded below
        np.testing.assert_allclose(found[name][-1], column[-1], rtol=0.02 if strategy.is_recursive else 1e-9, err_msg=name)


@every_strategy
@settings(max_examples=scale(sample=40, full=1000), deadline=None)
@given(data=st.data())
def test_any_legal_candles_get_a_sound_answer(strategy: Strategy[Any], data: st.DataObject) -> None:
    candles, parameters = data.draw(legal_candles()), data.draw(parameters_within(strategy))

    found = ask(strategy, candles, parameters)

    assert_sound(found, count=len(candles), allows_shorts=strategy.allows_shorts)
    gates_of = {name: gate for name, gate in found.gates.items() if not name.startswith("short_")}
    for gate in gates_of.values():
        assert (gate[found.entry == YES] == YES).all()


@every_strategy
def test_parameters_run_at_every_end_of_their_bounds(strategy: Strategy[Any]) -> None:
    candles = random_candles(120)

    for parameters in box(strategy):
        assert_sound(ask(strategy, candles, parameters), count=120, allows_shorts=strategy.allows_shorts)
        assert isinstance(strategy.exit_rules(parameters), ExitRules)
        assert strategy.look_back(parameters) > strategy.warm_up(parameters) >= 0


@every_strategy
def test_values_beyond_the_bounds_are_refused_by_name(strategy: Strategy[Any]) -> None:
    for name, bound in strategy.parameters.bounds().items():
        for beyond in (bound.low - 1, bound.high + 1):
            with pytest.raises(BadInput, match=f"Parameter {name} "):
                strategy.parameters.of({name: beyond})


@every_strategy
def test_prices_that_never_move_are_never_traded(strategy: Strategy[Any]) -> None:
    if strategy.needs_decisions:
        return  # it does what it was told
    for price in (0.1, 100.0, 1.1e8):
        found = ask(strategy, make_candles(np.full(400, price)))

        assert not (found.entry == YES).any()
        assert not (found.short_entry == YES).any()


@every_strategy
def test_it_tells_what_it_is_and_what_each_parameter_means(strategy: Strategy[Any]) -> None:
    strategy.parameters().validate()

    assert strategy.name.isidentifier()
    assert strategy.title
    assert strategy.description.endswith(".")
    for bound in strategy.parameters.bounds().values():
        assert bound.unit
        assert bound.help.endswith(".")


def test_every_strategy_of_the_design_is_registered() -> None:
    assert list(STRATEGIES) == [
        "volatility_breakout",
        "volume_zone_breakout",
        "volume_long_candle",
        "ultra_aggressive_momentum",
        "conservative_ema",
        "balanced_rsi_divergence",
        "aggressive_bollinger",
        "ai",
    ]
