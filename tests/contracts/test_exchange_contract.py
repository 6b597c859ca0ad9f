"""One contract for every exchange: simulated, paper on Upbit's books, Upbit and Bitget on their fakes.

Cases are numbered, so that "case 43 fails at bitget" is a whole report. What an exchange cannot do is skipped by what its
`capabilities` (or, for faults, the lack of a wire) say, never by its name. A new exchange is one more stage.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from dgbot.core.errors import (
    BadInput,
    CredentialsRefused,
    DgbotError,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRejected,
    ExchangeUnavailable,
    OutcomeUnknown,
    RateLimited,
)
from dgbot.core.interval import Interval
from dgbot.core.types import (
    KeyRights,
    MarginMode,
    OrderRequest,
    OrderType,
    Side,
    StopRequest,
    VenueOrder,
    VenueOrderStatus,
)
from tests.contracts.exchange_stages import NAMES, Stage, client_id, stage_of
from tests.fakes.core.faults import Fault, accept_then_drop, drop, garbage, hang, html

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(databases=["default", "venue"])]

D = Decimal
DUST = D("1e-9")  # what a fee split over fills may be off by
MINUTE, HOUR = Interval.MINUTE_1, Interval.HOUR_1
OPEN = (VenueOrderStatus.OPEN, VenueOrderStatus.PARTIALLY_FILLED)


@pytest.fixture(params=NAMES)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_of(request.param) as made:
        yield made


def only(has_it: object, what: str) -> None:
    """Skip a case for an exchange whose data says that it lacks `what`."""
    if not has_it:
        pytest.skip(f"it has no {what}")


def wired(stage: Stage, *, orders: bool = False) -> Any:
    """The stage's wire; skips an exchange that answers without one."""
    only(stage.orders_cross_a_wire if orders else stage.wire, "wire for orders" if orders else "wire")
    return stage.wire


