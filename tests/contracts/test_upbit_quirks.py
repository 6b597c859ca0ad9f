"""What surprises at Upbit and in pyupbit 0.2.34, each with the test that shows we are not surprised."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from subprocess import run
from threading import Thread
from urllib.parse import unquote

import jwt
import pytest
import pyupbit

from dgbot.core.errors import ExchangeUnavailable, OutcomeUnknown
from dgbot.core.types import OrderRequest, OrderType, Side, VenueOrderStatus
from tests.fakes.core import faults
from tests.fakes.core.faults import Fault
from tests.fakes.core.server import Request
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading.exchanges import upbit, upbit_answers, upbit_quotes, upbit_signing
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.upbit import Upbit
from trading.exchanges.upbit_http import UpbitHttp

D = Decimal
BTC = "KRW-BTC"
CREATE = "POST /v1/orders"
BUY = OrderRequest(client_id="QUIRK", symbol=BTC, side=Side.BUY, order_type=OrderType.MARKET, quote_amount=D(10_000))
REST = "rest/*.json"


@pytest.fixture
def fake() -> Iterator[FakeUpbit]:
    with FakeUpbit(has_limits=False) as running:
        running.open_market(BTC)
        running.add_key()
        running.engine.deposit("main", "KRW", 50_000_000)
        running.engine.deposit("main", "BTC", "1")
        yield running


@pytest.fixture
def exchange(fake: FakeUpbit) -> Upbit:
    http = UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=0.5, total_timeout_s=0.5))
    return upbit.connect(http=http, access_key=ACCESS, secret_key=SECRET)


def claims(request: Request) -> dict[str, str]:
    return jwt.decode(request.headers["Authorization"].removeprefix("Bearer "), SECRET, algorithms=["HS256"])


# --- pyupbit ---
def test_pyupbit_sends_get_parameters_as_a_body_we_as_a_query(fake: FakeUpbit, exchange: Upbit) -> None:
    exchange.order(symbol=BTC, client_id="X")

    (request,) = fake.server.requests("GET /v1/order")
    assert (request.raw_query, request.body) == ("identifier=X", b"")
    assert "Content-Type" not in request.headers


def test_pyupbit_sends_delete_parameters_as_a_body_we_as_a_query(fake: FakeUpbit, exchange: Upbit) -> None:
    placed = exchange.place(BUY)
    exchange.cancel(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    (request,) = fake.server.requests("DELETE /v1/order")
    assert (request.raw_query, request.body) == (f"uuid={placed.exchange_order_id}", b"")


def test_pyupbit_hashes_the_encoded_query_we_the_decoded_one(fake: FakeUpbit, exchange: Upbit) -> None:
    exchange.open_orders(BTC)

    (request,) = fake.server.requests("GET /v1/orders/open")
    assert "states%5B%5D=wait&states%5B%5D=watch" in request.raw_query
    assert claims(request)["query_hash"] == hashlib.sha512(unquote(request.raw_query).encode()).hexdigest()


def test_pyupbit_throws_a_success_away_without_remaining_req_we_keep_it(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.tells_remaining = False

    assert exchange.place(BUY).client_id == "QUIRK"


def test_pyupbit_waits_for_ever_we_until_the_time_out(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set("*", faults.hang())

    with pytest.raises(ExchangeUnavailable, match="in time"):
        exchange.balances()


def test_pyupbit_answers_none_to_every_failure_we_tell_them_apart(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set(CREATE, faults.accept_then_drop())

    with pytest.raises(OutcomeUnknown):
        exchange.place(BUY)


def test_pyupbit_has_no_client_id_we_send_one(fake: FakeUpbit, exchange: Upbit) -> None:
    exchange.place(BUY)

    (request,) = fake.server.requests(CREATE)
    assert json.loads(request.body)["identifier"] == "QUIRK"


def test_pyupbit_writes_1e_05_we_plain_digits(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.engine.set_book(BTC, fake.engine.books[BTC])
    fake.engine.markets[BTC].minimum_total = D(0)
    exchange.place(replace(BUY, side=Side.SELL, quote_amount=None, amount=D("1E-5")))

    (request,) = fake.server.requests(CREATE)
    assert json.loads(request.body)["volume"] == "0.00001"


def test_stock_functions_of_pyupbit_are_stopped_by_the_guard() -> None:
    with pytest.raises(RuntimeError, match="only be called through"):
        pyupbit.get_current_price(BTC)
    with pytest.raises(RuntimeError, match="only be called through"):
        pyupbit.Upbit(ACCESS, SECRET).get_balances()


def test_two_accounts_in_two_threads_never_sign_for_each_other(fake: FakeUpbit) -> None:
    keys = {f"key-{number}": ("s" * 39 + str(number)) for number in range(4)}
    for number, (access, secret) in enumerate(keys.items()):
        fake.add_key(access, secret, account=access)
        fake.engine.deposit(access, "KRW", 1_000 + number)
    wrong: list[object] = []

    def ask(access: str) -> None:
        exchange = upbit.connect(http=UpbitHttp(base_url=fake.url), access_key=access, secret_key=keys[access])
        for _turn in range(15):
            (money,) = exchange.balances()
            if money.free != 1_000 + list(keys).index(access):
                wrong.append((access, money))

    threads = [Thread(target=ask, args=[access]) for access in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pyupbit_brings_pandas_so_a_reader_of_prices_loads_neither() -> None:
    code = "import sys, trading.exchanges.upbit, trading.exchanges.upbit_feed; print(sorted({'pandas', 'pyupbit'} & set(sys.modules)))"

    told = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"


def test_pyupbit_is_imported_in_one_place_only() -> None:
    root = Path(upbit.__file__).parents[2]
    found = set()
    for path in [*root.glob("trading/**/*.py"), *root.glob("dgbot/**/*.py"), *root.glob("backtests/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            if isinstance(node, ast.Import | ast.ImportFrom) and any(name.split(".")[0] == "pyupbit" for name in names):
                found.add(path.name)
    assert found == {Path(upbit_signing.__file__).name}


# --- Upbit ---
def test_each_request_has_a_nonce_of_its_own(fake: FakeUpbit, exchange: Upbit) -> None:
    for _turn in range(5):
        exchange.balances()

    assert len({claims(request)["nonce"] for request in fake.server.requests("GET /v1/accounts")}) == 5


def test_the_hash_of_a_create_covers_the_body_in_its_order(fake: FakeUpbit, exchange: Upbit) -> None:
    exchange.place(BUY)

    (request,) = fake.server.requests(CREATE)
    text = "&".join(f"{name}={value}" for name, value in json.loads(request.body).items())
    assert claims(request)["query_hash"] == hashlib.sha512(text.encode()).hexdigest()
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_time_with_and_without_a_fraction_is_the_same_second() -> None:
    for text in ("2026-11-20T21:42:25+09:00", "2026-11-20T21:42:25.123456+09:00"):
        found = upbit_answers.read.moment({"created_at": text}, "created_at")
        assert found.replace(microsecond=0) == datetime(2026, 11, 20, 12, 42, 25, tzinfo=UTC)


def test_a_candle_time_without_a_zone_is_utc_and_not_korean(fake: FakeUpbit) -> None:
    found = upbit_answers.read.moment({"t": "2026-11-20T14:40:00"}, "t", zone=upbit_answers.UTC_TEXT)

    assert found == datetime(2026, 11, 20, 14, 40, tzinfo=UTC)


def test_a_cancelled_order_still_shows_its_old_lock_but_the_money_is_free(fake: FakeUpbit, exchange: Upbit) -> None:
    resting = replace(BUY, order_type=OrderType.LIMIT, quote_amount=None, amount=D("0.001"), price=D(90_000_000))
    placed = exchange.place(resting)
    exchange.cancel(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    found = exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)

    assert found is not None
    assert D(str(found.raw["locked"])) > 0
    assert {one.asset: one.locked for one in exchange.balances()}["KRW"] == 0


def test_an_order_without_an_identifier_is_told_but_is_not_ours() -> None:
    row = {
        "uuid": "u", "side": "ask", "ord_type": "market", "state": "done", "market": BTC, "created_at": "2023-01-01T00:00:00+09:00",
        "volume": "0.1", "executed_volume": "0.1", "paid_fee": "0",
    }  # fmt: skip

    assert upbit_answers.order(row).client_id is None


def test_fees_are_told_for_the_whole_order_and_shared_by_money() -> None:
    trades = [
        {"market": BTC, "uuid": f"t{number}", "price": price, "volume": "0.1", "created_at": "2026-01-01T00:00:00+09:00", "side": "bid"}
        for number, price in enumerate(("100000000", "300000000"))
    ]
    row = {
        "uuid": "u", "side": "bid", "ord_type": "limit", "price": "300000000", "state": "done", "market": BTC,
        "created_at": "2026-01-01T00:00:00+09:00", "volume": "0.2", "executed_volume": "0.2", "paid_fee": "20000", "trades": trades,
    }  # fmt: skip

    assert [fill.fee for fill in upbit_answers.order(row).fills] == [D(5000), D(15000)]
    # While an execution is missing from the list, its neighbours' fees would be wrong for ever: none is told yet.
    assert upbit_answers.order({**row, "trades": trades[:1]}).fills == ()


def test_watch_is_an_open_order_and_an_unknown_state_is_no_answer() -> None:
    row = {
        "uuid": "u", "side": "bid", "ord_type": "limit", "price": "1", "state": "watch", "market": BTC,
        "created_at": "2026-01-01T00:00:00+09:00", "volume": "1", "executed_volume": "0",
    }  # fmt: skip

    assert upbit_answers.order(row).status is VenueOrderStatus.OPEN
    with pytest.raises(upbit_answers.Unreadable, match="does not document"):
        upbit_answers.order({**row, "state": "trade"})


@pytest.mark.parametrize("header", ["", "group=candles; min=600; sec=x", "nonsense", "group=Order; sec=7", "sec=99999999999"])
def test_any_remaining_req_is_survived(fake: FakeUpbit, exchange: Upbit, header: str) -> None:
    body = json.dumps([{"currency": "KRW", "balance": "1", "locked": "0"}])
    fake.server.faults.set("GET /v1/accounts", Fault(status=200, body=body, headers={"Remaining-Req": header}))

    assert len(exchange.balances()) == 1


def test_upbit_has_no_clock_so_the_date_header_tells_the_second(fake: FakeUpbit, exchange: Upbit) -> None:
    fake.server.faults.set("GET /v1/orderbook", Fault(status=200, body="[]", headers={"Date": "Sun, 22 Mar 2026 12:43:17 GMT"}))

    assert exchange.server_time() == datetime(2026, 3, 22, 12, 43, 17, tzinfo=UTC)


def test_the_table_of_ticks_yields_to_what_upbit_tells_for_the_band_of_today() -> None:
    bands = ((D(1000), D(5)), (D(0), D(1)))

    assert upbit_quotes._with_tick(bands, price=D(1200), tick=D("0.5")) == ((D(1000), D("0.5")), (D(0), D(1)))
