"""The Upbit adapter against the fake Upbit, over real sockets."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dgbot.core.errors import (
    BadInput,
    CredentialsRefused,
    ExchangeMaintenance,
    ExchangeRejected,
    ExchangeUnavailable,
    OutcomeUnknown,
    RateLimited,
)
from dgbot.core.interval import Interval
from dgbot.core.types import Candle, OrderRequest, OrderType, Side, StopRequest, VenueOrderStatus
from tests.fakes.core import faults
from tests.fakes.core.books import ScriptedBook
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.faults import Fault
from tests.fakes.core.orders import Kind, NewOrder
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading.exchanges import upbit
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.budget import UPBIT_LIMITS, LocalBudget
from trading.exchanges.upbit import Upbit
from trading.exchanges.upbit_http import UpbitHttp

D = Decimal
BTC = "KRW-BTC"
NUMBERS = itertools.count(1)
CREATE, LOOK_UP, CANCEL = "POST /v1/orders", "GET /v1/order", "DELETE /v1/order"


@pytest.fixture
def fake() -> Iterator[FakeUpbit]:
    with FakeUpbit(has_limits=False) as running:
        running.open_market(BTC)
        running.add_key()
        running.engine.deposit("main", "KRW", 50_000_000)
        running.engine.deposit("main", "BTC", "0.5")
        yield running
        assert running.engine.disagreements() == []


@pytest.fixture
def exchange(fake: FakeUpbit) -> Upbit:
    return connect(fake)


def connect(fake: FakeUpbit, *, total_timeout_s: float = 0.6, **keys: str) -> Upbit:
    http = UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=0.5, total_timeout_s=total_timeout_s))
    made = upbit.connect(http=http, **(keys or {"access_key": ACCESS, "secret_key": SECRET}))
    made.clock = fake.clock
    return made


def fresh_id() -> str:
    return f"LDEV{next(NUMBERS):0>27}"


def buy(quote: str | int = 10_000, **changes: object) -> OrderRequest:
    fields = {"client_id": fresh_id(), "symbol": BTC, "side": Side.BUY, "order_type": OrderType.MARKET, "quote_amount": D(quote)}
    return OrderRequest(**{**fields, **changes})  # type: ignore[arg-type]


def sell(amount: str = "0.001", **changes: object) -> OrderRequest:
    fields = {"client_id": fresh_id(), "symbol": BTC, "side": Side.SELL, "order_type": OrderType.MARKET, "amount": D(amount)}
    return OrderRequest(**{**fields, **changes})  # type: ignore[arg-type]


def bid(price: int = 90_000_000, amount: str = "0.001") -> OrderRequest:
    return buy(order_type=OrderType.LIMIT, quote_amount=None, amount=D(amount), price=D(price))


# --- orders ---
def test_a_market_buy_is_told_open_first_and_filled_when_asked_for(fake: FakeUpbit, exchange: Upbit) -> None:
    request = buy(10_000)

    placed = exchange.place(request)
    found = exchange.order(symbol=BTC, client_id=request.client_id)

    assert (placed.status, placed.filled_amount, placed.fills) == (VenueOrderStatus.OPEN, 0, ())
    assert found is not None
    assert (found.status, found.quote_amount, found.client_id) == (VenueOrderStatus.FILLED, D(10_000), request.client_id)
    truth = fake.engine.orders[placed.exchange_order_id]
    assert [(fill.exchange_trade_id, fill.price, fill.amount, fill.fee) for fill in found.fills] == [
        (fill.trade_id, fill.price, fill.amount, fill.fee) for fill in truth.fills
    ]


def test_a_market_buy_that_ends_as_cancel_counts_as_filled(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.set_book(BTC, ScriptedBook(asks=[(102_945_000, 1)]))

    placed = exchange.place(buy(10_000))
    found = exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    assert found is not None
    assert (found.raw["state"], found.status, found.filled_amount) == ("cancel", VenueOrderStatus.FILLED, D("0.00009713"))
    assert found.fills[0].fee == D("4.999523925")


def test_a_part_that_was_filled_before_the_cancel_is_told(exchange: Upbit) -> None:
    placed = exchange.place(bid(price=100_001_000, amount="0.2"))
    exchange.cancel(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    found = exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    assert found is not None
    assert (found.status, found.filled_amount) == (VenueOrderStatus.CANCELLED, D("0.1"))


def test_a_sale_takes_its_fee_from_the_proceeds(fake: FakeUpbit, exchange: Upbit) -> None:
    placed = exchange.place(sell("0.15"))

    found = exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    assert found is not None
    assert (found.status, len(found.fills)) == (VenueOrderStatus.FILLED, 2)
    assert sum(fill.fee for fill in found.fills) == fake.engine.orders[placed.exchange_order_id].fees
    assert {fill.fee_currency for fill in found.fills} == {"KRW"}


def test_a_limit_order_waits_is_listed_and_goes_when_cancelled(fake: FakeUpbit, exchange: Upbit) -> None:
    request = bid()
    exchange.place(request)
    assert [order.client_id for order in exchange.open_orders(BTC)] == [request.client_id]

    cancelled = exchange.cancel(symbol=BTC, client_id=request.client_id)

    assert cancelled.status is VenueOrderStatus.OPEN  # a request, as Upbit answers it
    found = exchange.order(symbol=BTC, client_id=request.client_id)
    assert found is not None
    assert (found.status, list(exchange.open_orders())) == (VenueOrderStatus.CANCELLED, [])


def test_a_cancel_that_comes_too_late_tells_how_the_order_ended(exchange: Upbit) -> None:
    placed = exchange.place(sell())

    ended = exchange.cancel(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    assert (ended.status, len(ended.fills)) == (VenueOrderStatus.FILLED, 1)


def test_a_cancel_takes_a_moment_and_a_fill_may_come_first(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.cancel_delay_s = 0.2
    placed = exchange.place(bid(price=99_999_000 - 1000))
    exchange.cancel(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    fake.engine.stranger_trades(BTC, price=90_000_000, amount=1, taker_side=Side.SELL)

    found = exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)
    assert found is not None
    assert found.status is VenueOrderStatus.FILLED


def test_an_order_nobody_knows_is_none_and_cannot_be_cancelled(exchange: Upbit) -> None:
    assert exchange.order(symbol=BTC, client_id="NEVERSENT") is None
    with pytest.raises(ExchangeRejected) as refusal:
        exchange.cancel(symbol=BTC, client_id="NEVERSENT")
    assert refusal.value.code == "order_not_found"


def test_a_young_order_may_be_invisible_to_one_question_and_not_to_another(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set(LOOK_UP, Fault(lag_s=30))
    request = bid()

    exchange.place(request)

    assert exchange.order(symbol=BTC, client_id=request.client_id) is None
    assert len(exchange.open_orders(BTC)) == 1


def test_open_orders_come_page_by_page(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.deposit("main", "KRW", 100_000_000)
    for _number in range(103):
        fake.engine.place(_truth_bid())

    assert len({order.exchange_order_id for order in exchange.open_orders(BTC)}) == 103


def _truth_bid() -> NewOrder:
    return NewOrder(account="main", market=BTC, side=Side.BUY, kind=Kind.LIMIT, price=D(1_000_000), amount=D("0.01"))


def test_closed_orders_are_asked_for_week_by_week(fake: FakeUpbit, exchange: Upbit) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    fake.clock.set(start)
    for _day in range(20):
        exchange.place(sell("0.0001"))
        fake.clock.advance(86_400)

    told = exchange.closed_orders(symbol=BTC, start=start, end=fake.clock.now())

    assert [order.created_at for order in told] == [start + timedelta(days=day) for day in range(20)]
    windows = fake.server.requests("GET /v1/orders/closed")
    assert len(windows) == 3


def test_closed_orders_of_a_crowded_week_come_in_more_than_one_answer(
    fake: FakeUpbit, exchange: Upbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upbit, "CLOSED_PER_PAGE", 4)
    start = datetime(2026, 11, 1, tzinfo=UTC)
    fake.clock.set(start)
    for number in range(10):
        exchange.place(sell("0.0001"))
        fake.clock.advance(1 if number % 2 else 0)  # two in each second

    told = exchange.closed_orders(symbol=BTC, start=start, end=fake.clock.now() + timedelta(seconds=1))

    assert len({order.exchange_order_id for order in told}) == 10


def test_fills_are_those_of_the_truth_and_never_doubled(fake: FakeUpbit, exchange: Upbit) -> None:
    since = fake.clock.now()
    exchange.place(bid(price=100_002_000, amount="0.25"))
    exchange.place(sell("0.12"))

    told = exchange.fills(symbol=BTC, since=since)

    assert {fill.exchange_trade_id for fill in told} == {fill.trade_id for fill in fake.engine.fills}
    assert len(told) == len(fake.engine.fills)
    assert sum(fill.fee for fill in told) == sum(fill.fee for fill in fake.engine.fills)


# --- refusals, silence and nonsense (order path §2.4) ---
@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        (lambda: buy(100_000_000), "insufficient_funds_bid"),
        (lambda: sell("0.6"), "insufficient_funds_ask"),
        (lambda: buy(4_999), "under_min_total_bid"),
        (lambda: sell("0.00001"), "under_min_total_ask"),
        (lambda: bid(price=90_000_500), "invalid_price_bid"),
        (lambda: buy(symbol="KRW-NONE"), "notfoundmarket"),
        (lambda: sell("0.123456789"), "bad_lot"),
        (lambda: buy(client_id="blank space"), "bad_client_id"),
        (lambda: buy(quote_amount=None), "bad_size"),
    ],
)
def test_a_certain_refusal_is_told_with_its_code(exchange: Upbit, request_of: Callable[[], OrderRequest], code: str) -> None:
    with pytest.raises(ExchangeRejected) as refusal:
        exchange.place(request_of())

    assert refusal.value.code == code


SILENCES = {
    "hangs before the deed": (faults.hang(), 0),
    "hangs after the deed": (faults.hang(is_processed=True), 1),
    "drops before the deed": (faults.drop(), 0),
    "drops after the deed": (faults.accept_then_drop(), 1),
    "502 page before": (faults.html(502), 0),
    "502 page after": (faults.html(502, is_processed=True), 1),
    "500 in its own form": (faults.garbage('{"error":{"name":"internal_server_error","message":""}}', status=500), 0),
    "503": (faults.html(503, is_processed=True), 1),
    "200 page": (faults.html(200, is_processed=True), 1),
    "empty": (faults.garbage(b"", is_processed=True), 1),
    "null": (faults.garbage(b"null", is_processed=True), 1),
    "half": (Fault(truncate_to=30), 1),
    "drip": (Fault(drip_s=0.05), 1),
    "10 MB": (faults.garbage(b'"' + b"x" * 10_000_000 + b'"', is_processed=True), 1),
    "429": (faults.garbage("Too many API requests.", status=429), 0),
    "418": (faults.garbage("", status=418), 0),
    "nonce used": (faults.garbage('{"error":{"name":"nonce_used","message":""}}', status=401, is_processed=True), 1),
    "an error nobody listed": (faults.garbage('{"error":{"name":"new_word","message":""}}', status=400, is_processed=True), 1),
    "a refusal with a success's status": (faults.garbage('{"error":{"name":"validation_error"}}', status=200), 0),
    "a redirect": (Fault(status=302, headers={"Location": "/v1/elsewhere"}, is_processed=True), 1),
}


@pytest.mark.parametrize("name", SILENCES)
def test_a_create_without_a_clear_answer_is_unknown_and_never_repeated(fake: FakeUpbit, exchange: Upbit, name: str) -> None:
    fault, deeds = SILENCES[name]
    fake.server.faults.set(CREATE, fault)

    with pytest.raises(OutcomeUnknown):
        exchange.place(bid())

    assert len(fake.server.requests(CREATE)) == 1
    assert len(fake.engine.orders) == deeds


def test_an_order_accepted_in_silence_is_found_by_its_client_id(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set(CREATE, faults.accept_then_drop())
    request = bid()

    with pytest.raises(OutcomeUnknown):
        exchange.place(request)

    found = exchange.order(symbol=BTC, client_id=request.client_id)
    assert found is not None
    assert found.client_id == request.client_id


def test_a_second_use_of_a_client_id_is_unknown_not_refused(fake: FakeUpbit, exchange: Upbit) -> None:
    request = bid()
    exchange.place(request)

    with pytest.raises(OutcomeUnknown, match="duplicated_identifier"):
        exchange.place(request)

    assert len(fake.engine.orders) == 1


def test_a_client_id_stays_spent_after_a_refusal(exchange: Upbit) -> None:
    request = buy(4_999)
    with pytest.raises(ExchangeRejected):
        exchange.place(request)

    with pytest.raises(OutcomeUnknown, match="duplicated_identifier"):
        exchange.place(buy(10_000, client_id=request.client_id))


@pytest.mark.parametrize("field", ["identifier", "market", "side"])
def test_an_answer_about_another_order_is_unknown(fake: FakeUpbit, exchange: Upbit, field: str) -> None:
    request = bid()
    other = {"identifier": "ANOTHER", "market": "KRW-ETH", "side": "ask"}[field]
    body = {
        "uuid": "u",
        "side": "bid",
        "ord_type": "limit",
        "price": "1",
        "volume": "1",
        "state": "wait",
        "market": BTC,
        "created_at": "2026-11-20T21:42:22+09:00",
        "executed_volume": "0",
        "identifier": request.client_id,
        field: other,
    }
    fake.server.faults.set(CREATE, faults.garbage(json.dumps(body), status=201))

    with pytest.raises(OutcomeUnknown, match="another order"):
        exchange.place(request)


def test_nobody_at_the_address_means_nothing_was_sent(fake: FakeUpbit) -> None:
    exchange = connect(fake)
    fake.server.stop()

    with pytest.raises(ExchangeUnavailable, match="was not sent"):
        exchange.place(bid())


def test_a_closed_market_refuses_orders_and_a_closed_exchange_leaves_them_unknown(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.markets[BTC].is_open = False
    with pytest.raises(ExchangeRejected) as refusal:
        exchange.place(bid())
    assert refusal.value.code == "market_offline"

    fake.is_under_maintenance = True
    with pytest.raises(OutcomeUnknown):
        exchange.place(bid())
    with pytest.raises(ExchangeMaintenance):
        exchange.ticker(BTC)


@pytest.mark.parametrize("name", ["hangs before the deed", "drops before the deed", "502 page before", "empty", "null", "half", "10 MB"])
def test_a_read_without_a_clear_answer_is_unavailable(fake: FakeUpbit, exchange: Upbit, name: str) -> None:
    fake.server.faults.set("GET *", SILENCES[name][0])

    for ask in (lambda: exchange.ticker(BTC), exchange.balances, lambda: exchange.order(symbol=BTC, client_id="X")):
        with pytest.raises(ExchangeUnavailable):
            ask()


# --- keys ---
@pytest.mark.parametrize(
    ("key", "secret", "told"),
    [("wrong" * 8, SECRET, "invalid_access_key"), (ACCESS, "wrong" * 8, "jwt_verification")],
)
def test_a_wrong_key_stops_the_account(fake: FakeUpbit, key: str, secret: str, told: str) -> None:
    exchange = connect(fake, access_key=key, secret_key=secret)

    for act in (exchange.balances, exchange.key_rights, lambda: exchange.place(bid())):
        with pytest.raises(CredentialsRefused, match=told):
            act()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, "expired_access_key"),
        ({"allowed_ips": frozenset({"10.0.0.1"})}, "no_authorization_ip"),
        ({"scopes": frozenset({"assets", "orders_view"})}, "out_of_scope"),
    ],
)
def test_a_key_without_the_right_to_trade_is_refused_not_unknown(fake: FakeUpbit, limits: dict[str, object], told: str) -> None:
    fake.add_key(**limits)
    exchange = connect(fake)

    with pytest.raises(CredentialsRefused, match=told):
        exchange.place(bid())


def test_key_rights_tell_expiry_and_leave_unknown_what_upbit_does_not_tell(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.add_key(expires_at=datetime(2027, 6, 25, 2, 22, 54, tzinfo=UTC), scopes=frozenset({"assets"}))

    rights = exchange.key_rights()

    assert (rights.can_read, rights.can_trade, rights.can_withdraw, rights.is_ip_locked) == (True, False, None, None)
    assert rights.expires_at == datetime(2027, 6, 25, 2, 22, 54, tzinfo=UTC)
    assert fake.engine.orders == {}


def test_public_data_needs_no_key_and_the_rest_says_so(fake: FakeUpbit) -> None:
    exchange = upbit.connect(http=UpbitHttp(base_url=fake.url))

    assert exchange.order_book(BTC).bids[0].price == D(99_999_000)
    with pytest.raises(CredentialsRefused, match="has no key"):
        exchange.balances()


def test_no_secret_is_shown_by_any_error_or_repr(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set(CREATE, faults.html(502))
    with pytest.raises(OutcomeUnknown) as unknown:
        exchange.place(bid())

    assert SECRET not in repr(unknown.value) + repr(exchange) + str(exchange.signer)


# --- limits ---
@pytest.mark.parametrize("body", ["text", "json"])
def test_too_many_reads_are_told_with_the_pause_and_then_become_a_ban(fake: FakeUpbit, exchange: Upbit, body: str) -> None:
    fake.has_limits, fake.limit_body = True, body
    fake.clock.set(fake.clock.now())
    pauses = []
    for _number in range(25):
        try:
            exchange.ticker(BTC)
        except RateLimited as limited:
            pauses.append(limited.retry_after_s)

    assert pauses[:2] == [1.0, 1.0]
    assert fake.bans["127.0.0.1"].count == 1


def test_the_header_feeds_the_budget(fake: FakeUpbit) -> None:
    budget = LocalBudget(UPBIT_LIMITS, share=1.0)
    exchange = connect(fake)
    exchange.http.budget = budget
    fake.has_limits = True

    exchange.place(bid())

    assert len(fake.server.requests(CREATE)) == 1
    fake.server.faults.set("GET /v1/accounts", faults.garbage("", status=418))
    with pytest.raises(RateLimited):
        exchange.balances()
    with pytest.raises(RateLimited, match="nothing was sent"):
        exchange.ticker(BTC)


# --- public data ---
def test_markets_follow_the_tick_that_upbit_tells(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.open_market("KRW-ETH", price=4_000_000)
    fake.engine.markets["KRW-ETH"].tick = lambda _price: D(2000)

    markets = {rules.symbol: rules for rules in exchange.markets()}

    assert markets[BTC].tick(D(100_000_000)) == 1000
    assert markets["KRW-ETH"].tick(D(4_000_000)) == 2000
    assert exchange.trading_rules("KRW-ETH", at=datetime(2026, 1, 1, tzinfo=UTC)).tick(D(4_000_000)) == 1000
    with pytest.raises(BadInput):
        exchange.trading_rules("BTC-ETH", at=fake.clock.now())


def test_warnings_about_a_market_are_told_with_its_rules(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.open_market("KRW-XRP", price=3_000, info={"cautions": ("WARNING", "PRICE_FLUCTUATIONS")})

    exchange.markets()

    assert exchange.trading_rules("KRW-XRP", at=fake.clock.now()).cautions == ("WARNING", "PRICE_FLUCTUATIONS")
    assert exchange.trading_rules(BTC, at=fake.clock.now()).cautions == ()


def test_stops_do_not_live_here(exchange: Upbit) -> None:
    with pytest.raises(ExchangeRejected) as refusal:
        exchange.place_stop(StopRequest(client_id="S", symbol=BTC, side=Side.SELL, trigger_price=D(1)))
    exchange.cancel_stop(symbol=BTC, exchange_stop_id="none")

    assert (refusal.value.code, exchange.capabilities.resident_stops) == ("no_stops", False)


@pytest.mark.parametrize(("status", "told"), [(418, None), (429, None), (500, None), (400, True)])
def test_the_right_to_trade_is_unknown_when_the_probe_was_not_looked_at(
    fake: FakeUpbit, exchange: Upbit, status: int, told: bool | None
) -> None:
    body = '{"error":{"name":"insufficient_funds_bid","message":"Blocked for 5 seconds."}}'
    fake.server.faults.set("POST /v1/orders/test", faults.garbage(body, status=status))

    assert exchange.key_rights().can_trade is told


def test_candles_are_closed_paged_and_sparse() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    made = [_candle(first + timedelta(minutes=number)) for number in range(700) if number % 7]
    clock = FakeClock(first + timedelta(minutes=699, seconds=30))
    with FakeUpbit(clock=clock, candles=_serve(made), has_limits=False) as fake:
        fake.open_market(BTC)
        exchange = connect(fake)

        told = exchange.candles(BTC, Interval.MINUTE_1, start=first, end=first + timedelta(days=1))

        assert told == [candle for candle in made if candle.opened_at < first + timedelta(minutes=699)]
        assert len(fake.server.requests("GET /v1/candles/minutes/1")) == 4


def test_a_market_nobody_trades_has_no_candles_and_no_endless_pages(fake: FakeUpbit, exchange: Upbit) -> None:
    assert exchange.candles(BTC, Interval.HOUR_1, start=fake.clock.now() - timedelta(days=3), end=fake.clock.now()) == []
    with pytest.raises(BadInput):
        exchange.candles(BTC, Interval.SECOND_5, start=fake.clock.now(), end=fake.clock.now())


def test_market_trades_come_in_pages_over_midnight_without_a_double(fake: FakeUpbit, exchange: Upbit) -> None:
    start = datetime(2026, 11, 20, 23, 58, tzinfo=UTC)
    fake.clock.set(start)
    for _number in range(1300):
        fake.engine.stranger_trades(BTC, price=100_000_000, amount="0.0001", taker_side=Side.BUY)
        fake.clock.advance(0.2)

    told = exchange.market_trades(BTC, since=start + timedelta(seconds=10))

    expected = [printed for printed in fake.engine.prints[BTC] if printed.executed_at >= start + timedelta(seconds=10)]
    assert [trade.sequence for trade in told] == [printed.sequence for printed in expected]
    with pytest.raises(ExchangeUnavailable, match="7 days"):
        exchange.market_trades(BTC, since=start - timedelta(days=9))


def test_ticker_book_fees_balances_and_time_are_told(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.strangers_trade(BTC, count=3)
    book, ticker = exchange.order_book(BTC), exchange.ticker(BTC)

    assert (book.bids[0].price, book.asks[0].price, len(book.asks)) == (D(99_999_000), D(100_001_000), 15)
    assert ticker.price == fake.engine.last_price(BTC)
    assert exchange.fees(BTC).taker_rate == D("0.0005")
    assert {one.asset: one.free for one in exchange.balances()} == {"KRW": D(50_000_000), "BTC": D("0.5")}
    assert abs(exchange.server_time() - fake.clock.now()) < timedelta(seconds=3)
    assert (exchange.positions(), exchange.stops(BTC), exchange.prepare(BTC, leverage=D(1))) == ([], [], None)


def test_a_side_padded_with_zero_prices_has_fewer_levels(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.set_book(BTC, ScriptedBook(bids=[(99_000_000, 1), (98_000_000, 1)], asks=[(100_000_000, 1)]))

    book = exchange.order_book(BTC)

    assert (len(book.bids), len(book.asks)) == (2, 1)


def _candle(opened_at: datetime) -> Candle:
    return Candle(opened_at=opened_at, open=D(100), high=D(110), low=D(90), close=D(105), volume=D("1.5"))


def _serve(candles: list[Candle]) -> Callable[[str, Interval, datetime, datetime], list[Candle]]:
    return lambda _symbol, _interval, start, end: [candle for candle in candles if start <= candle.opened_at < end]
