"""What is peculiar about Bitget or ccxt, each with a test named after it. The numbers are those of the notes on ccxt."""

import json
from decimal import Decimal

import pytest

from dgbot.core.errors import BadInput, CredentialsRefused, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown
from dgbot.core.types import Side, StopRequest, VenueOrderStatus
from tests.contracts.bitget.stage import DETAIL, PLACE, RAW, SYMBOL, a_limit, an_order, connected, impatient
from tests.fakes.core.faults import Fault, garbage, hang, html

D = Decimal


# --- The six behaviours of ccxt ---
def test_1_an_accepted_order_tells_ids_only_so_its_state_is_asked_for(exchange):
    acknowledged = exchange.place(an_order("A1"))
    told = exchange.order(symbol=SYMBOL, client_id="A1")

    assert (acknowledged.status, acknowledged.filled_amount) == (VenueOrderStatus.OPEN, 0)
    assert (told.status, told.filled_amount, len(told.fills)) == (VenueOrderStatus.FILLED, D("0.05"), 1)


def test_2_no_number_passes_through_a_float(fake, exchange):
    fake.engine.stranger_trades(RAW, price="2999.123456789012345678", amount="0.000000000000000001", taker_side=Side.BUY)

    assert exchange.ticker(SYMBOL).price == D("2999.123456789012345678")


def test_2_a_small_amount_is_written_without_an_exponent(fake, exchange):
    fake.engine.markets[RAW].lot_step = fake.engine.markets[RAW].minimum_amount = D("0.00000001")
    exchange.place(a_limit("A1", amount=D("1E-7") * 20000, price="2900"))

    assert json.loads(fake.server.requests(PLACE)[0].body)["size"] == "0.002"


def test_3_a_hanging_order_is_unknown_after_one_request(fake, exchange):
    exchange.balances()
    fake.server.faults.set(PLACE, hang(is_processed=True))
    impatient(exchange)

    with pytest.raises(OutcomeUnknown, match="A1"):
        exchange.place(an_order("A1"))

    assert len(fake.server.requests(PLACE)) == 1
    assert exchange.order(symbol=SYMBOL, client_id="A1").filled_amount == D("0.05")


@pytest.mark.parametrize("client_id", ["", "has space", "x" * 51, "ümlaut"])
def test_4_an_order_without_a_proper_client_id_is_never_sent(fake, exchange, client_id):
    with pytest.raises(ExchangeRejected, match="not sent"):
        exchange.place(an_order(client_id))

    assert fake.server.requests(PLACE) == []


def test_5_no_market_is_loaded_before_an_order(fake, exchange):
    exchange.place(an_order("A1"))

    assert [line.request.endpoint for line in fake.server.log][:2] == ["GET /api/v2/public/time", PLACE]


def test_6_absence_of_a_position_is_flat_only_when_the_question_was_answered(fake, exchange):
    assert exchange.positions() == []

    fake.server.faults.set("GET *all-position", html(502))
    with pytest.raises(ExchangeUnavailable):
        exchange.positions()


# --- Account kinds, demo, broker ---
def test_a_unified_account_is_never_guessed_from_a_failed_question(fake, account):
    with pytest.raises(BadInput, match="UTA"):
        connected(fake, account, is_unified=True)

    connected(fake, account).balances()
    assert not any("/api/v3/" in line.request.path for line in fake.server.log)


def test_a_classic_call_on_a_unified_account_refuses_the_credentials(fake, account, exchange):
    account.is_unified = True

    with pytest.raises(CredentialsRefused, match="40085"):
        exchange.balances()


def test_a_demo_account_sends_the_demo_header_with_every_request(fake):
    demo = connected(fake, fake.add_account(name="demo", key="bg_demo", is_demo=True))
    demo.ticker(SYMBOL)
    demo.place(an_order("A1"))
    demo.positions()

    asked = [line.request for line in fake.server.log if not line.request.path.endswith("public/time")]
    assert len(asked) == 4 and all(request.headers.get("PAPTRADING") == "1" for request in asked)


