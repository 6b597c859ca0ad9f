"""Exits that remember: trailing stop, partial levels, both sides."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dgbot.core.money import EXACT
from risk.domain.exits import ExitReason, Protection, exit_due, protect
from risk.domain.trailing import (
    DEFAULT_LEVELS,
    ExitState,
    PartialLevel,
    after_close,
    due,
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
        state = after_close(replace(state), best_price=best, trail_distance=distance, tick=tick, is_long=is_long)
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
def test_each_level_fires_once_whatever_the_price_does_and_however_often_it_is_copied(
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
            state = level_taken(replace(state))
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
        lambda: opened(entry_price=bad, protection=Protection(D(1), D(2))),
        lambda: opened(entry_price=D(1), protection=Protection(bad, D(2))),
        lambda: level_price(DEFAULT_LEVELS[0], entry_price=bad, tick=D(1)),
        lambda: due(state, price=bad, target_price=None, entry_price=D(100), levels=(), tick=D(1), has_trailed=False),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError):
            attempt()


@pytest.mark.parametrize("minimum", [D(-1), D("NaN")])
def test_a_minimum_must_mean_something(minimum: Decimal):
    with pytest.raises(ValueError, match="minimum"):
        partial_amount(held=D(1), share=D(1), price=D(1), lot_step=D(1), minimum_total=minimum)


# --- By the number: what each rule says at and just beside its boundary ---

HALF, REST = DEFAULT_LEVELS
OPEN = ExitState(high_water=D(1000), stop_price=D(950))


def test_the_default_levels_sell_half_at_five_percent_and_the_rest_at_ten():
    assert (HALF.profit_fraction, HALF.share, REST.profit_fraction, REST.share) == (D("0.05"), D("0.5"), D("0.10"), D(1))


def test_a_position_just_opened_has_seen_its_entry_and_sold_nothing():
    state = opened(entry_price=D(1000), protection=Protection(stop_price=D(950), target_price=D(1100)))

    assert state == ExitState(high_water=D(1000), stop_price=D(950), levels_taken=0)


@pytest.mark.parametrize(
    ("best", "distance", "tick", "is_long", "expected"),
    [
        (D(1100), D(80), D(1), True, (D(1100), D(1020))),
        (D(1100), D("80.5"), D(1), True, (D(1100), D(1020))),  # 1019.5, rounded toward the price
        (D(1100), D(80), D(50), True, (D(1100), D(1050))),
        (D(999), D(80), D(1), True, (D(1000), D(950))),  # 920 would loosen
        (D(999), D(20), D(1), True, (D(1000), D(980))),  # from the entry, the best there was
        (D(1100), None, D(1), True, (D(1100), D(950))),
        (D(900), D(20), D(1), False, (D(900), D(920))),
        (D(900), D("20.5"), D(1), False, (D(900), D(920))),
        (D(900), D(20), D(50), False, (D(900), D(900))),
        (D(1001), D(10), D(1), False, (D(1000), D(950))),  # 1010 would loosen
        (D(900), None, D(1), False, (D(900), D(950))),
        (D("0.5"), D("0.1"), D(1), False, (D("0.5"), D(1))),  # never below the lowest price there is
    ],
)
def test_the_stop_follows_the_best_price_to_the_tick(
    best: Decimal, distance: Decimal | None, tick: Decimal, is_long: bool, expected: tuple[Decimal, Decimal]
):
    start = replace(OPEN, levels_taken=1)
    after = (
        after_close(start, best_price=best, trail_distance=distance, tick=tick)
        if is_long
        else after_close(start, best_price=best, trail_distance=distance, tick=tick, is_long=False)
    )

    assert (after.high_water, after.stop_price, after.levels_taken) == (*expected, 1)


@pytest.mark.parametrize(
    ("profit", "entry", "tick", "is_long", "expected"),
    [
        ("0.05", D(1000), D(1), True, D(1050)),
        ("0.0509", D(1000), D(1), True, D(1050)),
        ("0.0001", D(1000), D(1), True, D(1001)),
        ("0.0001", D("1000.5"), D(1), True, D(1001)),
        ("0.05", D(1000), D(1), False, D(950)),
        ("0.0501", D(1000), D(1), False, D(950)),
        ("0.0001", D(1000), D(1), False, D(999)),
        ("0.9999", D(1000), D(2), False, D(2)),
        ("0.0001", D("999.5"), D(1), False, D(999)),
        ("2", D(1000), D(1), False, D(1)),
    ],
)
def test_a_level_is_rounded_toward_the_entry_and_never_reaches_it(
    profit: str, entry: Decimal, tick: Decimal, is_long: bool, expected: Decimal
):
    level = PartialLevel(D(profit), D(1))
    assert (level_price(level, entry_price=entry, tick=tick) if is_long else None) in (expected, None)
    assert level_price(level, entry_price=entry, tick=tick, is_long=is_long) == expected


@pytest.mark.parametrize(
    ("taken", "price", "is_long", "expected"),
    [
        (0, D(1049), True, None),
        (0, D(1050), True, HALF),
        (0, D(1200), True, HALF),
        (1, D(1099), True, None),
        (1, D(1100), True, REST),
        (2, D(9999), True, None),
        (3, D(9999), True, None),
        (0, D(951), False, None),
        (0, D(950), False, HALF),
        (1, D(901), False, None),
        (1, D(900), False, REST),
    ],
)
def test_levels_fire_in_their_order_at_their_price(taken: int, price: Decimal, is_long: bool, expected: PartialLevel | None):
    state = replace(OPEN, levels_taken=taken)
    if is_long:
        assert next_level(state, price=price, entry_price=D(1000), levels=DEFAULT_LEVELS, tick=D(1)) == expected
    assert next_level(state, price=price, entry_price=D(1000), levels=DEFAULT_LEVELS, tick=D(1), is_long=is_long) == expected


def test_a_level_is_spent_and_nothing_else_changes():
    assert level_taken(replace(OPEN, levels_taken=1)) == ExitState(high_water=D(1000), stop_price=D(950), levels_taken=2)


@pytest.mark.parametrize(
    ("held", "share", "price", "minimum", "expected"),
    [
        (D(10), D("0.5"), D(100), D(500), D(5)),  # part and rest are worth the minimum exactly
        (D(10), D("0.5"), D(100), D(501), D(10)),  # the rest could not be sold: all of it
        (D(10), D("0.55"), D(100), D(0), D(5)),
        (D(10), D("0.05"), D(100), D(0), D(0)),
        (D(10), D("0.2"), D(100), D(300), D(0)),  # the part itself is too small
        (D(10), D(1), D(100), D(1000), D(10)),
        (D(10), D(1), D(100), D(1001), D(0)),
        (D("1.5"), D(1), D(100), D(0), D(1)),
        (D("1.5"), D(1), D(100), D(51), D("1.5")),
    ],
)
def test_a_part_by_the_number(held: Decimal, share: Decimal, price: Decimal, minimum: Decimal, expected: Decimal):
    assert partial_amount(held=held, share=share, price=price, lot_step=D(1), minimum_total=minimum) == expected


@pytest.mark.parametrize(
    ("price", "taken", "has_trailed", "expected"),
    [
        (D(950), 0, False, ExitReason.STOP),
        (D(950), 0, True, ExitReason.TRAILING),
        (D(951), 0, True, None),
        (D(1049), 0, False, None),
        (D(1050), 0, True, ExitReason.PARTIAL),
        (D(1050), 1, False, None),
        (D(1100), 1, False, ExitReason.PARTIAL),
        (D(1200), 0, True, ExitReason.TARGET),
        (D(1199), 2, False, None),
    ],
)
def test_stop_comes_first_then_target_then_the_next_level(price: Decimal, taken: int, has_trailed: bool, expected: ExitReason | None):
    state = replace(OPEN, levels_taken=taken)
    circumstances = {"target_price": D(1200), "entry_price": D(1000), "levels": DEFAULT_LEVELS, "tick": D(1), "has_trailed": has_trailed}

    assert due(state, price=price, **circumstances) is expected


@pytest.mark.parametrize(
    ("price", "expected"), [(D(1050), ExitReason.STOP), (D(800), ExitReason.TARGET), (D(950), ExitReason.PARTIAL), (D(951), None)]
)
def test_a_short_leaves_in_the_mirror(price: Decimal, expected: ExitReason | None):
    state = ExitState(high_water=D(1000), stop_price=D(1050))

    found = due(
        state,
        price=price,
        target_price=D(800),
        entry_price=D(1000),
        levels=DEFAULT_LEVELS,
        tick=D(1),
        has_trailed=False,
        is_long=False,
    )

    assert found is expected


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (lambda: PartialLevel(D(0), D(1)), "the profit of a level must be positive, was 0"),
        (lambda: PartialLevel(D("0.1"), D("1.1")), "the share of a level must lie in 0…1, was 1.1"),
        (lambda: opened(entry_price=D(0), protection=Protection(D(1), D(2))), "the entry price must be positive, was 0"),
        (lambda: opened(entry_price=D(1), protection=Protection(D(0), D(2))), "the stop must be positive, was 0"),
        (lambda: after_close(OPEN, best_price=D(0), trail_distance=None, tick=D(1)), "the best price must be positive, was 0"),
        (lambda: after_close(OPEN, best_price=D(1), trail_distance=D(0), tick=D(1)), "the trailing distance must be positive, was 0"),
        (lambda: level_price(HALF, entry_price=D(0), tick=D(1)), "the entry price must be positive, was 0"),
        (lambda: next_level(OPEN, price=D(0), entry_price=D(1), levels=(), tick=D(1)), "the price must be positive, was 0"),
        (
            lambda: due(OPEN, price=D(0), target_price=None, entry_price=D(1), levels=(), tick=D(1), has_trailed=False),
            "the price must be positive, was 0",
        ),
        (lambda: part(held=D(0)), "the amount held must be positive, was 0"),
        (lambda: part(share=D(0)), "the share must be positive, was 0"),
        (lambda: part(price=D(0)), "the price must be positive, was 0"),
        (lambda: part(minimum_total=D(-1)), "the minimum must be finite and not negative, was -1"),
    ],
)
def test_a_refusal_names_what_is_wrong(attempt: Callable[[], object], told: str):
    with pytest.raises(ValueError) as refused:
        attempt()
    assert str(refused.value) == told


def part(**changes: Decimal) -> Decimal:
    """A part of ten, but for `changes`."""
    return partial_amount(**{"held": D(10), "share": D(1), "price": D(1), "lot_step": D(1), "minimum_total": D(0), **changes})