def numbers_in(value: Any) -> Iterator[Any]:
    """Every number inside a value of ours."""
    if is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            if one.name != "raw":
                yield from numbers_in(getattr(value, one.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        yield value


def is_utc(instant: datetime) -> bool:
    return instant.tzinfo is not None and instant.utcoffset() == timedelta(0)


def walking(stage: Stage, side: Side) -> Decimal:
    """An amount that takes the two best levels and half of the third."""
    book = stage.exchange.order_book(stage.symbol)
    levels = book.asks if side is Side.BUY else book.bids
    step = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now()).lot_step
    return sum((level.amount for level in levels[:2]), D(0)) + levels[2].amount / 2 // step * step


def spent(order: VenueOrder) -> Decimal:
    return sum((fill.price * fill.amount for fill in order.fills), D(0))


def fees(order: VenueOrder) -> Decimal:
    return sum((fill.fee for fill in order.fills), D(0))


# --- markets and rules ---


def test_01_markets_list_the_symbol_with_rules(stage):
    assert stage.symbol in {rules.symbol for rules in stage.exchange.markets()}


def test_02_rules_have_positive_steps_and_falling_bands_down_to_zero(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())

    starts = [start for start, _tick in rules.tick_bands]
    assert (rules.symbol, rules.base, rules.quote) == (stage.symbol, stage.base, stage.quote)
    assert rules.lot_step > 0 and rules.minimum_total > 0
    assert starts == sorted(starts, reverse=True) and starts[-1] == 0
    assert all(tick > 0 for _start, tick in rules.tick_bands)


def test_03_rules_of_nonsense_are_bad_input(stage):
    with pytest.raises(BadInput):
        stage.exchange.trading_rules(stage.nonsense, at=stage.clock.now())


def test_04_rules_at_the_same_time_are_the_same(stage):
    now = stage.clock.now()

    assert stage.exchange.trading_rules(stage.symbol, at=now) == stage.exchange.trading_rules(stage.symbol, at=now)


def test_05_a_tick_holds_at_every_price_and_none_at_zero(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())

    assert rules.tick(D("0.5")) > 0 and rules.tick(D(10) ** 9) > 0
    with pytest.raises(ValueError):
        rules.tick(D(0))


# --- prices ---


def test_06_a_ticker_is_a_positive_price_known_lately(stage):
    ticker = stage.exchange.ticker(stage.symbol)

    assert ticker.symbol == stage.symbol and ticker.price > 0
    assert is_utc(ticker.known_at)
    assert abs(ticker.known_at - stage.clock.now()) < timedelta(minutes=1)


def test_07_a_ticker_of_nonsense_is_an_error_and_no_price(stage):
    with pytest.raises(DgbotError):
        stage.exchange.ticker(stage.nonsense)


def test_08_a_book_has_both_sides_best_first_and_is_not_crossed(stage):
    book = stage.exchange.order_book(stage.symbol)

    bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
    assert bids and asks and bids[0] < asks[0]
    assert bids == sorted(set(bids), reverse=True) and asks == sorted(set(asks))


def test_09_book_levels_are_positive_and_on_the_grid(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())
    book = stage.exchange.order_book(stage.symbol)

    for level in (*book.bids, *book.asks):
        assert level.price % rules.tick(level.price) == 0
        assert level.amount > 0


def test_10_a_book_is_no_deeper_than_its_capability_says(stage):
    book = stage.exchange.order_book(stage.symbol)

    assert max(len(book.bids), len(book.asks)) <= stage.capabilities.book_depth


def test_11_a_book_of_an_exchange_is_not_marked_as_assumed_and_is_recent(stage):
    book = stage.exchange.order_book(stage.symbol)

    assert not book.is_assumed
    assert is_utc(book.known_at) and abs(book.known_at - stage.clock.now()) < timedelta(minutes=1)


def test_12_the_last_price_lies_near_the_book(stage):
    book, price = stage.exchange.order_book(stage.symbol), stage.exchange.ticker(stage.symbol).price

    assert book.bids[0].price * D("0.98") < price < book.asks[0].price * D("1.02")


def test_13_each_symbol_has_its_own_prices(stage):
    assert stage.exchange.ticker(stage.symbol).price != stage.exchange.ticker(stage.other_symbol).price
    assert stage.exchange.ticker(stage.other_symbol).symbol == stage.other_symbol


def test_14_the_exchange_tells_its_time_in_utc(stage):
    told = stage.exchange.server_time()

    assert is_utc(told) and abs(told - stage.clock.now()) < timedelta(seconds=5)


def test_15_market_trades_come_oldest_first_and_once(stage):
    stage.strangers_trade(20)

    trades = stage.exchange.market_trades(stage.symbol, since=stage.clock.now() - timedelta(minutes=2))

    assert len(trades) >= 3
    sequences = [trade.sequence for trade in trades]
    assert sequences == sorted(set(sequences))
    assert [trade.executed_at for trade in trades] == sorted(trade.executed_at for trade in trades)


def test_16_market_trades_since_a_time_hold_none_before_it(stage):
    stage.strangers_trade(5)
    since = stage.clock.now() - timedelta(seconds=30)

    trades = stage.exchange.market_trades(stage.symbol, since=since)

    assert all(trade.executed_at >= since.replace(microsecond=0) and trade.amount > 0 and trade.price > 0 for trade in trades)
    assert stage.exchange.market_trades(stage.symbol, since=stage.clock.now() + timedelta(minutes=1)) == []


# --- candles ---


def asked(stage: Stage, interval: Interval, bars: int) -> list[Any]:
    now = stage.clock.now()
    return list(stage.exchange.candles(stage.symbol, interval, start=now - bars * interval.length, end=now))


def test_17_candles_are_closed(stage):
    candles = asked(stage, MINUTE, 10)

    assert candles
    assert max(candle.opened_at for candle in candles) + MINUTE.length <= stage.clock.now()


def test_18_an_end_in_the_future_brings_no_candle_that_is_still_forming(stage):
    now = stage.clock.now()

    candles = stage.exchange.candles(stage.symbol, HOUR, start=now - 5 * HOUR.length, end=now + 5 * HOUR.length)

    assert candles and candles[-1].opened_at + HOUR.length <= now + timedelta(seconds=1)


def test_19_candles_come_oldest_first_once_and_on_the_grid(stage):
    opens = [candle.opened_at for candle in asked(stage, HOUR, 50)]

    assert len(opens) >= 40
    assert opens == sorted(set(opens))
    assert all(is_utc(opened) and HOUR.open_of(opened) == opened for opened in opens)


def test_20_the_range_takes_its_start_and_leaves_its_end(stage):
    every = asked(stage, HOUR, 30)
    start, end = every[3].opened_at, every[10].opened_at

    part = stage.exchange.candles(stage.symbol, HOUR, start=start, end=end)

    assert list(part) == every[3:10]


def test_21_more_candles_than_a_page_come_without_gap_or_double(stage):
    bars = min(stage.capabilities.candles_per_page * 2 + 10, 2100)
    candles = asked(stage, MINUTE, bars)

    opens = [candle.opened_at for candle in candles]
    assert len(opens) > stage.capabilities.candles_per_page
    assert opens == sorted(set(opens))
    missing = bars - len(opens)
    assert missing <= bars // 20 if stage.has_gaps else missing <= 1 or stage.wire is None


def test_22_an_empty_range_has_no_candles(stage):
    now = stage.clock.now()

    assert list(stage.exchange.candles(stage.symbol, HOUR, start=now, end=now)) == []
    assert list(stage.exchange.candles(stage.symbol, HOUR, start=now + timedelta(days=1), end=now + timedelta(days=2))) == []


def test_23_an_interval_without_a_trade_has_no_candle_and_the_rest_has(stage):
    only(stage.has_gaps, "gaps in its candles")
    opens = [candle.opened_at for candle in asked(stage, MINUTE, 300)]

    steps = {later - earlier for earlier, later in pairwise(opens)}
    assert steps == {MINUTE.length, 2 * MINUTE.length}


def test_24_an_interval_it_does_not_serve_is_bad_input(stage):
    others = sorted(set(Interval) - stage.capabilities.intervals)
    only(others, "interval that it does not serve")

    with pytest.raises(BadInput):
        asked(stage, Interval(others[0]), 5)


def test_25_every_interval_it_says_it_serves_is_served(stage):
    # A simulated market is younger than a week of days.
    for interval in sorted(stage.capabilities.intervals):
        candles = asked(stage, interval, 6 if interval is not Interval.DAY_1 else 4)
        assert candles, interval
        assert all(interval.open_of(candle.opened_at) == candle.opened_at for candle in candles), interval


def test_26_a_candles_high_and_low_hold_its_open_and_close(stage):
    for candle in asked(stage, MINUTE, 60):
        assert 0 < candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.volume >= 0


def test_27_the_same_question_has_the_same_answer(stage):
    now = stage.clock.now()
    start, end = now - 30 * HOUR.length, now - 2 * HOUR.length

    first, again = (list(stage.exchange.candles(stage.symbol, HOUR, start=start, end=end)) for _ in range(2))

    assert first and first == again


def test_28_candles_of_nonsense_are_an_error(stage):
    with pytest.raises(DgbotError):
        asked(replace(stage, symbol=stage.nonsense), HOUR, 5)


# --- types ---


def test_29_no_number_is_a_float(stage):
    order = stage.bought()
    now = stage.clock.now()
    told = [
        stage.exchange.ticker(stage.symbol),
        stage.exchange.order_book(stage.symbol),
        list(stage.exchange.candles(stage.symbol, HOUR, start=now - 3 * HOUR.length, end=now)),
        stage.exchange.trading_rules(stage.symbol, at=now),
        stage.exchange.fees(stage.symbol),
        list(stage.exchange.balances()),
        list(stage.exchange.positions()),
        order,
    ]

    found = [number for value in told for number in numbers_in(value)]
    assert len(found) > 30
    assert not [number for number in found if isinstance(number, float)]
    assert all(number.is_finite() for number in found if isinstance(number, Decimal))


def test_30_every_time_is_aware_utc(stage):
    order = stage.bought()

    instants = [order.created_at, *(fill.executed_at for fill in order.fills), stage.exchange.server_time()]
    assert len(instants) >= 3
    assert all(instant.tzinfo is not None for instant in instants)
    assert all(abs(instant - stage.clock.now()) < timedelta(minutes=1) for instant in instants)


# --- the account ---


def test_31_balances_tell_the_money_exactly(stage):
    assert stage.cash() == stage.money
    assert stage.balance(stage.quote).locked == 0


def test_32_no_asset_is_listed_twice_or_below_zero(stage):
    stage.bought()
    balances = list(stage.exchange.balances())

    assert len({one.asset for one in balances}) == len(balances)
    assert all(one.free >= 0 and one.locked >= 0 for one in balances)


def test_33_fees_are_small_fractions(stage):
    told = stage.exchange.fees(stage.symbol)

    assert 0 <= told.maker_rate <= told.taker_rate < D("0.01")
    assert told.taker_rate > 0


def test_34_an_account_that_never_traded_has_no_position_and_no_order(stage):
    now = stage.clock.now()

    assert list(stage.exchange.positions()) == []
    assert list(stage.exchange.open_orders()) == []
    assert list(stage.exchange.closed_orders(symbol=None, start=now - timedelta(days=1), end=now + timedelta(hours=1))) == []
    assert list(stage.exchange.fills(symbol=None, since=now - timedelta(days=1))) == []


def test_35_key_rights_are_yes_no_or_unknown(stage):
    rights = stage.exchange.key_rights()

    assert isinstance(rights, KeyRights)
    assert rights.can_read and rights.can_trade
    assert rights.can_withdraw in (None, False)
    assert rights.expires_at is None or is_utc(rights.expires_at) or rights.expires_at.tzinfo is not None


def test_36_prepare_confirms_margin_where_there_is_leverage_and_does_nothing_elsewhere(stage):
    state = stage.exchange.prepare(stage.symbol, leverage=D(3) if stage.capabilities.leverage else D(1))

    if not stage.capabilities.leverage:
        assert state is None
        return
    assert state is not None
    assert (state.margin_mode, state.leverage, state.is_one_way) == (MarginMode.ISOLATED, D(3), True)


def test_37_preparing_twice_is_harmless(stage):
    leverage = D(3) if stage.capabilities.leverage else D(1)

    assert stage.exchange.prepare(stage.symbol, leverage=leverage) == stage.exchange.prepare(stage.symbol, leverage=leverage)


# --- stops ---


def test_38_a_stop_lives_at_the_exchange_where_it_can_and_is_refused_elsewhere(stage):
    stage.bought()
    trigger = stage.far_below()
    wanted = StopRequest(client_id=client_id(), symbol=stage.symbol, side=Side.SELL, trigger_price=trigger)

    if not stage.capabilities.resident_stops:
        with pytest.raises(ExchangeRejected):
            stage.exchange.place_stop(wanted)
        assert list(stage.exchange.stops(stage.symbol)) == []
        return
    stop = stage.exchange.place_stop(wanted)
    (read_back,) = stage.exchange.stops(stage.symbol)
    assert read_back.exchange_stop_id == stop.exchange_stop_id
    assert (read_back.trigger_price, read_back.side, read_back.amount) == (trigger, Side.SELL, None)


def test_39_a_stop_is_taken_away_and_a_second_time_is_no_error(stage):
    only(stage.capabilities.resident_stops, "resident stops")
    stage.bought()
    stop = stage.exchange.place_stop(
        StopRequest(client_id=client_id(), symbol=stage.symbol, side=Side.SELL, trigger_price=stage.far_below())
    )

    for _ in range(2):
        stage.exchange.cancel_stop(symbol=stage.symbol, exchange_stop_id=stop.exchange_stop_id)

    assert list(stage.exchange.stops(stage.symbol)) == []


def test_40_taking_away_a_stop_that_never_was_is_no_error(stage):
    stage.exchange.cancel_stop(symbol=stage.symbol, exchange_stop_id="1234567890")

    assert list(stage.exchange.stops(stage.symbol)) == []


# --- market orders ---


def test_41_a_market_buy_fills(stage):
    order = stage.bought()

    assert order.status is VenueOrderStatus.FILLED
    assert (order.symbol, order.side, order.order_type) == (stage.symbol, Side.BUY, OrderType.MARKET)
    assert order.price is None


def test_42_a_buy_takes_what_was_asked_and_never_more(stage):
    asked_for = stage.market(Side.BUY, stage.unit)
    order = stage.done(asked_for)

    assert (order.amount, order.quote_amount) == (asked_for.amount, asked_for.quote_amount)
    if asked_for.quote_amount is not None:
        assert asked_for.quote_amount * D("0.999") < spent(order) <= asked_for.quote_amount
    else:
        assert order.filled_amount == asked_for.amount


def test_43_money_after_a_buy_is_exact_to_the_fee(stage):
    order = stage.bought()

    cost = fees(order) if stage.capabilities.leverage else spent(order) + fees(order)
    assert abs(stage.money - stage.cash() - cost) <= DUST


def test_44_what_was_bought_is_held_exactly(stage):
    order = stage.bought()

    assert stage.held() == order.filled_amount > 0


def test_45_selling_what_was_bought_leaves_nothing(stage):
    stage.bought()
    sold = stage.done(stage.market(Side.SELL, stage.held(), reduce_only=True))

    assert sold.status is VenueOrderStatus.FILLED and sold.side is Side.SELL
    assert stage.held() == 0


def test_46_a_round_trip_costs_its_spread_and_fees_and_nothing_else(stage):
    bought = stage.bought()
    sold = stage.done(stage.market(Side.SELL, stage.held(), reduce_only=True))

    assert abs((stage.cash() - stage.money) - (spent(sold) - spent(bought) - fees(sold) - fees(bought))) <= DUST


def test_47_a_large_buy_walks_the_book_to_worse_prices(stage):
    order = stage.bought(walking(stage, Side.BUY))

    prices = [fill.price for fill in order.fills]
    assert len(set(prices)) >= 3 if order.amount is not None else len(set(prices)) >= 2
    assert min(prices) < spent(order) / order.filled_amount < max(prices)


def test_48_a_large_sale_walks_the_book_to_worse_prices(stage):
    stage.bought(walking(stage, Side.BUY))
    amount = min(walking(stage, Side.SELL), stage.held())
    order = stage.done(stage.market(Side.SELL, amount, reduce_only=True))

    prices = {fill.price for fill in order.fills}
    assert len(prices) >= 2
    assert max(prices) > spent(order) / order.filled_amount > min(prices)


def test_49_an_order_keeps_the_client_id_that_it_was_given(stage):
    request = stage.market(Side.BUY, stage.unit)
    placed = stage.exchange.place(request)

    assert placed.client_id == request.client_id
    assert placed.exchange_order_id


# --- fills ---


def test_50_fills_sum_to_the_filled_amount(stage):
    order = stage.bought(walking(stage, Side.BUY))

    assert sum(fill.amount for fill in order.fills) == order.filled_amount


def test_51_fills_name_their_order_and_have_ids_of_their_own(stage):
    order = stage.bought(walking(stage, Side.BUY))

    assert len({fill.exchange_trade_id for fill in order.fills}) == len(order.fills) >= 2
    assert {fill.exchange_order_id for fill in order.fills} == {order.exchange_order_id}
    assert {fill.client_id for fill in order.fills} == {order.client_id}
    assert {(fill.symbol, fill.side) for fill in order.fills} == {(stage.symbol, Side.BUY)}


def test_52_the_fee_of_a_taker_is_the_rate_told(stage):
    order = stage.bought()
    rate = stage.exchange.fees(stage.symbol).taker_rate

    only(stage.capabilities.fees_in_quote, "fees in quote")
    assert {fill.fee_currency for fill in order.fills} == {stage.quote}
    assert abs(fees(order) - rate * spent(order)) <= DUST


def test_53_fills_since_a_time_are_those_of_the_orders(stage):
    since = stage.clock.now() - timedelta(minutes=1)
    orders = [stage.bought(), stage.bought()]

    told = stage.exchange.fills(symbol=stage.symbol, since=since)

    assert {fill.exchange_trade_id for fill in told} == {fill.exchange_trade_id for order in orders for fill in order.fills}
    assert len(told) == len({fill.exchange_trade_id for fill in told})
    assert [fill.executed_at for fill in told] == sorted(fill.executed_at for fill in told)


def test_54_fills_told_by_list_and_by_order_are_equal(stage):
    since = stage.clock.now() - timedelta(minutes=1)
    order = stage.bought(walking(stage, Side.BUY))

    told = stage.exchange.fills(symbol=stage.symbol, since=since)

    key = lambda fill: fill.exchange_trade_id  # noqa: E731
    assert sorted(told, key=key) == sorted(order.fills, key=key)


def test_55_fills_of_another_symbol_and_of_the_future_are_none(stage):
    stage.bought()
    now = stage.clock.now()

    assert list(stage.exchange.fills(symbol=stage.other_symbol, since=now - timedelta(minutes=1))) == []
    assert list(stage.exchange.fills(symbol=stage.symbol, since=now + timedelta(seconds=2))) == []


# --- limit orders ---


def test_56_a_limit_that_crosses_fills_at_its_price_or_better(stage):
    limit = stage.best(Side.BUY)
    order = stage.done(stage.limit(Side.BUY, stage.unit, limit))

    assert order.status is VenueOrderStatus.FILLED and order.filled_amount == stage.unit
    assert (order.order_type, order.price, order.amount) == (OrderType.LIMIT, limit, stage.unit)
    assert all(fill.price <= limit for fill in order.fills)


def test_57_a_limit_far_away_waits_or_ends_at_once_as_its_capability_says(stage):
    request = stage.limit(Side.BUY, stage.unit, stage.far_below())
    stage.exchange.place(request)

    order = stage.exchange.order(symbol=stage.symbol, client_id=request.client_id)

    assert order.filled_amount == 0 and order.fills == ()
    assert order.status is (VenueOrderStatus.OPEN if stage.capabilities.resting_orders else VenueOrderStatus.CANCELLED)


def test_58_a_limit_larger_than_its_price_level_fills_in_part(stage):
    book = stage.exchange.order_book(stage.symbol)
    amount = book.asks[0].amount + stage.unit
    request = stage.limit(Side.BUY, amount, book.asks[0].price)
    stage.exchange.place(request)

    order = stage.exchange.order(symbol=stage.symbol, client_id=request.client_id)

    assert order.filled_amount == book.asks[0].amount
    assert order.amount == amount
    wanted = VenueOrderStatus.PARTIALLY_FILLED if stage.capabilities.resting_orders else VenueOrderStatus.CANCELLED
    assert order.status is wanted


def test_59_money_of_a_waiting_order_is_locked_and_given_back(stage):
    only(stage.capabilities.resting_orders, "resting orders")
    request = stage.limit(Side.BUY, stage.unit, stage.far_below())
    stage.exchange.place(request)

    during = stage.balance(stage.quote)
    stage.exchange.cancel(symbol=stage.symbol, client_id=request.client_id)

    assert during.free < stage.money and during.free + during.locked == stage.money
    assert stage.balance(stage.quote).free == stage.money


def test_60_a_waiting_order_is_listed_as_open_and_leaves_the_list(stage):
    only(stage.capabilities.resting_orders, "resting orders")
    request = stage.limit(Side.BUY, stage.unit, stage.far_below())
    placed = stage.exchange.place(request)

    listed = [order.exchange_order_id for order in stage.exchange.open_orders(stage.symbol)]
    elsewhere = list(stage.exchange.open_orders(stage.other_symbol))
    stage.exchange.cancel(symbol=stage.symbol, exchange_order_id=placed.exchange_order_id)

    assert listed == [placed.exchange_order_id] and elsewhere == []
    assert list(stage.exchange.open_orders()) == []


def test_61_exact_digits_come_back_as_they_were_sent(stage):
    step = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now()).lot_step
    amount = stage.unit + 7 * step
    request = stage.limit(Side.BUY, amount, stage.far_below())
    stage.exchange.place(request)

    order = stage.exchange.order(symbol=stage.symbol, client_id=request.client_id)

    assert (order.amount, order.price) == (amount, request.price)


