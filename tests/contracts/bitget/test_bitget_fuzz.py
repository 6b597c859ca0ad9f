"""Any body at any endpoint: always one of our error classes (or a sane value), no hang, memory bounded."""

import json
import math
import random
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from dgbot.core.errors import DgbotError, ExchangeError, ExchangeRejected, OutcomeUnknown
from dgbot.core.interval import Interval
from dgbot.core.types import Side, StopRequest
from tests.contracts.bitget.stage import RAW, SYMBOL, an_order, connected
from tests.fakes.bitget import FakeBitget
from tests.fakes.core.faults import Fault
from tests.scale import scale
from trading.exchanges.bitget import BitgetExchange

BODIES_PER_ENDPOINT = scale(sample=12, full=500)
LARGE = 10 * 2**20
MIX = "/api/v2/mix"

CALLS: dict[str, Callable[[BitgetExchange, Any], object]] = {
    "GET /api/v2/public/time": lambda exchange, since: exchange.server_time(),
    f"GET {MIX}/market/contracts": lambda exchange, since: exchange.markets(),
    f"GET {MIX}/market/ticker": lambda exchange, since: exchange.ticker(SYMBOL),
    f"GET {MIX}/market/merge-depth": lambda exchange, since: exchange.order_book(SYMBOL),
    f"GET {MIX}/market/candles": lambda exchange, since: exchange.candles(SYMBOL, Interval.HOUR_1, start=since, end=exchange.server_now()),
    f"GET {MIX}/market/fills": lambda exchange, since: exchange.market_trades(SYMBOL, since=since),
    "GET /api/v2/spot/account/info": lambda exchange, since: exchange.key_rights(),
    "GET /api/v2/common/trade-rate": lambda exchange, since: exchange.fees(SYMBOL),
    f"GET {MIX}/account/accounts": lambda exchange, since: exchange.balances(),
    f"GET {MIX}/account/account": lambda exchange, since: exchange.prepare(SYMBOL, leverage=Decimal(5)),
    f"GET {MIX}/account/bill": lambda exchange, since: exchange.cash_flows(since=since),
    f"GET {MIX}/position/all-position": lambda exchange, since: exchange.positions(),
    f"POST {MIX}/account/set-leverage": lambda exchange, since: exchange.prepare(SYMBOL, leverage=Decimal(random.randint(1, 99))),
    f"POST {MIX}/order/place-order": lambda exchange, since: exchange.place(an_order("A1")),
    f"POST {MIX}/order/cancel-order": lambda exchange, since: exchange.cancel(symbol=SYMBOL, client_id="KNOWN"),
    f"GET {MIX}/order/detail": lambda exchange, since: exchange.order(symbol=SYMBOL, client_id="KNOWN"),
    f"GET {MIX}/order/orders-pending": lambda exchange, since: exchange.open_orders(SYMBOL),
    f"GET {MIX}/order/orders-history": lambda exchange, since: exchange.closed_orders(
        symbol=SYMBOL, start=since, end=exchange.server_now()
    ),
    f"GET {MIX}/order/fills": lambda exchange, since: exchange.fills(symbol=SYMBOL, since=since),
    f"POST {MIX}/order/place-tpsl-order": lambda exchange, since: exchange.place_stop(StopRequest("S9", SYMBOL, Side.SELL, Decimal(2900))),
    f"POST {MIX}/order/cancel-plan-order": lambda exchange, since: exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=_stop_id(exchange)),
    f"GET {MIX}/order/orders-plan-pending": lambda exchange, since: exchange.stops(SYMBOL),
}
WRITES = {endpoint for endpoint in CALLS if endpoint.startswith("POST")}
NASTY = [None, "", "NaN", "Infinity", "-1", "1e999999", "1" * 5000, "0x1", True, [], {}, [[]], -1, 10**30, 1.5, "BTCUSDT", "\x00", "١٢"]


def _stop_id(exchange: BitgetExchange) -> str:
    waiting = exchange.stops(SYMBOL)
    if not waiting:
        return exchange.place_stop(StopRequest(f"S{time.monotonic_ns()}", SYMBOL, Side.SELL, Decimal(2700))).exchange_stop_id
    return waiting[0].exchange_stop_id


