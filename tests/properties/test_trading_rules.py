"""The pure part of trading: order lifecycle, walking the book, the path inside a bar, and the form of settings."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgbot.core.errors import BadInput
from dgbot.core.money import EXACT
from dgbot.core.types import Candle, Level, OrderBook, Side
from trading.domain import config
from trading.domain.lifecycle import CLOSED, MAYBE_SENT, MOVES, Actor, Status, is_legal, pairs_as_sql
from trading.domain.liquidity import is_usable, measure
from trading.domain.path import long_path
from trading.domain.validator import Thresholds, judge_buy

D = Decimal
T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

whole_prices = st.integers(1, 50).map(D)
lots = st.decimals(min_value="0.001", max_value=10, places=3)


# --- Lifecycle ---


@pytest.mark.parametrize("status", sorted(CLOSED))
def test_a_closed_order_only_takes_late_news_from_the_exchange(status: Status):
    onward = {(after, actor) for before, after, actor in MOVES if before == status}

    assert {after for after, _actor in onward} <= {Status.FILLED, Status.CANCELLED}
    assert {actor for _after, actor in onward} <= {Actor.RECONCILER}


@pytest.mark.parametrize("status", [Status.DENIED, Status.LAPSED, Status.FILLED])
def test_what_never_left_or_is_complete_stays_as_it_is(status: Status):
    assert not [move for move in MOVES if move[0] == status]


def test_an_order_is_sent_by_the_gateway_alone():
    assert {(before, actor) for before, after, actor in MOVES if after is Status.SUBMITTING} == {
        (Status.PLANNED, Actor.GATEWAY),
        (Status.UNKNOWN, Actor.GATEWAY),
    }


def test_absence_is_proven_only_from_doubt():
    assert {before for before, after, _actor in MOVES if after is Status.ABSENT} == {Status.UNKNOWN, Status.DISPUTED}


def test_every_state_is_reached_and_every_doubt_can_end():
    reached = {None}
    for _ in Status:
        reached |= {after for before, after, _actor in MOVES if before in reached}

    assert reached == {None, *Status}
    assert all({after for before, after, _actor in MOVES if before == doubt} & CLOSED for doubt in MAYBE_SENT)


@given(st.sampled_from([None, *Status]), st.sampled_from(Status), st.sampled_from(Actor))
def test_the_sql_form_holds_every_pair_of_the_table(before: Status | None, after: Status, actor: Actor):
    assert not is_legal(before, after, actor) or f"('{before or ''}', '{after}')" in pairs_as_sql("a", "b")


# --- Liquidity ---


@st.composite
def asks(draw: st.DrawFn) -> tuple[Level, ...]:
    """A side of a book: rising prices, any amounts."""
    ladder = sorted(draw(st.sets(whole_prices, max_size=6)))
    return tuple(Level(price=price, amount=draw(lots)) for price in ladder)


def book_of(levels: Iterable[Level], *, side: Side) -> OrderBook:
    """A book with `levels` on the side a `side` order eats, best first."""
    ordered = tuple(levels) if side is Side.BUY else tuple(reversed(tuple(levels)))
    return OrderBook(symbol="KRW-BTC", bids=() if side is Side.BUY else ordered, asks=ordered if side is Side.BUY else (), known_at=T0)


def walk(levels: tuple[Level, ...], amount: Decimal) -> tuple[Decimal | None, int]:
    """The obvious way: take thousandths one after the other. Returns what they cost, and how many levels were touched."""
    cost, touched, left = D(0), 0, amount
    for level in levels:
        if left <= 0:
            break
        touched += 1
        take = min(left, level.amount)
        cost, left = cost + take * level.price, left - take
    return (None, touched) if left > 0 else (cost, touched)


@given(levels=asks(), amount=lots, side=st.sampled_from(Side))
def test_a_base_order_costs_what_an_obvious_walk_costs(levels: tuple[Level, ...], amount: Decimal, side: Side):
    book = book_of(levels, side=side)
    cost, touched = walk(book.asks or book.bids, amount)

    found = measure(book=book, side=side, amount=amount)

    assert found.liquidity_available == (cost is not None)
    if cost is not None and found.expected_avg_price is not None and found.expected_slippage_pct is not None:
        best = (book.asks or book.bids)[0].price
        assert abs(found.expected_avg_price * amount - cost) < D("1e-15")
        assert abs(found.expected_slippage_pct - abs(cost / amount - best) / best * 100) < D("1e-15")
        assert found.required_levels == touched


@given(levels=asks(), spend=st.integers(1, 500).map(D))
def test_a_quote_order_buys_what_its_money_pays_for(levels: tuple[Level, ...], spend: Decimal):
    found = measure(book=book_of(levels, side=Side.BUY), side=Side.BUY, quote_amount=spend)

    everything = sum((level.price * level.amount for level in levels), D(0))
    assert found.liquidity_available == (spend <= everything and bool(levels))
    if found.expected_avg_price is not None:
        cost, touched = walk(levels, EXACT.divide(spend, found.expected_avg_price))
        assert cost is not None and abs(cost - spend) < D("1e-15")
        assert found.required_levels == touched


@pytest.mark.parametrize("amount", [D(0), D(-1), D("-0.001")])
@pytest.mark.parametrize("name", ["amount", "quote_amount"])
def test_nothing_and_less_than_nothing_cannot_be_filled(name: str, amount: Decimal):
    book = book_of([Level(D(1), D(1))], side=Side.BUY)

    assert not measure(book=book, side=Side.BUY, **{name: amount}).liquidity_available


@pytest.mark.parametrize("given", [{}, {"amount": D(1), "quote_amount": D(1)}])
def test_an_order_is_measured_in_one_unit(given: dict[str, Decimal]):
    with pytest.raises(ValueError, match="either"):
        measure(book=book_of([], side=Side.BUY), side=Side.BUY, **given)


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-1", "0"])
@pytest.mark.parametrize("name", ["price", "amount"])
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_book_with_an_impossible_level_is_unusable(wrong: str, name: str, side: str):
    good = {"bids": Level(D(9), D(1)), "asks": Level(D(10), D(1))}
    bad = Level(**{"price": good[side].price, "amount": D(1), name: D(wrong)})

    book = OrderBook(symbol="KRW-BTC", known_at=T0, **{key: ((bad if key == side else level),) for key, level in good.items()})

    assert not is_usable(book)


@pytest.mark.parametrize(
    ("bids", "asks", "usable"), [([9], [10], True), ([10], [10], False), ([11], [10], False), ([], [10], False), ([9], [], False)]
)
def test_a_usable_book_has_two_sides_that_do_not_cross(bids: list[int], asks: list[int], usable: bool):
    sides = {"bids": tuple(Level(D(price), D(1)) for price in bids), "asks": tuple(Level(D(price), D(1)) for price in asks)}

    assert is_usable(OrderBook(symbol="KRW-BTC", known_at=T0, **sides)) == usable


# --- The path inside a bar ---


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    """A legal candle on a small grid, so that levels often meet its corners."""
    low, high = sorted(draw(st.tuples(whole_prices, whole_prices)))
    between = st.integers(int(low), int(high)).map(D)
    return Candle(opened_at=T0, open=draw(between), high=high, low=low, close=draw(between), volume=D(1))


@given(candle=candles(), levels=st.lists(whole_prices, max_size=4))
def test_the_path_goes_open_low_high_close_and_passes_each_level_once(candle: Candle, levels: list[Decimal]):
    points = list(long_path(candle, length=HOUR, levels=levels))

    prices = [point.price for point in points]
    corners = [candle.open, candle.low, candle.high, candle.close]
    at_low = prices.index(candle.low)
    at_high = at_low + prices[at_low:].index(candle.high)
    assert prices[0] == candle.open and prices[-1] == candle.close
    assert prices[: at_low + 1] == sorted(prices[: at_low + 1], reverse=True)
    assert prices[at_low : at_high + 1] == sorted(prices[at_low : at_high + 1])
    assert prices[at_high:] == sorted(prices[at_high:], reverse=True)
    inside = {level for level in levels if candle.low <= level <= candle.high}
    assert inside <= set(prices) <= inside | set(corners)
    assert all(prices.count(level) == 1 for level in inside - set(corners))
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert points[0].at == T0 and points[-1].at == T0 + HOUR


@given(candle=candles(), level=whole_prices)
def test_a_level_is_met_on_the_first_leg_that_reaches_it(candle: Candle, level: Decimal):
    prices = [point.price for point in long_path(candle, length=HOUR, levels=[level])]

    if candle.low < level < candle.open:
        assert prices.index(level) < prices.index(candle.low)
    elif candle.open < level < candle.high:
        assert prices.index(candle.low) < prices.index(level) < prices.index(candle.high)


# --- Settings ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=6,
)
near_misses = st.one_of(
    json_values,
    st.sampled_from([*config.PERIODS, 7, 61, 60.0, "60", 1440, 2880]),
    st.sampled_from(["low", "medium", "high", "LOW", ["low"], {"low": 1}]),
    st.integers(-5, 2 * 10**9),
    st.decimals(min_value=-1, max_value=2 * 10**9, places=3).map(str),
    st.sampled_from(["NaN", "Infinity", "1e3", "1e30", "", "0", "-0"]),
    st.lists(st.sampled_from(["KRW-BTC", "KRW-ETH", "BTC/USDT:USDT", " KRW-BTC", "X", "", 5, None]), max_size=4),
)


def is_decimal_text(value: str) -> bool:
    """Whether `value` is a decimal number that could be an amount of KRW."""
    try:
        return 0 < D(value) <= 10**9
    except ArithmeticError:
        return False


def is_legal_value(key: str, value: Any) -> bool:
    """What DESIGN says of each key, in words of its own."""
    if key == "bot_status":
        return value is True or value is False
    if key == "trading_interval_minutes":
        return type(value) is int and value > 0 and (60 % value == 0 or (value % 60 == 0 and 1440 % value == 0))
    if key == "max_trade_amount_krw":
        return (type(value) is int and 0 < value <= 10**9) or (type(value) is str and is_decimal_text(value))
    if key == "risk_level":
        return type(value) is str and value in ("low", "medium", "high")
    texts = type(value) is list and all(type(item) is str and 3 <= len(item) <= 30 and item == item.strip() for item in value)
    return texts and 1 <= len(value) <= 100 and len(set(value)) == len(value)


@given(key=st.sampled_from(list(config.SETTINGS)), value=near_misses)
def test_a_value_is_accepted_exactly_when_it_is_legal(key: str, value: Any):
    (field,) = config.SETTINGS[key].first
    try:
        config.check(key, {field: value})
        accepted = True
    except BadInput as error:
        accepted = False
        assert config.SETTINGS[key].form in str(error)

    assert accepted == is_legal_value(key, value)


@given(key=st.sampled_from(list(config.SETTINGS)), value=json_values)
def test_any_other_shape_is_refused_with_the_allowed_form(key: str, value: Any):
    with pytest.raises(BadInput, match="Allowed form"):
        config.check(key, value)


@given(key=st.text(max_size=20).filter(lambda key: key not in config.SETTINGS))
def test_an_unknown_key_is_refused_with_the_known_ones(key: str):
    with pytest.raises(BadInput, match="max_trade_amount_krw"):
        config.check(key, {"enabled": True})


def test_first_values_are_legal_and_read_back_typed():
    first = {key: dict(setting.first) for key, setting in config.SETTINGS.items()}

    read = config.parse(first, version=3)

    assert (read.enabled, read.interval_minutes, read.max_trade_amount_krw, read.risk_level) == (False, 60, D(1_000_000), "medium")
    assert read.target_symbols == ("KRW-BTC", "KRW-ETH") and read.version == 3


@pytest.mark.parametrize("key", config.SETTINGS)
def test_a_missing_or_broken_row_is_told_and_never_made_up(key: str):
    first: dict[str, object] = {key: dict(setting.first) for key, setting in config.SETTINGS.items()}

    with pytest.raises(BadInput, match=key):
        config.parse({other: value for other, value in first.items() if other != key}, version=1)
    with pytest.raises(BadInput, match=key):
        config.parse({**first, key: {"wrong": 1}}, version=1)


# --- Validator ---


@given(rsi=st.none() | st.floats(0, 100), limit=st.decimals(min_value="0.01", max_value=100, places=2))
def test_a_buy_is_judged_by_its_rsi_and_an_unknown_one_blocks(rsi: float | None, limit: Decimal):
    verdict = judge_buy({"rsi14": rsi}, thresholds=Thresholds(rsi_buy_limit=limit))

    assert verdict.is_valid == (rsi is not None and rsi <= float(limit))
    assert verdict.is_valid == (not verdict.reasons)


def test_rsi_nan_blocks_as_unknown_does():
    assert not judge_buy({"rsi14": float("nan")}, thresholds=Thresholds(rsi_buy_limit=D(70))).is_valid