# --- refusals ---


def refused(stage: Stage, request: OrderRequest) -> None:
    """The order is certainly refused, leaves no trace and moves no money."""
    with pytest.raises(ExchangeRejected) as caught:
        stage.exchange.place(request)
    assert caught.value.code
    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) is None
    assert stage.cash() == stage.money


def test_62_an_order_below_the_minimum_is_refused(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())
    price = min(stage.far_below(), rules.minimum_total / rules.lot_step / 2)
    price = price // rules.tick(price) * rules.tick(price)

    refused(stage, stage.limit(Side.BUY, rules.lot_step, price))


def test_63_a_market_buy_below_the_minimum_is_refused(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())
    asked_for = stage.market(Side.BUY, stage.unit)
    is_in_quote = asked_for.quote_amount is not None
    small = {"quote_amount": rules.minimum_total / 2} if is_in_quote else {"amount": rules.lot_step / 2}

    refused(stage, replace(asked_for, **small))


def test_64_an_order_beyond_the_money_is_refused(stage):
    amount = stage.money / stage.best(Side.BUY) * 2 // stage.unit * stage.unit

    refused(stage, stage.limit(Side.BUY, amount, stage.best(Side.BUY)))


def test_65_selling_what_is_not_held_is_refused_where_shorts_are_not_sold(stage):
    only(not stage.capabilities.short_selling, "ban on short sales")

    refused(stage, stage.market(Side.SELL, stage.unit))