def bodies(true: bytes, *, seed: int, count: int) -> list[Fault]:
    """Faults around a true answer: fixed horrors first, then mutations."""
    chance = random.Random(seed)
    fixed = [
        b"",
        b"<html><body>502</body></html>",
        b"null",
        b"[]",
        b'"00000"',
        true[: len(true) // 2],
        b"[" * 100_000,
        true.replace(b'"data":', b'"data":NaN,"x":'),
        true.replace(b'"data":', b'"data":1e999999,"x":'),
        b"\xff\xfe" + true,
        b'{"code":"00000","msg":"success","requestTime":1763713656000,"data":null}',
        true.replace(RAW.encode(), b"BTCUSDT"),
    ]
    faults = [Fault(status=chance.choice([200, 200, 400, 502]) if place > 8 else 200, body=body) for place, body in enumerate(fixed)]
    while len(faults) < count:
        faults.append(Fault(status=chance.choice([200, 200, 200, 400, 403, 429, 500, 503]), body=_mutated(true, chance)))
    chance.shuffle(faults)
    return faults[:count]


def _mutated(true: bytes, chance: random.Random) -> bytes:
    value = json.loads(true)
    for _times in range(chance.randint(1, 4)):
        _spoil(value, chance)
    text = json.dumps(value)
    if chance.random() < 0.1:
        text = text[: chance.randrange(len(text))]
    return text.encode(errors="replace")


def _spoil(value: Any, chance: random.Random) -> None:
    """Replace, drop or double one random leaf somewhere."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and chance.random() < 0.9:
            value = value[key]
            continue
        act = chance.random()
        if act < 0.2:
            del value[key]
        elif act < 0.3 and isinstance(value, list):
            value.append(value[key])
        else:
            value[key] = chance.choice(NASTY)
        return


@pytest.fixture(scope="module")
def stage():
    with FakeBitget() as fake:
        fake.open_market(RAW)
        account = fake.add_account(usdt=100_000)
        exchange = connected(fake, account, total_timeout_s=2.0)
        since = exchange.server_time()
        fake.strangers_trade(RAW, count=3)
        exchange.prepare(SYMBOL, leverage=Decimal(5))
        exchange.place(an_order("KNOWN"))
        exchange.place_stop(StopRequest("S1", SYMBOL, Side.SELL, Decimal(2800)))
        fake.desk.set_mark(RAW, 3000)
        fake.desk.fund(RAW, rate="0.0001")
        yield fake, exchange, since


@pytest.mark.timeout(600)
@pytest.mark.parametrize("endpoint", sorted(CALLS))
def test_any_body_becomes_one_of_our_errors(stage, endpoint):
    fake, exchange, since = stage
    call = CALLS[endpoint]
    true = _true_answer(fake, exchange, endpoint, since)

    for fault in bodies(true, seed=math.prod(endpoint.encode()) % 2**32, count=BODIES_PER_ENDPOINT):
        fake.server.faults.set(endpoint, fault)
        started = time.monotonic()
        try:
            call(exchange, since)
        except ExchangeError:
            pass
        except DgbotError as error:
            assert "has no contract" in str(error), f"{fault.body[:300]!r} gave {error!r}"
        finally:
            fake.server.faults.clear()
            exchange.client.forget_clock()
        assert time.monotonic() - started < 10, fault.body[:300]


@pytest.mark.parametrize("endpoint", sorted(WRITES - {f"POST {MIX}/account/set-leverage"}))
def test_a_write_with_a_body_nobody_can_read_is_unknown_never_refused(stage, endpoint):
    fake, exchange, since = stage
    for body in (b"", b"<html>", b"[" * 100_000, b'{"code":"00000"}', b'{"code":null,"data":{}}'):
        fake.server.faults.set(endpoint, Fault(status=200, body=body))
        with pytest.raises(OutcomeUnknown) as told:
            CALLS[endpoint](exchange, since)
        assert not isinstance(told.value, ExchangeRejected)
        fake.server.faults.clear()


@pytest.mark.parametrize("endpoint", [f"GET {MIX}/account/accounts", f"POST {MIX}/order/place-order"])
def test_ten_megabytes_are_not_read(stage, endpoint):
    fake, exchange, since = stage
    fake.server.faults.set(endpoint, Fault(status=200, body=b'{"code":"00000","data":"' + b"x" * LARGE + b'"}'))
    with pytest.raises(ExchangeError, match="bytes"):
        CALLS[endpoint](exchange, since)
    fake.server.faults.clear()


def test_a_flood_without_an_announced_length_is_cut_off():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from trading.exchanges.bounded_http import BoundedHttp, NoAnswer

    class Flood(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _chunk in range(1000):
                try:
                    self.wfile.write(b"x" * 65536)
                except OSError:
                    return

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Flood) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(NoAnswer, match="longer than"):
            BoundedHttp().send("GET", f"http://127.0.0.1:{server.server_port}/", headers={}, body=None, largest_answer=2**20)
        server.shutdown()


def test_headers_that_drip_end_at_the_time_out():
    import socket

    from trading.exchanges.bounded_http import BoundedHttp, NoAnswer

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000:
                    try:
                        connection.send(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(NoAnswer):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            BoundedHttp(total_timeout_s=0.5).send("GET", url, headers={}, body=None, largest_answer=2**20)
        assert time.monotonic() - started < 2


def _true_answer(fake: FakeBitget, exchange: BitgetExchange, endpoint: str, since: Any) -> bytes:
    """What the endpoint really answers, asked once without faults."""
    try:
        CALLS[endpoint](exchange, since)
    except ExchangeError:
        pass  # a used client id is an answer, too
    asked = fake.server.requests(endpoint)
    if not asked:
        return b'{"code":"00000","msg":"success","requestTime":1763713656000,"data":{"orderId":"1","clientOid":"A1","symbol":"ETHUSDT"}}'
    answer = fake.handle(asked[-1])
    if answer.status != 200:
        return b'{"code":"00000","msg":"success","requestTime":1763713656000,"data":{"orderId":"1","clientOid":"A1"}}'
    return answer.payload
