"""Which limits hold, whether a change loosens one, how much may be at stake, and how much of each limit is used."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgbot.core.money import EXACT
from dgbot.core.types import MarginTier
from risk.domain.breakers import Losses
from risk.domain.exposure import (
    AtStake,
    Bound,
    bounds,
    exceeded,
    liquidated_first,
    liquidation_price,
    maintenance_rate,
    room,
    unfit_leverage,
    whole_leverage,
)
from risk.domain.limits import NAMES, EffectiveLimits, beyond, from_row, is_tighter, loosened, resolve, tighter
from risk.domain.usage import Gap, Unit, Usage, Used, usage

D = Decimal
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
fractions = st.decimals(min_value="0.0001", max_value=1, places=4)
amounts = st.decimals(min_value=0, max_value=10**9, places=4)
BTC, ETH = "KRW-BTC", "KRW-ETH"


def numbers(name: str) -> st.SearchStrategy[object]:
    """A value a limit of that name may have, or nothing."""
    if name == "spacing":
        return st.timedeltas(timedelta(0), 24 * HOUR)
    return st.none() | (st.integers(0, 10) if name in ("entries_per_day", "loss_streak") else fractions)


tables = st.fixed_dictionaries({name: numbers(name) for name in NAMES})
limits_of = tables.map(lambda values: EffectiveLimits(**values))


# --- Which holds ---


@given(profile=tables, bot=tables, account=tables)
def test_no_bot_has_looser_limits_than_its_account(profile, bot, account):
    found = resolve(profile=profile, bot=bot, account=account, profile_name="medium")

    for name in NAMES:
        value, origin = getattr(found, name), found.origins.get(name)
        own = profile[name] if bot[name] is None else bot[name]
        assert not is_tighter(name, account[name], value)
        if origin == "account":
            assert value == account[name] and is_tighter(name, value, own)
        elif origin is not None:
            assert value == own and origin == ("profile medium" if bot[name] is None else "bot")
        else:
            assert value in (None, timedelta(0)) and own is None and account[name] is None


@given(one=limits_of, other=limits_of)
def test_the_tighter_of_two_is_at_least_as_tight_as_each_and_no_tighter(one: EffectiveLimits, other: EffectiveLimits):
    found = tighter(one, other)

    for name in NAMES:
        value = getattr(found, name)
        assert value in (getattr(one, name), getattr(other, name))
        assert not is_tighter(name, getattr(one, name), value) and not is_tighter(name, getattr(other, name), value)


def test_the_tighter_keeps_whose_it_is_and_the_first_where_both_are_equal():
    one = EffectiveLimits(entries_per_day=5, loss_streak=3, origins={"entries_per_day": "bot", "loss_streak": "bot"})
    other = EffectiveLimits(entries_per_day=5, loss_streak=2, origins={"entries_per_day": "account", "loss_streak": "account"})

    assert tighter(one, other).origins == {"entries_per_day": "bot", "loss_streak": "account"}


@given(limits=limits_of)
def test_pinned_limits_are_read_back_as_they_were(limits: EffectiveLimits):
    found = from_row({**limits.as_row(), "a name of another version": "1"})

    assert all(getattr(found, name) == getattr(limits, name) for name in NAMES)
    assert found.origins == {name: "pinned" for name in NAMES if getattr(limits, name) is not None}
    assert all(type(getattr(found, name)) is type(getattr(limits, name)) for name in NAMES)


def test_pinned_limits_are_plain_text():
    row = EffectiveLimits(spacing=4 * HOUR, entries_per_day=5, stop_fraction=D("0.0500")).as_row()

    assert (row["spacing"], row["entries_per_day"], row["stop_fraction"], row["loss_streak"]) == ("14400000000", "5", "0.0500", None)
    assert from_row({}) == EffectiveLimits()


@pytest.mark.parametrize(
    ("name", "one", "other", "expected"),
    [
        ("spacing", 5 * HOUR, 4 * HOUR, True),
        ("spacing", 4 * HOUR, 4 * HOUR, False),
        ("spacing", 3 * HOUR, 4 * HOUR, False),
        ("entries_per_day", 4, 5, True),
        ("entries_per_day", 5, 5, False),
        ("entries_per_day", 6, 5, False),
        ("loss_streak", 6, None, True),
        ("loss_streak", None, 6, False),
        ("loss_streak", None, None, False),
    ],
)
def test_less_is_tighter_but_for_spacing(name, one, other, expected):
    assert is_tighter(name, one, other) is expected


@given(before=tables, after=tables)
def test_a_change_loosens_exactly_what_allows_more(before, after):
    found = loosened(before, after)

    assert found == tuple(name for name in before if is_tighter(name, before[name], after[name]))


def test_what_is_no_limit_loosens_whenever_it_changes():
    assert loosened({"sizing_mode": "fixed", "target_fraction": 1}, {"sizing_mode": "half_kelly", "target_fraction": 1}) == ("sizing_mode",)
    assert loosened({"sizing_mode": "fixed"}, {}) == ()


def test_own_limits_beyond_hard_ones_are_named():
    assert beyond({"position_fraction": D("0.3"), "loss_streak": None}, {"position_fraction": D("0.4"), "loss_streak": 9}) == (
        "position_fraction",
    )
    assert beyond({"position_fraction": D("0.3")}, {"position_fraction": D("0.3"), "spacing": None}) == ()
    assert beyond({"spacing": HOUR}, {"spacing": 2 * HOUR}) == () and beyond({"spacing": 2 * HOUR}, {"spacing": HOUR}) == ("spacing",)


# --- Exposure ---


@given(
    held=st.dictionaries(st.sampled_from([BTC, ETH, "KRW-XRP"]), amounts),
    equity=st.none() | st.decimals(min_value=-(10**6), max_value=10**9, places=4),
    limits=limits_of,
    fee_rate=st.sampled_from([D(0), D("0.0005"), D("0.1")]),
)
def test_an_order_within_the_room_passes_no_bound(held, equity, limits: EffectiveLimits, fee_rate: Decimal):
    group = frozenset({BTC, ETH})
    before = AtStake(by_symbol=held, equity=equity)
    found = bounds(limits=limits, at_stake=before, symbol=BTC, group=group)
    free = min(room(found, fee_rate=fee_rate).values(), default=D(10))
    assert free >= 0
    if free == 0:
        assert any(bound.limit is None or bound.used >= bound.limit for bound in found)
        return

    notional = EXACT.multiply(free, 1 + fee_rate)
    after = bounds(limits=limits, at_stake=before.with_order(BTC, notional), symbol=BTC, group=group)

    assert exceeded(after) == ()


def test_each_bound_counts_what_it_covers():
    at_stake = AtStake(by_symbol={BTC: D(100), ETH: D(50), "KRW-XRP": D(7)}, equity=D(1000))
    limits = EffectiveLimits(
        account_exposure_fraction=D("0.5"), symbol_exposure_fraction=D("0.2"), group_exposure_fraction=D("0.3"), leverage_limit=D(2)
    )

    found = bounds(limits=limits, at_stake=at_stake, symbol=BTC, group=frozenset({ETH}))

    assert [(bound.code, bound.used, bound.limit) for bound in found] == [
        ("account_exposure", 157, 500),
        ("symbol_exposure", 100, 200),
        ("group_exposure", 150, 300),
        ("leverage", 157, 2000),
    ]
    assert list(room(found, fee_rate=D(0)).items()) == [
        ("account exposure limit", 343),
        ("exposure limit of KRW-BTC", 100),
        ("exposure limit of the group of KRW-BTC", 150),
        ("leverage limit", 1843),
    ]
    assert bounds(limits=EffectiveLimits(), at_stake=at_stake, symbol=BTC, group=frozenset()) == ()
    assert bounds(limits=limits, at_stake=at_stake, symbol="KRW-SOL", group=frozenset())[1].used == 0


def test_an_order_adds_to_its_symbol_and_to_nothing_else():
    before = AtStake(by_symbol={BTC: D(100)}, equity=D(1000))

    assert before.with_order(BTC, D(5)) == AtStake(by_symbol={BTC: D(105)}, equity=D(1000))
    assert before.with_order(ETH, D(5)) == AtStake(by_symbol={BTC: D(100), ETH: D(5)}, equity=D(1000))
    assert room((Bound("a", "limit a", D(0), D(110)),), fee_rate=D("0.1")) == {"limit a": D(100)}


def test_an_unknown_or_negative_equity_leaves_no_room():
    limits = EffectiveLimits(account_exposure_fraction=D(1))

    unknown = bounds(limits=limits, at_stake=AtStake({}, None), symbol=BTC, group=frozenset())
    broke = bounds(limits=limits, at_stake=AtStake({BTC: D(1)}, D(-5)), symbol=BTC, group=frozenset())

    assert room(unknown, fee_rate=D(0)) == room(broke, fee_rate=D(0)) == {"account exposure limit": 0}
    assert [reason.code for reason in exceeded(unknown)] == ["equity_unknown"] and exceeded(unknown)[0].remedy
    assert "account exposure limit cannot be told" in exceeded(unknown)[0].message
    assert [reason.code for reason in exceeded(broke)] == ["account_exposure"]


def test_a_passed_bound_says_by_how_much_and_all_are_told():
    found = exceeded((Bound("a", "limit a", D(11), D(10)), Bound("b", "limit b", D(10), D(10)), Bound("c", "limit c", D(9), D(8))))

    assert [(reason.code, reason.value, reason.limit) for reason in found] == [("a", "11", "10"), ("c", "9", "8")]
    assert found[0].message == "11 at stake would pass the limit a of 10." and "raise the limit" in found[0].remedy


@pytest.mark.parametrize(
    ("confirmed", "limit", "codes"),
    [(None, None, ["leverage_unknown"]), (D(5), None, []), (D(5), D(5), []), (D("5.1"), D(5), ["leverage"])],
)
def test_leverage_must_be_confirmed_and_within_its_limit(confirmed, limit, codes):
    found = unfit_leverage(confirmed=confirmed, limit=limit)

    assert [reason.code for reason in found] == codes
    if codes == ["leverage"]:
        assert (found[0].message, found[0].value, found[0].limit) == ("The leverage is 5.1; the limit is 5.", "5.1", "5")
    assert all(reason.remedy and reason.message for reason in found)


@given(
    entry=st.decimals(min_value="0.01", max_value=10**6, places=4),
    leverage=st.integers(1, 125).map(D),
    maintenance=st.sampled_from([D("0.004"), D("0.05")]),
    fee_rate=st.sampled_from([D(0), D("0.0006")]),
    is_long=st.booleans(),
)
def test_at_liquidation_the_margin_left_just_pays_maintenance_and_fee(entry, leverage, maintenance, fee_rate, is_long):
    price = liquidation_price(entry=entry, leverage=leverage, maintenance_rate=maintenance, fee_rate=fee_rate, is_long=is_long)

    profit = price - entry if is_long else entry - price
    left, needed = entry / leverage + profit, price * (maintenance + fee_rate)
    assert abs(left - needed) <= entry * D("1e-20")
    assert price >= 0


def test_liquidation_of_a_known_case():
    long = liquidation_price(entry=D(3000), leverage=D(5), maintenance_rate=D("0.005"), fee_rate=D("0.0006"), is_long=True)
    short = liquidation_price(entry=D(3000), leverage=D(5), maintenance_rate=D("0.005"), fee_rate=D("0.0006"), is_long=False)

    assert (f"{long:.4f}", f"{short:.4f}") == ("2413.5157", "3579.9523")
    assert liquidation_price(entry=D(3000), leverage=D(1), maintenance_rate=D(0), fee_rate=D(0), is_long=True) == 0


@pytest.mark.parametrize(("leverage", "maintenance"), [("0.99", "0.1"), ("5", "1"), ("5", "-0.01")])
def test_a_liquidation_price_that_cannot_be_is_refused(leverage: str, maintenance: str):
    with pytest.raises(ValueError, match="no liquidation price"):
        liquidation_price(entry=D(1), leverage=D(leverage), maintenance_rate=D(maintenance), fee_rate=D(0), is_long=True)


@pytest.mark.parametrize(
    ("stop", "liquidation", "is_safe"),
    [("95", "93", True), ("95", "94", False), ("95", "96", False), ("105", "107", True), ("105", "106", False), ("105", "104", False)],
)
def test_the_stop_must_come_before_liquidation_with_a_gap(stop: str, liquidation: str, is_safe: bool):
    found = liquidated_first(entry=D(100), stop=D(stop), liquidation=D(liquidation), gap_fraction=D("0.01"))

    assert (found == ()) is is_safe
    if found:
        assert found[0].message == f"Liquidation at {liquidation} is not beyond the stop at {stop} by more than 1.00."
        assert (found[0].code, found[0].value, found[0].limit) == ("liquidation_before_stop", liquidation, stop) and found[0].remedy


# --- Usage ---

ALL = EffectiveLimits(
    spacing=4 * HOUR,
    entries_per_day=5,
    daily_loss_fraction=D("0.10"),
    weekly_loss_fraction=D("0.20"),
    drawdown_fraction=D("0.30"),
    loss_streak=4,
    position_fraction=D("0.30"),
    origins={name: f"whose {name}" for name in NAMES},
)
LOST = Losses(daily_pnl=D(-50), weekly_pnl=D(20), peak_profit=D(0), drawdown=D("0.15"), loss_streak=1)


def used_by(**changes: object) -> dict[str, Usage]:
    """What is used after an hour of spacing, by code."""
    given_use = {"losses": LOST, "allocation": D(1000), "entries_today": 2, "last_entry_at": NOW - HOUR, "position": D(150), **changes}
    stakes = (Bound("account_exposure", "", D(30), D(40)), Bound("leverage", "", D(1), None))
    return {row.code: row for row in usage(limits=ALL, used=Used(**given_use), bounds=stakes, now=NOW)}  # type: ignore[arg-type]


def test_each_limit_says_how_much_of_it_is_used():
    found = used_by()

    assert {code: (row.value, row.limit, row.unit) for code, row in found.items()} == {
        "daily_loss": (D("0.05"), D("0.10"), Unit.FRACTION),
        "weekly_loss": (D(0), D("0.20"), Unit.FRACTION),
        "drawdown": (D("0.15"), D("0.30"), Unit.FRACTION),
        "loss_streak": (D(1), D(4), Unit.COUNT),
        "daily_count": (D(2), D(5), Unit.COUNT),
        "spacing": (D(3 * 3600), D(4 * 3600), Unit.SECONDS),
        "position": (D("0.15"), D("0.30"), Unit.FRACTION),
        "account_exposure": (D(30), D(40), Unit.MONEY),
        "leverage": (D(1), None, Unit.MONEY),
    }
    assert {code: row.fraction for code, row in found.items()} == {
        "daily_loss": D("0.5"),
        "weekly_loss": D(0),
        "drawdown": D("0.5"),
        "loss_streak": D("0.25"),
        "daily_count": D("0.4"),
        "spacing": D("0.75"),
        "position": D("0.5"),
        "account_exposure": D("0.75"),
        "leverage": None,
    }
    assert {code: row.origin for code, row in found.items()} == {
        "daily_loss": "whose daily_loss_fraction",
        "weekly_loss": "whose weekly_loss_fraction",
        "drawdown": "whose drawdown_fraction",
        "loss_streak": "whose loss_streak",
        "daily_count": "whose entries_per_day",
        "spacing": "whose spacing",
        "position": "whose position_fraction",
        "account_exposure": "whose account_exposure_fraction",
        "leverage": "whose leverage_limit",
    }
    assert {code for code, row in used_by(allocation=D(1)).items() if row.value is None} == set()


@pytest.mark.parametrize("allocation", [None, D(0)])
def test_what_is_unknown_is_told_as_unknown(allocation: Decimal | None):
    found = used_by(losses=None, allocation=allocation, last_entry_at=None)

    unknown = {code for code, row in found.items() if row.value is None}
    assert unknown == {"daily_loss", "weekly_loss", "drawdown", "loss_streak", "position"}
    assert {found[code].fraction for code in unknown} == {None}
    assert found["spacing"].value == 0
    assert {code for code, row in used_by(allocation=allocation).items() if row.value is None} == {"daily_loss", "weekly_loss", "position"}


def test_spacing_that_is_over_is_not_used_and_a_limit_of_zero_is_used_up():
    assert used_by(last_entry_at=NOW - 5 * HOUR)["spacing"].value == 0
    assert Usage("x", D(0), D(0), Unit.COUNT).fraction == 1
    assert Usage("x", D(-3), D(2), Unit.MONEY).fraction == 0
    nothing = usage(limits=EffectiveLimits(), used=Used(None, None, 0, None, D(0)), bounds=(Bound("leverage", "", D(1), D(2)),), now=NOW)
    assert [(row.code, row.origin) for row in nothing] == [("spacing", ""), ("leverage", "")]


# --- Leverage that is asked for, and what must stay as margin ---


@pytest.mark.parametrize(
    ("limit", "maximum", "asked"),
    [("1", "125", "1"), ("2.9", "125", "2"), ("3", "125", "3"), ("50", "20", "20"), ("1.5", "0.5", "1"), (None, "125", "1")],
)
def test_the_leverage_asked_for_is_the_limit_in_whole_numbers(limit: str | None, maximum: str, asked: str):
    assert whole_leverage(limit=None if limit is None else D(limit), maximum=D(maximum)) == D(asked)


TIERS = (MarginTier(D(100), D("0.004"), D(125)), MarginTier(D(500), D("0.005"), D(100)))


@pytest.mark.parametrize(("notional", "rate"), [("0", "0.004"), ("100", "0.004"), ("100.01", "0.005"), ("500", "0.005"), ("500.01", None)])
def test_a_larger_position_keeps_more_and_beyond_all_tiers_it_is_unknown(notional: str, rate: str | None):
    assert maintenance_rate(TIERS, notional=D(notional)) == (None if rate is None else D(rate))
    assert maintenance_rate((), notional=D(notional)) is None


@pytest.mark.parametrize(("there", "share"), [("0.04", "0.25"), ("0.01", "1"), ("0", "1"), ("-0.1", "1"), (None, None)])
def test_a_position_on_margin_tells_its_gap_to_liquidation(there: str | None, share: str | None):
    gap = Gap(needed=D("0.01"), there=None if there is None else D(there))
    used = Used(losses=None, allocation=None, entries_today=0, last_entry_at=None, position=D(0), gap=gap)

    told = usage(limits=EffectiveLimits(), used=used, bounds=(), now=NOW)[-1]

    assert (told.code, told.value, told.unit) == ("liquidation_gap", D("0.01"), Unit.FRACTION)
    assert told.fraction == (None if share is None else D(share))