def test_66_a_price_off_the_tick_is_refused(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())
    price = stage.far_below()

    refused(stage, stage.limit(Side.BUY, stage.unit, price + rules.tick(price) / 2))


def test_67_an_amount_off_the_lot_is_refused(stage):
    rules = stage.exchange.trading_rules(stage.symbol, at=stage.clock.now())

    refused(stage, stage.limit(Side.BUY, stage.unit + rules.lot_step / 2, stage.far_below()))


@pytest.mark.parametrize("size", [D(0), D(-1), D("NaN"), D("Infinity")], ids=str)
def test_68_an_impossible_size_is_refused(stage, size):
    refused(stage, stage.limit(Side.BUY, size, stage.far_below()))


def test_69_an_order_sized_twice_or_not_at_all_is_refused(stage):
    both = replace(stage.market(Side.BUY, stage.unit), amount=stage.unit, quote_amount=D(100_000))

    refused(stage, both)
    refused(stage, replace(both, client_id=client_id(), amount=None, quote_amount=None))


def test_70_an_order_for_nonsense_is_refused_before_anything_is_sent(stage):
    with pytest.raises((ExchangeRejected, BadInput)):
        stage.exchange.place(stage.limit(Side.BUY, stage.unit, stage.far_below(), symbol=stage.nonsense))

    assert stage.cash() == stage.money


