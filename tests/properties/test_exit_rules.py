"""Exits that remember: trailing stop, partial levels, both sides."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dgbot.core.money import EXACT
from risk.domain.exits import ExitReason, exit_due, protect
from risk.domain.trailing import (
    DEFAULT_LEVELS,
    ExitState,
    PartialLevel,
    after_close,
    level_price,
    level_taken,
    next_level,
    opened,
    partial_amount,
)

pytestmark = pytest.mark.properties

D = Decimal
prices = st.decimals(min_value="0.01", max_value=10**8, places=4, allow_nan=False)
fractions = st.decimals(min_value="0.0001", max_value="0.9", places=4)
steps = st.sampled_from([D("0.0001"), D("0.01"), D(1), D(500)])
broken = st.sampled_from([D("NaN"), D("-1"), D(0), D("Infinity"), D("-Infinity")])


@given(entry=prices, stop=fractions, target=fractions, stop_distance=st.none() | prices, target_distance=st.none() | prices, tick=steps)
def test_a_short_is_protected_as_a_long_in_the_mirror(
    entry: Decimal, stop: Decimal, target: Decimal, stop_distance: Decimal | None, target_distance: Decimal | None, tick: Decimal
):
    assume(entry >= 2 * tick)
    found = protect(
        entry_price=entry,
        stop_fraction=stop,
        target_fraction=target,
        tick=tick,
        stop_distance=stop_distance,
        target_distance=target_distance,
        is_long=False,
    )

    stops = [entry * (1 + stop), *([entry + stop_distance] if stop_distance is not None else [])]
    assert 0 < found.target_price < entry < found.stop_price
    assert found.stop_price % tick == 0 and found.target_price % tick == 0
    assert found.stop_price <= max(min(stops), entry + tick)
    assert exit_due(price=entry, stop_price=found.stop_price, target_price=found.target_price, is_long=False) is None
    assert exit_due(price=found.stop_price, stop_price=found.stop_price, target_price=None, is_long=False) is ExitReason.STOP
    assert exit_due(price=found.target_price, stop_price=None, target_price=found.target_price, is_long=False) is ExitReason.TARGET


@given(bad=broken, is_long=st.booleans())
def test_a_distance_that_means_nothing_protects_nothing(bad: Decimal, is_long: bool):
    with pytest.raises(ValueError, match="distance"):
        protect(entry_price=D(100), stop_fraction=D("0.05"), target_fraction=D("0.1"), tick=D(1), stop_distance=bad, is_long=is_long)


@given(entry=prices, bests=st.lists(prices, min_size=1, max_size=12), distance=st.none() | prices, tick=steps, is_long=st.booleans())
def test_a_trailing_stop_never_loosens_and_never_forgets(
    entry: Decimal, bests: list[Decimal], distance: Decimal | None, tick: Decimal, is_long: bool
):
    assume(entry >= 2 * tick)
    protection = protect(entry_price=entry, stop_fraction=D("0.05"), target_fraction=D("0.1"), tick=tick, is_long=is_long)
    state = opened(entry_price=entry, protection=protection)
    for best in bests:
        before = state
        state = after_close(ExitState.from_row(state.as_row()), best_price=best, trail_distance=distance, tick=tick, is_long=is_long)
        assert state.stop_price >= before.stop_price if is_long else state.stop_price <= before.stop_price
        assert state.levels_taken == 0
        if distance is None:
            assert state.stop_price == protection.stop_price
    best = max(entry, *bests) if is_long else min(entry, *bests)
    assert state.high_water == best
    if distance is not None:
        followed = best - distance if is_long else best + distance
        assert state.stop_price >= followed if is_long else state.stop_price <= max(followed, tick)


@given(entry=prices, path=st.lists(prices, min_size=1, max_size=30), held=st.integers(1, 10**12), tick=steps, is_long=st.booleans())
def test_each_level_fires_once_whatever_the_price_does_and_however_often_it_restarts(
    entry: Decimal, path: list[Decimal], held: int, tick: Decimal, is_long: bool
):
    assume(entry >= 2 * tick)
    state, lot = ExitState(high_water=entry, stop_price=tick), D("0.00000001")
    amount, fired = held * lot, []
    for price in path:
        while (
            level := next_level(state, price=price, entry_price=entry, levels=DEFAULT_LEVELS, tick=tick, is_long=is_long)
        ) is not None and amount > 0:
            part = partial_amount(held=amount, share=level.share, price=price, lot_step=lot, minimum_total=D(0))
            amount -= part
            fired.append(level)
            state = ExitState.from_row(level_taken(state).as_row())
    assert fired == list(DEFAULT_LEVELS)[: len(fired)]
    assert amount >= 0
    if len(fired) == len(DEFAULT_LEVELS):
        assert amount == 0


@given(profit=fractions, entry=prices, tick=steps, is_long=st.booleans())
def test_a_level_lies_beyond_the_entry_on_the_grid(profit: Decimal, entry: Decimal, tick: Decimal, is_long: bool):
    assume(entry >= 2 * tick)
    at = level_price(PartialLevel(profit, D(1)), entry_price=entry, tick=tick, is_long=is_long)
    assert at % tick == 0
    assert at > entry if is_long else 0 < at < entry


@given(
    held=st.integers(1, 10**14),
    share=st.decimals(min_value="0.01", max_value=1, places=2),
    price=prices,
    minimum=st.sampled_from([D(0), D(5), D(5000)]),
)
def test_a_part_is_whole_lots_sellable_and_leaves_what_can_be_sold(held: int, share: Decimal, price: Decimal, minimum: Decimal):
    lot = D("0.00000001")
    part = partial_amount(held=held * lot, share=share, price=price, lot_step=lot, minimum_total=minimum)

    rest = held * lot - part
    assert 0 <= part <= held * lot and part % lot == 0
    if part:
        assert EXACT.multiply(part, price) >= minimum
        assert rest == 0 or EXACT.multiply(rest, price) >= minimum
        assert part <= held * lot * share or rest == 0


@given(bad=broken)
def test_broken_numbers_never_move_a_stop_or_sell_anything(bad: Decimal):
    state = ExitState(high_water=D(100), stop_price=D(90))
    attempts = [
        lambda: after_close(state, best_price=bad, trail_distance=None, tick=D(1)),
        lambda: after_close(state, best_price=D(120), trail_distance=bad, tick=D(1)),
        lambda: after_close(state, best_price=D(120), trail_distance=D(5), tick=bad),
        lambda: next_level(state, price=bad, entry_price=D(100), levels=DEFAULT_LEVELS, tick=D(1)),
        lambda: partial_amount(held=bad, share=D(1), price=D(1), lot_step=D(1), minimum_total=D(0)),
        lambda: partial_amount(held=D(1), share=bad, price=D(1), lot_step=D(1), minimum_total=D(0)),
        lambda: partial_amount(held=D(1), share=D(1), price=bad, lot_step=D(1), minimum_total=D(0)),
        lambda: partial_amount(held=D(1), share=D(1), price=D(1), lot_step=bad, minimum_total=D(0)),
        lambda: PartialLevel(bad, D(1)),
        lambda: PartialLevel(D("0.1"), bad),
        lambda: ExitState.from_row({"high_water": str(bad), "stop_price": "1", "levels_taken": 0}),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError):
            attempt()


@pytest.mark.parametrize("levels", [None, True, -1, "1"])
def test_a_row_without_a_count_of_levels_is_no_state(levels: object):
    with pytest.raises(ValueError, match="levels_taken"):
        ExitState.from_row({"high_water": "1", "stop_price": "1", "levels_taken": levels})


@pytest.mark.parametrize("minimum", [D(-1), D("NaN")])
def test_a_minimum_must_mean_something(minimum: Decimal):
    with pytest.raises(ValueError, match="minimum"):
        partial_amount(held=D(1), share=D(1), price=D(1), lot_step=D(1), minimum_total=minimum)