@pytest.mark.parametrize("is_demo", [True, False])
def test_a_request_whose_demo_header_contradicts_the_account_never_leaves(fake, is_demo):
    exchange = connected(fake, fake.add_account(name="demo", key="bg_demo", is_demo=is_demo))
    exchange.client._ccxt.options["sandboxMode"] = not is_demo  # what a wrong option or a new version of ccxt would do

    for act in (exchange.balances, lambda: exchange.ticker(SYMBOL), lambda: exchange.place(an_order("A1"))):
        with pytest.raises(CredentialsRefused, match="PAPTRADING"):
            act()

    assert {line.request.endpoint for line in fake.server.log} <= {"GET /api/v2/public/time"}


def test_a_real_key_in_demo_mode_is_refused_as_credentials(fake, account):
    with pytest.raises(CredentialsRefused, match="40099"):
        connected(fake, account, is_demo=True).balances()


def test_no_broker_id_is_sent(fake, exchange):
    exchange.balances()

    assert all("X-CHANNEL-API-CODE" not in line.request.headers for line in fake.server.log)


# --- Wire shapes ---
def test_amounts_are_in_base_coin_and_spot_symbols_are_refused(exchange):
    with pytest.raises(BadInput, match="ETH/USDT:USDT"):
        exchange.ticker("ETH/USDT")


def test_an_order_says_isolated_because_left_out_it_would_be_crossed(fake, exchange):
    exchange.place(an_order("A1"))

    assert json.loads(fake.server.requests(PLACE)[0].body)["marginMode"] == "isolated"


def test_an_empty_list_of_orders_is_null(fake, exchange):
    assert exchange.open_orders() == []
    assert json.loads(_last_answer(fake, "orders-pending"))["data"] == {"entrustedList": None, "endId": None}


def test_lists_say_status_where_the_detail_says_state(exchange):
    exchange.place(a_limit("A1"))

    assert exchange.open_orders(SYMBOL)[0].status is exchange.order(symbol=SYMBOL, client_id="A1").status is VenueOrderStatus.OPEN


def test_a_fill_carries_no_client_id_so_it_is_joined_by_order(fake, account, exchange):
    began = exchange.server_time()
    exchange.place(an_order("A1"))

    assert [fill.client_id for fill in connected(fake, account).fills(symbol=SYMBOL, since=began)] == ["A1"]


def test_a_charged_fee_is_negative_at_bitget_and_positive_here(exchange):
    exchange.place(an_order("A1"))

    fill = exchange.order(symbol=SYMBOL, client_id="A1").fills[0]
    assert (fill.fee, fill.fee_currency) == (D("0.0006") * fill.price * fill.amount, "USDT")


def test_free_money_is_what_margin_may_take_not_what_may_be_transferred(fake, exchange):
    exchange.prepare(SYMBOL, leverage=D(5))
    exchange.place(an_order("A1"))
    fake.desk.set_mark(RAW, 3100)

    (balance,) = exchange.balances()
    (position,) = exchange.positions()
    assert balance.locked == position.entry_price * position.amount / 5
    assert position.unrealised_profit == (3100 - position.entry_price) * position.amount
    assert balance.free + balance.locked == 1000 - D("0.0006") * position.entry_price * position.amount


def test_a_reduce_only_answer_without_an_order_id_is_looked_up_by_client_id(fake, exchange):
    exchange.place(an_order("A1"))
    fake.desk.omits_order_id = True

    closed = exchange.place(an_order("A2", side=Side.SELL, reduce_only=True))

    assert (closed.client_id, closed.status) == ("A2", VenueOrderStatus.FILLED)


def test_an_answer_without_an_order_id_that_cannot_be_looked_up_is_unknown(fake, exchange):
    exchange.place(an_order("A1"))
    fake.desk.omits_order_id = True
    fake.server.faults.set(DETAIL, html(502))

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A2", side=Side.SELL, reduce_only=True))


def test_an_answer_with_another_client_id_is_unknown(fake, exchange):
    body = json.dumps({"code": "00000", "msg": "success", "requestTime": 1763713656000, "data": {"orderId": "1", "clientOid": "B9"}})
    fake.server.faults.set(PLACE, garbage(body))

    with pytest.raises(OutcomeUnknown, match="B9"):
        exchange.place(an_order("A1"))