def test_71_reduce_only_never_turns_a_position(stage):
    only(stage.capabilities.short_selling, "short sales")
    stage.bought()

    try:
        stage.exchange.place(stage.market(Side.SELL, stage.held() * 3, reduce_only=True))
    except ExchangeRejected:
        pass  # either is safe

    assert stage.held() >= 0


# --- client ids ---


def test_72_a_client_id_is_never_two_orders(stage):
    request = stage.market(Side.BUY, stage.unit)
    first = stage.done(request)

    with pytest.raises((OutcomeUnknown, ExchangeRejected)):
        stage.exchange.place(request)

    assert stage.held() == first.filled_amount
    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) == first


def test_73_a_used_client_id_is_unknown_and_not_refused(stage):
    request = stage.market(Side.BUY, stage.unit)
    stage.done(request)

    with pytest.raises(OutcomeUnknown):  # the first one was recorded: "rejected" would give up an order that exists
        stage.exchange.place(request)


def test_74_a_client_id_used_with_another_size_still_tells_the_first_order(stage):
    request = stage.market(Side.BUY, stage.unit)
    first = stage.done(request)
    larger = stage.market(Side.BUY, stage.unit * 2, client_id=request.client_id)

    with pytest.raises(ExchangeError):
        stage.exchange.place(larger)

    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) == first


