"""The Bitget adapter against the fake over a real socket: market data, the account, orders, stops."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dgbot.core.errors import BadInput, CredentialsRefused, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown, RateLimited
from dgbot.core.interval import Interval
from dgbot.core.types import MarginMode, OrderBook, Side, StopRequest, VenueOrderStatus
from tests.contracts.bitget.stage import DETAIL, PLACE, RAW, SYMBOL, a_limit, an_order, connected
from tests.fakes.bitget import FakeBitget
from tests.fakes.bitget.desk import smooth_candle
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.faults import Fault, html
from trading.exchanges.bitget import CAPABILITIES
from trading.exchanges.budget import BITGET_LIMITS, LocalBudget

D = Decimal
NOON = datetime(2026, 3, 4, 12, 30, 17, tzinfo=UTC)


# --- Public data ---
def test_public_data_needs_no_key(fake):
    public = connected(fake)
    fake.strangers_trade(RAW, count=3)

    assert public.markets()[0].symbol == SYMBOL
    assert public.ticker(SYMBOL).price > 0 and isinstance(public.order_book(SYMBOL), OrderBook)
    assert len(public.market_trades(SYMBOL, since=datetime(2020, 1, 1, tzinfo=UTC))) == 3
    assert all("ACCESS-KEY" not in line.request.headers for line in fake.server.log)
    with pytest.raises(CredentialsRefused, match="needs a key"):
        public.balances()


def test_rules_hold_grid_and_limits_of_both_order_types(fake, exchange):
    rules = exchange.trading_rules(SYMBOL, at=NOON)

    assert (rules.tick(D(3000)), rules.lot_step, rules.minimum_amount, rules.minimum_total) == (D("0.01"), D("0.01"), D("0.01"), 5)
    assert (rules.maximum_amount, rules.maximum_market_amount, rules.maximum_leverage) == (2000, 500, 100)
    with pytest.raises(BadInput, match="no contract"):
        exchange.trading_rules("NONE/USDT:USDT", at=NOON)


def test_rules_are_at_hand_after_an_answer_because_it_is_booked_in_a_transaction(fake, exchange):
    exchange.place(an_order("A1"))
    fake.server.faults.set("GET *contracts", html(502))

    exchange.order(symbol=SYMBOL, client_id="A1")
    before = len(fake.server.log)
    assert exchange.trading_rules(SYMBOL, at=NOON).symbol == SYMBOL
    assert len(fake.server.log) == before


def test_an_order_is_told_though_its_rules_cannot_be_read(fake, exchange):
    fake.server.faults.set("GET *contracts", html(502))

    assert exchange.place(an_order("A1")).client_id == "A1"
    assert exchange.order(symbol=SYMBOL, client_id="A1").filled_amount == D("0.05")
    with pytest.raises(ExchangeUnavailable):
        exchange.trading_rules(SYMBOL, at=NOON)


def test_a_contract_that_is_not_normal_is_listed_as_not_tradable(fake, exchange):
    fake.engine.markets[RAW].is_open = False

    assert [rules.is_tradable for rules in exchange.markets()] == [False]


@pytest.mark.parametrize("counts_from", ["start", "end"])
@pytest.mark.parametrize("interval", sorted(CAPABILITIES.intervals, key=lambda one: one.seconds))
def test_candles_page_forward_without_gap_and_without_the_forming_one(interval, counts_from):
    with FakeBitget(clock=FakeClock(NOON)) as fake:
        fake.open_market()
        fake.desk.candles_count_from = counts_from
        exchange = connected(fake)
        start = interval.open_of(NOON) - interval.length * 1500

        candles = exchange.candles(SYMBOL, interval, start=start, end=NOON)

        opens = [candle.opened_at for candle in candles]
        assert opens == [start + interval.length * number for number in range(1500)]
        assert candles[7] == smooth_candle(RAW, interval, opens[7])


def test_candles_older_than_the_recent_endpoint_reaches_come_from_history():
    with FakeBitget(clock=FakeClock(NOON)) as fake:
        fake.open_market()
        exchange = connected(fake)
        start = Interval.HOUR_1.open_of(NOON - timedelta(days=75))

        candles = exchange.candles(SYMBOL, Interval.HOUR_1, start=start, end=start + timedelta(days=20))

        assert len(candles) == 480
        assert {line.request.path.rpartition("/")[2] for line in fake.server.log} == {"history-candles", "candles", "time"}


def test_an_interval_that_is_not_served_is_named(exchange):
    with pytest.raises(BadInput, match="10m"):
        exchange.candles(SYMBOL, Interval.MINUTE_10, start=NOON, end=NOON)


def test_public_trades_are_paged_back_to_the_asked_time_without_gap_or_double(fake, exchange):
    fake.strangers_trade(RAW, count=450)
    expected = [printed.sequence for printed in fake.engine.prints[RAW]]

    trades = exchange.market_trades(SYMBOL, since=datetime(2020, 1, 1, tzinfo=UTC))

    assert [trade.sequence for trade in trades] == expected


# --- The account ---
def test_prepare_sets_and_reads_back_one_way_isolated_and_leverage(fake, account, exchange):
    account.position_mode = "hedge_mode"

    state = exchange.prepare(SYMBOL, leverage=D(7))

    assert (state.is_one_way, state.margin_mode, state.leverage) == (True, MarginMode.ISOLATED, 7)


def test_prepare_sends_nothing_when_all_is_right_already(fake, exchange):
    exchange.prepare(SYMBOL, leverage=D(7))
    sent = len([line for line in fake.server.log if line.request.method == "POST"])

    exchange.prepare(SYMBOL, leverage=D(7))

    assert len([line for line in fake.server.log if line.request.method == "POST"]) == sent


def test_prepare_refuses_when_the_settings_did_not_take(fake, exchange):
    fake.desk.keeps_settings = True

    with pytest.raises(ExchangeRejected, match="must be one-way, isolated") as refused:
        exchange.prepare(SYMBOL, leverage=D(7))
    assert refused.value.code == "margin_not_confirmed"


def test_prepare_refuses_while_a_position_holds_the_old_mode(fake, account, exchange):
    account.margin_modes[RAW] = "crossed"
    exchange.place(an_order("A1"))
    account.margin_modes[RAW] = "crossed"

    with pytest.raises(ExchangeRejected, match="45117"):
        exchange.prepare(SYMBOL, leverage=D(7))


def test_prepare_trusts_the_reading_back_when_the_answer_was_lost(fake, exchange):
    fake.server.faults.set("POST *set-leverage", html(502, is_processed=True))

    assert exchange.prepare(SYMBOL, leverage=D(9)).leverage == 9


def test_positions_are_signed_and_tell_their_liquidation_price(fake, exchange):
    exchange.prepare(SYMBOL, leverage=D(5))
    exchange.place(an_order("A1", side=Side.SELL))

    (position,) = exchange.positions()

    assert (position.symbol, position.amount, position.leverage) == (SYMBOL, D("-0.05"), 5)
    assert position.liquidation_price > position.entry_price


def test_key_rights_are_told_and_the_right_to_withdraw_is_seen(fake):
    generous = connected(fake, fake.add_account(name="bob", key="bg_bob", rights=("coow", "cpow", "stor", "wwow"), ips=""))

    rights = generous.key_rights()

    assert (rights.can_read, rights.can_trade, rights.can_withdraw, rights.is_ip_locked) == (True, True, True, False)


def test_rights_that_cannot_be_asked_are_unknown_not_denied(fake):
    narrow = connected(fake, fake.add_account(name="bob", key="bg_bob", rights=("coow", "cpow")))

    rights = narrow.key_rights()

    assert (rights.can_read, rights.can_trade, rights.can_withdraw) == (True, None, None)


def test_a_key_that_is_not_taken_at_all_is_refused(fake, account, exchange):
    account.passphrase = "changed"

    with pytest.raises(CredentialsRefused, match="40012"):
        exchange.key_rights()


def test_funding_is_told_apart_from_fills(fake, exchange):
    exchange.prepare(SYMBOL, leverage=D(5))
    began = exchange.server_time()
    exchange.place(an_order("A1"))
    fake.desk.set_mark(RAW, 3000)
    fake.desk.fund(RAW, rate="0.0001")

    assert [payment.amount for payment in exchange.cash_flows(since=began)] == [D("-0.015")]


def test_the_shared_budget_stops_a_read_before_it_is_sent(fake, account):
    exchange = connected(fake, account, budget=LocalBudget(BITGET_LIMITS, share=1.0))
    exchange.client.budget.banned(seconds=60)
    before = len(fake.server.log)

    with pytest.raises(RateLimited):
        exchange.positions()
    with pytest.raises(RateLimited):
        exchange.place(an_order("A1"))
    assert len(fake.server.log) == before


# --- Orders ---
def test_a_limit_order_rests_is_listed_and_is_cancelled_by_client_id(fake, exchange):
    exchange.place(a_limit("A1", price="2900.01"))
    assert [(order.client_id, order.price) for order in exchange.open_orders()] == [("A1", D("2900.01"))]

    cancelled = exchange.cancel(symbol=SYMBOL, client_id="A1")

    assert (cancelled.status, cancelled.filled_amount) == (VenueOrderStatus.CANCELLED, 0)
    assert exchange.open_orders(SYMBOL) == []


def test_a_cancel_tells_an_order_that_is_still_open_as_open(fake, exchange):
    exchange.place(a_limit("A1"))
    fake.engine.cancel_delay_s = 30

    assert exchange.cancel(symbol=SYMBOL, client_id="A1").status is VenueOrderStatus.OPEN


def test_cancelling_what_has_filled_tells_the_filled_order(fake, exchange):
    placed = exchange.place(an_order("A1"))

    assert exchange.cancel(symbol=SYMBOL, exchange_order_id=placed.exchange_order_id).status is VenueOrderStatus.FILLED


def test_cancelling_what_nobody_knows_is_refused(exchange):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.cancel(symbol=SYMBOL, client_id="NEVER")
    assert refused.value.code == "40768"


def test_a_cancel_whose_effect_cannot_be_read_is_unknown(fake, exchange):
    exchange.place(a_limit("A1"))
    fake.server.faults.set(DETAIL, html(502))

    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        exchange.cancel(symbol=SYMBOL, client_id="A1")


def test_a_partly_filled_and_cancelled_order_keeps_its_fills(fake, exchange):
    exchange.place(a_limit("A1", price="2990", amount=D("1")))
    fake.engine.stranger_trades(RAW, price=2990, amount="0.4", taker_side=Side.SELL)
    assert exchange.order(symbol=SYMBOL, client_id="A1").status is VenueOrderStatus.PARTIALLY_FILLED

    cancelled = exchange.cancel(symbol=SYMBOL, client_id="A1")

    assert (cancelled.status, cancelled.filled_amount) == (VenueOrderStatus.CANCELLED, D("0.4"))
    assert sum(fill.amount for fill in cancelled.fills) == D("0.4")


def test_reduce_only_never_opens_a_position(fake, exchange):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(an_order("A1", side=Side.SELL, reduce_only=True))
    assert refused.value.code == "22002"

    exchange.place(an_order("A2"))
    exchange.place(an_order("A3", side=Side.SELL, amount=D(2), reduce_only=True))
    assert exchange.positions() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": D("0.001")}, "40808"),
        ({"amount": None, "quote_amount": D(100)}, "quote_amount"),
        ({"amount": D(500)}, "40762"),
        ({"amount": D(-1)}, "amount"),
    ],
)
def test_an_order_that_cannot_be_is_certainly_refused(exchange, change, code):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(an_order("A1", **change))
    assert refused.value.code == code


def test_an_order_below_five_dollars_is_refused(fake, exchange):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(a_limit("A1", price="400", amount=D("0.01")))
    assert refused.value.code == "45110"


def test_an_order_off_the_tick_is_refused(exchange):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(a_limit("A1", price="2900.001"))
    assert refused.value.code == "40808"


def test_a_position_mode_that_differs_refuses_the_order(fake, account, exchange):
    account.position_mode = "hedge_mode"

    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(an_order("A1"))
    assert refused.value.code == "40774"


def test_closed_orders_are_told_over_windows_and_pages(fake, exchange):
    exchange.prepare(SYMBOL, leverage=D(5))
    began = exchange.server_time()
    for number in range(120):
        exchange.place(an_order(f"A{number}", side=Side.BUY if number % 2 == 0 else Side.SELL))

    told = exchange.closed_orders(symbol=SYMBOL, start=began - timedelta(days=20), end=began + timedelta(hours=1))

    assert [order.client_id for order in told] == [f"A{number}" for number in range(120)]
    assert len(exchange.fills(symbol=None, since=began - timedelta(days=20))) == len(fake.engine.fills)


def test_orders_older_than_bitget_keeps_are_unknown(exchange):
    with pytest.raises(ExchangeUnavailable, match="90 days"):
        exchange.closed_orders(symbol=None, start=NOON - timedelta(days=900), end=NOON)


def test_a_foreign_order_is_told_with_whatever_id_it_has(fake, account, exchange):
    exchange.place(an_order("A1"))
    began = exchange.server_time() - timedelta(seconds=5)
    forced = fake.desk.liquidate(account.name, RAW)

    told = {order.exchange_order_id: order for order in exchange.closed_orders(symbol=SYMBOL, start=began, end=began + timedelta(hours=1))}
    fills = exchange.fills(symbol=None, since=began)

    assert told[forced.order_id].client_id is None
    assert fills[-1].client_id is None and fills[-1].exchange_order_id == forced.order_id


def test_an_order_that_is_not_visible_yet_is_none_and_its_fill_unavailable(fake, account, exchange):
    exchange.place(an_order("A1"))
    fake.server.faults.set(DETAIL, Fault(lag_s=60))

    assert exchange.order(symbol=SYMBOL, client_id="A1") is None
    with pytest.raises(ExchangeUnavailable, match="does not find the order"):
        connected(fake, account).fills(symbol=None, since=exchange.server_time() - timedelta(seconds=60))


def test_a_success_without_an_order_in_it_does_not_prove_that_there_is_none(fake, exchange):
    body = b'{"code":"00000","msg":"success","requestTime":1763713656000,"data":null}'
    fake.server.faults.set(DETAIL, Fault(status=200, body=body))

    with pytest.raises(ExchangeUnavailable):
        exchange.order(symbol=SYMBOL, client_id="A1")


def test_not_found_from_a_broken_server_proves_nothing(fake, exchange):
    fake.server.faults.set(DETAIL, Fault(status=502, body=b'{"code":"40109","msg":"","requestTime":1763713656000,"data":null}'))

    with pytest.raises(ExchangeUnavailable):
        exchange.order(symbol=SYMBOL, client_id="A1")


def test_an_entry_that_could_not_leave_in_time_does_not_leave_at_all(fake, exchange):
    fake.server.faults.set("GET *public/time", Fault(latency_s=0.9))
    slow = connected(fake, next(iter(fake.accounts.values())))
    slow.entry_within_s = 0.8

    with pytest.raises(ExchangeUnavailable, match="too late"):
        slow.place(an_order("A1"))

    assert fake.server.requests(PLACE) == []


def test_another_order_than_asked_for_is_not_believed(fake, exchange):
    exchange.place(a_limit("A1"))
    answer = next(line for line in fake.server.log if line.request.endpoint == PLACE)
    assert answer.status == 200
    order_id = exchange.order(symbol=SYMBOL, client_id="A1").exchange_order_id
    body = fake.handle(next(line.request for line in fake.server.log if line.request.endpoint == DETAIL)).payload
    fake.server.faults.set(DETAIL, Fault(status=200, body=body))

    with pytest.raises(ExchangeUnavailable, match="instead of"):
        exchange.order(symbol=SYMBOL, client_id="OTHER")
    with pytest.raises(ExchangeUnavailable, match="instead of"):
        exchange.order(symbol="BTC/USDT:USDT", exchange_order_id=order_id)


# --- Stops ---
def test_a_stop_covers_the_position_and_fires_at_the_mark_price(fake, exchange):
    exchange.place(an_order("A1"))
    stop = exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))
    assert (stop.client_id, stop.side, stop.trigger_price, stop.amount) == ("S1", Side.SELL, 2900, None)
    assert exchange.stops(SYMBOL) == [stop]

    fake.desk.set_mark(RAW, "2899.99")

    assert exchange.positions() == [] and exchange.stops(SYMBOL) == []


def test_a_stop_of_a_short_position_buys(fake, exchange):
    exchange.place(an_order("A1", side=Side.SELL))
    exchange.place_stop(StopRequest("S1", SYMBOL, Side.BUY, D(3100)))

    fake.desk.set_mark(RAW, 3100)

    assert exchange.positions() == []


def test_a_stop_of_a_part_keeps_its_amount(exchange):
    exchange.place(an_order("A1", amount=D("0.1")))

    assert exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900), amount=D("0.04"))).amount == D("0.04")


def test_a_stop_is_cancelled_and_a_second_cancel_is_no_error(exchange):
    exchange.place(an_order("A1"))
    stop = exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))

    exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)
    exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)

    assert exchange.stops(SYMBOL) == []


@pytest.mark.parametrize(("price", "code"), [("3100", "40917"), ("2900.001", "40808")])
def test_a_stop_on_the_wrong_side_or_off_the_tick_is_refused(exchange, price, code):
    exchange.place(an_order("A1"))

    with pytest.raises(ExchangeRejected) as refused:
        exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(price)))
    assert refused.value.code == code


def test_a_stop_without_a_position_is_refused(exchange):
    with pytest.raises(ExchangeRejected) as refused:
        exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))
    assert refused.value.code == "22002"


def test_a_stop_whose_answer_was_lost_is_unknown_and_found_by_reading(fake, exchange):
    exchange.place(an_order("A1"))
    fake.server.faults.set("POST *place-tpsl-order", html(502, is_processed=True))

    with pytest.raises(OutcomeUnknown):
        exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))
    assert [stop.client_id for stop in exchange.stops(SYMBOL)] == ["S1"]