def test_a_page_of_html_with_status_200_is_unknown_where_ccxt_makes_an_order_without_id(fake, exchange):
    fake.server.faults.set(PLACE, html(200))

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))


def test_an_error_code_inside_a_success_status_is_an_error(fake, exchange):
    body = json.dumps({"code": "40762", "msg": "The order amount exceeds the balance", "requestTime": 1763713656000, "data": None})
    fake.server.faults.set(PLACE, garbage(body, status=200))

    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(an_order("A1"))
    assert refused.value.code == "40762"


# --- Clock ---
def test_a_wrong_clock_is_measured_again_instead_of_retried_for_ever(fake, exchange):
    exchange.balances()
    fake.clock.advance(120)

    with pytest.raises(ExchangeUnavailable, match="time"):
        exchange.balances()
    exchange.balances()

    assert len(fake.server.requests("GET /api/v2/public/time")) == 2


def test_an_order_with_a_stale_signature_is_certainly_refused(fake, exchange):
    exchange.balances()
    fake.clock.advance(120)

    with pytest.raises(ExchangeRejected) as refused:
        exchange.place(an_order("A1"))

    assert refused.value.code == "40008"
    assert exchange.place(an_order("A2")).client_id == "A2"


# --- Stops ---
def test_a_trigger_price_reaches_the_wire_as_it_was_given(fake, exchange):
    exchange.place(an_order("A1"))
    exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D("2900.10")))

    body = json.loads(fake.server.requests("POST /api/v2/mix/order/place-tpsl-order")[0].body)
    assert (body["triggerPrice"], body["holdSide"], body["triggerType"]) == ("2900.1", "buy", "mark_price")


def test_a_failed_cancel_of_a_stop_inside_a_success_is_no_success(fake, exchange):
    exchange.place(an_order("A1"))
    stop = exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))
    failure = {"orderId": stop.exchange_stop_id, "clientOid": "", "errorMsg": "no", "errorCode": "40015"}
    data = {"successList": [], "failureList": [failure]}
    body = json.dumps({"code": "00000", "msg": "success", "requestTime": 1763713656000, "data": data})
    fake.server.faults.set("POST *cancel-plan-order", garbage(body))

    with pytest.raises(ExchangeRejected, match="40015"):
        exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)


def test_not_found_for_a_stop_that_is_still_listed_proves_nothing(fake, exchange):
    exchange.place(an_order("A1"))
    stop = exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))
    failure = {"orderId": stop.exchange_stop_id, "clientOid": "", "errorMsg": "no", "errorCode": "40109"}
    data = {"successList": [], "failureList": [failure]}
    body = json.dumps({"code": "00000", "msg": "success", "requestTime": 1763713656000, "data": data})
    fake.server.faults.set("POST *cancel-plan-order", garbage(body))

    with pytest.raises(OutcomeUnknown, match="still lists"):
        exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)


def test_a_stop_that_was_taken_but_is_not_listed_is_unknown(fake, exchange):
    exchange.place(an_order("A1"))
    fake.desk.hides_new_stops = True

    with pytest.raises(OutcomeUnknown, match="does not list"):
        exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, D(2900)))


def test_take_profits_of_others_are_no_stops(fake, exchange, account):
    exchange.place(an_order("A1"))
    body = {"symbol": RAW, "productType": "USDT-FUTURES", "marginCoin": "USDT", "planType": "pos_profit"}
    body |= {"triggerPrice": "3300", "triggerType": "mark_price", "holdSide": "buy"}
    from trading.exchanges.bitget import PLACE_STOP

    exchange.client.write(PLACE_STOP, "a take-profit", body)

    assert exchange.stops(SYMBOL) == []


# --- Limits ---
def test_too_many_requests_for_an_order_is_unknown_until_asked(fake, exchange):
    fake.server.faults.set(PLACE, Fault(status=429, body=b"{}"), times=1)

    with pytest.raises(OutcomeUnknown):
        exchange.place(an_order("A1"))
    assert exchange.order(symbol=SYMBOL, client_id="A1") is None


def _last_answer(fake, path: str) -> bytes:
    request = next(line.request for line in reversed(fake.server.log) if path in line.request.path)
    return fake.handle(request).payload