# --- looking up ---


def test_75_both_ids_find_the_same_order(stage):
    order = stage.bought()

    assert stage.exchange.order(symbol=stage.symbol, exchange_order_id=order.exchange_order_id) == order


def test_76_an_unknown_client_id_is_certainly_no_order(stage):
    assert stage.exchange.order(symbol=stage.symbol, client_id=client_id()) is None


def test_77_another_process_sees_the_same_order_and_money(stage):
    order = stage.bought()
    other = stage.again()

    assert other.order(symbol=stage.symbol, client_id=order.client_id) == order
    assert sorted(other.balances(), key=lambda one: one.asset) == sorted(stage.exchange.balances(), key=lambda one: one.asset)


def test_78_closed_orders_hold_what_ended_within_the_window_and_nothing_else(stage):
    order = stage.bought()
    day = timedelta(days=1)

    def ids(start: datetime, end: datetime, symbol: str | None) -> list[str]:
        return [one.exchange_order_id for one in stage.exchange.closed_orders(symbol=symbol, start=start, end=end)]

    assert ids(order.created_at - day, order.created_at + day, stage.symbol) == [order.exchange_order_id]
    assert ids(order.created_at - day, order.created_at + day, None) == [order.exchange_order_id]
    assert ids(order.created_at - day, order.created_at + day, stage.other_symbol) == []
    assert ids(order.created_at - day, order.created_at, stage.symbol) == []


