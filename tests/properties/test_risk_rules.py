"""The rule book in Decimal: sizes, protection, breakers, blocks and trading days hold for any input."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dgbot.core.money import EXACT
from risk.domain.assess import RiskUse, blocks
from risk.domain.days import trading_day, week_start
from risk.domain.exits import ExitReason, exit_due, protect_long
from risk.domain.limits import EffectiveLimits
from risk.domain.reasons import Reason
from risk.domain.sizing import Size, sellable, size_within

D = Decimal
WON = D(1)
SEOUL = "Asia/Seoul"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

amounts = st.decimals(min_value=0, max_value=10**12, places=18, allow_nan=False)
wanted_amounts = st.decimals(min_value=-(10**6), max_value=10**12, places=4)
fee_rates = st.sampled_from([D(0), D("0.0005"), D("0.0025"), D("0.1")])
steps = st.sampled_from([D(1), D("0.01"), D("0.00000001"), D(1000)])
minimums = st.sampled_from([D(1), D(5000), D("0.5")])
prices = st.decimals(min_value="0.0001", max_value=10**9, places=8)
fractions = st.decimals(min_value="0.0001", max_value="0.9999", places=4)
instants = st.integers(0, 4 * 10**15).map(lambda microseconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds))
not_numbers = st.sampled_from([D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity")])


def size(**changes: Decimal) -> Size:
    """What 50,000 KRW of plenty become, but for `changes`; `cap` is the only cap."""
    given = {"wanted": D(50_000), "free_cash": D(10**9), "fee_rate": D("0.0005"), "minimum_total": D(5000), "step": WON, "cap": D(10**9)}
    given.update(changes)
    return size_within(caps={"cap": given.pop("cap")}, **given)


# --- Sizing ---


@given(wanted=wanted_amounts, cap=wanted_amounts, free_cash=amounts, fee_rate=fee_rates, minimum=minimums, step=steps)
def test_a_size_never_exceeds_a_cap_or_the_cash_and_is_whole_steps(
    wanted: Decimal, cap: Decimal, free_cash: Decimal, fee_rate: Decimal, minimum: Decimal, step: Decimal
):
    found = size(wanted=wanted, cap=cap, free_cash=free_cash, fee_rate=fee_rate, minimum_total=minimum, step=step)

    amount = found.quote_amount
    assert amount <= max(wanted, 0) and amount <= max(cap, 0)
    assert EXACT.multiply(amount, 1 + fee_rate) <= free_cash
    assert EXACT.remainder(amount, step) == 0
    assert (amount >= minimum and not found.reasons) or (amount == 0 and found.reasons)


@given(whole=st.integers(10**11, 10**14), fee_rate=fee_rates)
def test_cash_short_by_its_last_digit_does_not_pay_for_the_next_won(whole: int, fee_rate: Decimal):
    needed = EXACT.multiply(D(whole), 1 + fee_rate)

    found = size(wanted=D(10**15), cap=D(10**15), free_cash=EXACT.subtract(needed, D("1E-18")), fee_rate=fee_rate)

    assert found.quote_amount == whole - 1


@given(wanted=wanted_amounts, cap=wanted_amounts, free_cash=amounts)
def test_nothing_larger_would_have_been_allowed(wanted: Decimal, cap: Decimal, free_cash: Decimal):
    found = size(wanted=wanted, cap=cap, free_cash=free_cash)

    larger = max(found.quote_amount + 1, D(5000))
    assert larger > wanted or larger > cap or EXACT.multiply(larger, D("1.0005")) > free_cash


@pytest.mark.parametrize("name", ["wanted", "cap", "free_cash", "fee_rate", "minimum_total", "step"])
@given(wrong=not_numbers)
def test_what_is_not_a_number_never_becomes_an_order(name: str, wrong: Decimal):
    with pytest.raises((ValueError, ArithmeticError)):
        size(**{name: wrong})


@given(step=st.decimals(max_value=0, places=4, allow_nan=False, allow_infinity=False))
def test_a_step_that_is_not_positive_is_refused(step: Decimal):
    with pytest.raises(ValueError, match="step must be positive"):
        size(step=step)


def test_zero_always_says_why():
    assert size(wanted=D(0), minimum_total=D(0)).reasons
    assert size(wanted=D(-5), minimum_total=D(-5)).reasons


def test_the_reason_names_the_limit_that_was_smallest():
    assert "free cash after fees" in size(free_cash=D(4999)).reasons[0].message
    assert "cap" in size(cap=D(10)).reasons[0].message


@given(amount=amounts, price=prices)
def test_sellable_is_the_exchanges_minimum(amount: Decimal, price: Decimal):
    assert sellable(amount=amount, price=price, minimum_total=D(5000)) == (EXACT.multiply(amount, price) >= 5000)


# --- Protection ---


@given(
    entry=prices,
    stop_fraction=fractions,
    target_fraction=st.decimals(min_value="0.0001", max_value=10, places=4),
    stop_distance=st.none() | prices,
    target_distance=st.none() | prices,
    tick=st.sampled_from([D("0.0001"), D("0.01"), D(1), D(1000)]),
)
def test_a_stop_lies_below_and_a_target_beyond_the_entry_each_the_nearer_of_two(
    entry: Decimal,
    stop_fraction: Decimal,
    target_fraction: Decimal,
    stop_distance: Decimal | None,
    target_distance: Decimal | None,
    tick: Decimal,
):
    assume(entry >= 2 * tick)
    found = protect_long(
        entry_price=entry,
        stop_fraction=stop_fraction,
        target_fraction=target_fraction,
        tick=tick,
        stop_distance=stop_distance,
        target_distance=target_distance,
    )

    stops = [entry * (1 - stop_fraction), *([entry - stop_distance] if stop_distance is not None else [])]
    targets = [entry * (1 + target_fraction), *([entry + target_distance] if target_distance is not None else [])]
    assert 0 < found.stop_price < entry < found.target_price
    assert found.stop_price % tick == 0 and found.target_price % tick == 0
    assert found.stop_price < max(*stops, tick) + tick and found.target_price > min(targets) - tick
    assert found.stop_price >= max(stops) or entry - found.stop_price <= tick
    assert found.target_price <= min(targets) or found.target_price - entry <= tick
    assert exit_due(price=entry, stop_price=found.stop_price, target_price=found.target_price) is None


@pytest.mark.parametrize(("name", "word"), [("stop_distance", "stop"), ("target_distance", "target")])
@pytest.mark.parametrize("wrong", ["0", "-1", "NaN", "Infinity"])
def test_a_distance_that_is_none_is_refused(name: str, word: str, wrong: str):
    with pytest.raises(ValueError, match=f"the {word} distance must be positive, was {wrong}"):
        protect_long(entry_price=D(100), stop_fraction=D("0.1"), target_fraction=D("0.1"), tick=D(1), **{name: D(wrong)})


def test_an_entry_at_the_last_tick_leaves_no_room_for_a_stop():
    with pytest.raises(ValueError, match="no stop fits between zero and an entry at 1 in steps of 1"):
        protect_long(entry_price=D(1), stop_fraction=D("0.05"), target_fraction=D("0.1"), tick=D(1))


def test_a_profile_without_a_stop_still_protects_at_the_last_tick():
    found = protect_long(entry_price=D(100), stop_fraction=D(1), target_fraction=D("0.1"), tick=D(1))

    assert found.stop_price == 1


@given(price=prices, stop=st.none() | prices, target=st.none() | prices)
def test_an_exit_is_due_at_its_price_and_the_stop_is_looked_at_first(price: Decimal, stop: Decimal | None, target: Decimal | None):
    found = exit_due(price=price, stop_price=stop, target_price=target)

    if stop is not None and price <= stop:
        assert found is ExitReason.STOP
    elif target is not None and price >= target:
        assert found is ExitReason.TARGET
    else:
        assert found is None


# --- Blocks ---

FREE = EffectiveLimits(spacing=4 * HOUR, entries_per_day=5)
NOTHING = RiskUse(entries_today=0, last_entry_at=None, kill_level=0)


@given(
    entries=st.integers(0, 10),
    ago=st.none() | st.integers(-(10**6), 10**6),
    kill=st.integers(0, 4),
    safe=st.lists(st.text(max_size=3), max_size=2),
    unknown=st.lists(st.text(max_size=3), max_size=2),
    unproven=st.integers(0, 3),
    off=st.booleans(),
)
def test_every_reason_is_told_and_none_too_many(
    entries: int, ago: int | None, kill: int, safe: list[str], unknown: list[str], unproven: int, off: bool
):
    use = RiskUse(
        entries_today=entries,
        last_entry_at=None if ago is None else NOW - timedelta(seconds=ago),
        kill_level=kill,
        safe_mode_reasons=tuple(safe),
        unknown=tuple(unknown),
        unproven_orders=unproven,
        switched_off=(Reason("bot_status", "off"),) if off else (),
    )

    found = sorted(reason.code for reason in blocks(limits=FREE, use=use, now=NOW))

    expected = ["bot_status"] * off + ["kill_switch"] * (kill > 0) + ["safe_mode"] * len(safe) + ["unknown"] * len(unknown)
    expected += ["unproven_order"] * (unproven > 0) + ["daily_count"] * (entries >= 5)
    expected += ["spacing"] * (ago is not None and ago < 4 * 3600)
    assert found == sorted(expected)


@pytest.mark.parametrize(("microseconds", "codes"), [(-1, ["spacing"]), (0, []), (1, [])])
def test_spacing_ends_at_its_very_instant(microseconds: int, codes: list[str]):
    use = RiskUse(entries_today=0, last_entry_at=NOW - 4 * HOUR - timedelta(microseconds=microseconds), kill_level=0)

    assert [reason.code for reason in blocks(limits=FREE, use=use, now=NOW)] == codes


@pytest.mark.parametrize(("entries", "codes"), [(4, []), (5, ["daily_count"]), (6, ["daily_count"])])
def test_the_fifth_entry_is_the_last_of_a_day(entries: int, codes: list[str]):
    use = RiskUse(entries_today=entries, last_entry_at=None, kill_level=0)

    assert [reason.code for reason in blocks(limits=FREE, use=use, now=NOW)] == codes


def test_without_a_count_no_entry_is_one_too_many():
    assert blocks(limits=EffectiveLimits(), use=RiskUse(entries_today=99, last_entry_at=NOW, kill_level=0), now=NOW) == ()


def test_nothing_blocks_nothing():
    assert blocks(limits=FREE, use=NOTHING, now=NOW) == ()


# --- Days ---


@given(instant=instants)
def test_the_trading_day_is_the_date_on_a_clock_in_seoul(instant: datetime):
    assert trading_day(instant, zone=SEOUL) == (instant + 9 * HOUR).date()
    assert trading_day(instant.astimezone(ZoneInfo("America/New_York")), zone=SEOUL) == trading_day(instant, zone=SEOUL)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 3, 1, 14, 59, 59, 999_999, UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 1, 15, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2025, 12, 31, 14, 59, 59, tzinfo=UTC), date(2025, 12, 31)),
        (datetime(2025, 12, 31, 15, tzinfo=UTC), date(2026, 1, 1)),
    ],
)
def test_a_trading_day_begins_at_midnight_in_seoul(instant: datetime, day: date):
    assert trading_day(instant, zone=SEOUL) == day


@given(day=st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_a_week_is_seven_days_with_today_the_last(day: date):
    assert week_start(day) == day - timedelta(days=6)