def test_79_a_window_longer_than_the_exchange_allows_is_split(stage):
    order = stage.bought()
    length = stage.capabilities.closed_orders_window * 3

    found = stage.exchange.closed_orders(symbol=stage.symbol, start=order.created_at - length, end=order.created_at + timedelta(minutes=1))

    assert [one.exchange_order_id for one in found] == [order.exchange_order_id]


def test_80_a_waiting_order_is_not_among_the_closed(stage):
    only(stage.capabilities.resting_orders, "resting orders")
    placed = stage.exchange.place(stage.limit(Side.BUY, stage.unit, stage.far_below()))
    now = stage.clock.now()

    assert list(stage.exchange.closed_orders(symbol=stage.symbol, start=now - timedelta(hours=1), end=now + timedelta(hours=1))) == []
    assert placed.status in OPEN


# --- cancelling ---


@pytest.mark.parametrize("by", ["client_id", "exchange_order_id"])
def test_81_a_waiting_order_is_cancelled_by_either_id(stage, by):
    only(stage.capabilities.resting_orders, "resting orders")
    placed = stage.exchange.place(stage.limit(Side.BUY, stage.unit, stage.far_below()))

    stage.exchange.cancel(symbol=stage.symbol, **{by: getattr(placed, by)})

    assert stage.exchange.order(symbol=stage.symbol, client_id=placed.client_id).status is VenueOrderStatus.CANCELLED


def test_82_cancelling_what_is_filled_tells_that_it_is_filled(stage):
    order = stage.bought()

    told = stage.exchange.cancel(symbol=stage.symbol, client_id=order.client_id)

    assert told.status is VenueOrderStatus.FILLED and told.filled_amount == order.filled_amount


def test_83_cancelling_what_never_was_is_refused(stage):
    with pytest.raises(ExchangeRejected):
        stage.exchange.cancel(symbol=stage.symbol, client_id=client_id())


def test_84_a_cancelled_order_keeps_what_it_filled(stage):
    book = stage.exchange.order_book(stage.symbol)
    request = stage.limit(Side.BUY, book.asks[0].amount + stage.unit, book.asks[0].price)
    stage.exchange.place(request)
    if stage.capabilities.resting_orders:
        stage.exchange.cancel(symbol=stage.symbol, client_id=request.client_id)

    order = stage.exchange.order(symbol=stage.symbol, client_id=request.client_id)

    assert order.status is VenueOrderStatus.CANCELLED
    assert order.filled_amount == sum(fill.amount for fill in order.fills) == stage.held() == book.asks[0].amount


# --- faults at the wire ---


def test_85_an_order_whose_answer_is_lost_is_unknown_and_found_later(stage):
    wire = wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    wire.faults.set(wire.place, accept_then_drop(), times=1)

    with pytest.raises(OutcomeUnknown):
        stage.exchange.place(request)

    order = stage.exchange.order(symbol=stage.symbol, client_id=request.client_id)
    assert order.status is VenueOrderStatus.FILLED and stage.held() == order.filled_amount


def test_86_an_order_that_was_dropped_unread_is_unknown_too_and_not_found(stage):
    wire = wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    wire.faults.set(wire.place, drop(), times=1)

    with pytest.raises(OutcomeUnknown):
        stage.exchange.place(request)

    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) is None


FAULTS: dict[str, Callable[[], Fault]] = {
    "accepted, then dropped": accept_then_drop,
    "dropped": drop,
    "HTML": lambda: html(502),
    "HTML after the deed": lambda: html(502, is_processed=True),
    "empty": lambda: garbage(b""),
    "truncated": lambda: Fault(truncate_to=10),
    "not JSON": lambda: garbage(b"OK"),
    "NaN": lambda: garbage(b'{"uuid": NaN, "code": NaN}'),
    "a list": lambda: garbage(b"[]"),
    "null": lambda: garbage(b"null"),
    "500": lambda: Fault(status=500, body=b"{}"),
    "429": lambda: Fault(status=429, body=b"Too many API requests."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_87_an_order_leaves_once_whatever_the_answer(stage, fault):
    wire = wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    wire.faults.set(wire.place, FAULTS[fault](), times=1)

    with pytest.raises(OutcomeUnknown):
        stage.exchange.place(request)

    assert len(wire.server.requests(wire.place)) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_88_a_question_without_a_proper_answer_is_unavailable_and_no_value(stage, fault):
    wire = wired(stage)
    wire.faults.set(wire.ticker, FAULTS[fault](), times=1)
    wire.faults.set(wire.book, FAULTS[fault](), times=1)

    with pytest.raises(ExchangeUnavailable):
        stage.exchange.ticker(stage.symbol)
    with pytest.raises(ExchangeUnavailable):
        stage.exchange.order_book(stage.symbol)
    assert stage.exchange.ticker(stage.symbol).price > 0  # and it recovers


def test_89_a_hanging_exchange_costs_no_more_than_the_time_out(stage):
    wire = wired(stage)
    wire.faults.set(wire.ticker, hang(), times=1)

    started = time.monotonic()
    with pytest.raises(ExchangeUnavailable):
        stage.exchange.ticker(stage.symbol)

    assert time.monotonic() - started < 10  # the time-out is one second; a slow machine is not the adapter's fault


def test_90_an_order_that_hangs_after_the_deed_is_unknown_and_found(stage):
    wire = wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    wire.faults.set(wire.place, hang(is_processed=True), times=1)

    with pytest.raises(OutcomeUnknown):
        stage.exchange.place(request)

    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id).filled_amount > 0


def test_91_an_order_to_a_closed_door_was_certainly_not_sent(stage):
    wire = wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    wire.server.stop()

    with pytest.raises(ExchangeUnavailable):
        stage.exchange.place(request)
    with pytest.raises(ExchangeUnavailable):
        stage.exchange.ticker(stage.symbol)


def test_92_a_refused_question_says_when_to_ask_again(stage):
    wire = wired(stage)
    wire.faults.set(wire.ticker, Fault(status=429, body=b"Too many API requests."), times=1)

    with pytest.raises(RateLimited) as caught:
        stage.exchange.ticker(stage.symbol)

    assert 0 < caught.value.retry_after_s < 3600


def test_93_maintenance_is_told_apart_from_silence(stage):
    wired(stage)
    stage.fake.is_under_maintenance = True

    with pytest.raises(ExchangeMaintenance):
        stage.exchange.ticker(stage.symbol)


def test_94_an_order_during_maintenance_is_never_called_filled(stage):
    wired(stage, orders=True)
    request = stage.market(Side.BUY, stage.unit)
    stage.fake.is_under_maintenance = True

    with pytest.raises(ExchangeError):
        stage.exchange.place(request)

    stage.fake.is_under_maintenance = False
    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) is None


def test_95_a_wrong_key_is_refused_and_places_nothing(stage):
    only(stage.with_wrong_key, "keys")
    stranger, request = stage.with_wrong_key(), stage.market(Side.BUY, stage.unit)

    with pytest.raises(CredentialsRefused):
        stranger.balances()
    with pytest.raises(CredentialsRefused):
        stranger.place(request)
    assert stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) is None


def test_96_public_data_needs_no_key_and_the_account_does(stage):
    only(stage.without_key, "keys")
    anybody = stage.without_key()

    assert anybody.ticker(stage.symbol).price > 0
    assert anybody.order_book(stage.symbol).bids
    for ask in (anybody.balances, anybody.key_rights, anybody.open_orders):
        with pytest.raises(CredentialsRefused):
            ask()


def test_97_an_order_that_is_not_visible_yet_is_found_when_it_is(stage):
    wire = wired(stage, orders=True)
    request = stage.limit(Side.BUY, stage.unit, stage.far_below())
    wire.faults.set(wire.place, accept_then_drop(), times=1)
    wire.faults.set(wire.order, Fault(lag_s=60), times=1)
    with pytest.raises(OutcomeUnknown):
        stage.exchange.place(request)

    first, later = (stage.exchange.order(symbol=stage.symbol, client_id=request.client_id) for _ in range(2))

    assert first is None  # "not found" was no proof
    assert later is not None and later.client_id == request.client_id


def test_98_a_failed_balance_question_is_unavailable_and_never_zero(stage):
    wire = wired(stage, orders=True)
    for fault in (html(502), garbage(b"null"), garbage(b"{}"), Fault(truncate_to=5)):
        wire.faults.set(wire.balances, fault, times=1)
        with pytest.raises(ExchangeUnavailable):
            stage.exchange.balances()

    assert stage.cash() == stage.money


def test_99_a_lost_cancel_leaves_the_truth_to_be_read(stage):
    wire = wired(stage, orders=True)
    placed = stage.exchange.place(stage.limit(Side.BUY, stage.unit, stage.far_below()))
    wire.faults.set(wire.cancel, accept_then_drop(), times=1)

    with pytest.raises(OutcomeUnknown):
        stage.exchange.cancel(symbol=stage.symbol, client_id=placed.client_id)

    assert stage.exchange.order(symbol=stage.symbol, client_id=placed.client_id).status is VenueOrderStatus.CANCELLED


def test_the_ledger_of_every_fake_adds_up(stage):
    only(stage.orders_cross_a_wire, "ledger of its own")
    stage.bought(walking(stage, Side.BUY))
    stage.done(stage.market(Side.SELL, stage.held() / 2 // stage.unit * stage.unit, reduce_only=True))

    told = stage.fake.disagreements() if hasattr(stage.fake, "disagreements") else stage.fake.engine.disagreements()

    assert told == []


def test_the_contract_has_at_least_seventy_numbered_cases():
    numbers = [int(found[1]) for name in globals() if (found := re.match(r"test_(\d\d)_", name))]

    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 70
