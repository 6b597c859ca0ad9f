"""Whatever body comes back, the adapter answers with a sane value or one of our errors, in time and in bounded memory."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

import pytest

from dgbot.core.errors import ExchangeError, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown
from dgbot.core.interval import Interval
from dgbot.core.money import LARGEST
from dgbot.core.types import OrderRequest, OrderType, Side
from tests.fakes.core import faults
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from tests.scale import scale
from trading.exchanges import upbit
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.upbit import Upbit
from trading.exchanges.upbit_http import LARGEST_READ, UpbitHttp

D = Decimal
BTC = "KRW-BTC"
BODIES_PER_ENDPOINT = scale(sample=12, full=500)
TIMEOUT_S = 1.0
SLACK_S = 1.0  # for a busy machine


@dataclass(frozen=True)
class Target:
    """One endpoint and the call that meets it."""

    endpoint: str
    ask: Callable[[Upbit], object]
    is_write: bool = False
    is_of_one_market: bool = True


def _request(client_id: str = "FUZZ") -> OrderRequest:
    return OrderRequest(client_id=client_id, symbol=BTC, side=Side.BUY, order_type=OrderType.LIMIT, amount=D("0.001"), price=D(90_000_000))


def _hours_ago(exchange: Upbit, hours: int) -> datetime:
    return exchange.clock.now() - timedelta(hours=hours)


TARGETS = {
    "markets": Target("GET /v1/market/all", lambda it: it.markets(), is_of_one_market=False),
    "instruments": Target("GET /v1/orderbook/instruments", lambda it: it.markets(), is_of_one_market=False),
    "candles": Target(
        "GET /v1/candles/minutes/60", lambda it: it.candles(BTC, Interval.HOUR_1, start=_hours_ago(it, 30), end=it.clock.now())
    ),
    "trades": Target("GET /v1/trades/ticks", lambda it: it.market_trades(BTC, since=_hours_ago(it, 1))),
    "ticker": Target("GET /v1/ticker", lambda it: it.ticker(BTC)),
    "book": Target("GET /v1/orderbook", lambda it: it.order_book(BTC)),
    "balances": Target("GET /v1/accounts", lambda it: it.balances(), is_of_one_market=False),
    "fees": Target("GET /v1/orders/chance", lambda it: it.fees(BTC)),
    "order": Target("GET /v1/order", lambda it: it.order(symbol=BTC, client_id="KNOWN")),
    "open orders": Target("GET /v1/orders/open", lambda it: it.open_orders(BTC)),
    "closed orders": Target("GET /v1/orders/closed", lambda it: it.closed_orders(symbol=BTC, start=_hours_ago(it, 30), end=it.clock.now())),
    "key rights": Target("GET /v1/api_keys", lambda it: it.key_rights(), is_of_one_market=False),
    "place": Target("POST /v1/orders", lambda it: it.place(_request()), is_write=True),
    "cancel": Target("DELETE /v1/order", lambda it: it.cancel(symbol=BTC, client_id="KNOWN"), is_write=True),
}
TOKENS = [
    "NaN", "-Infinity", "1e999999", "-1e-999999", "9" * 5000, "-1", "0", "1e400", '"NaN"', '"1e999999"',
    '""', '"0x10"', '"１２"', '" 1"', '"1_0"', "null", "true", "[]", "{}", '"KRW-ETH"', '"\\u0000"',
    "1.0000000000000000000000000000000000000000001", '"2026-13-45T99:00:00"', "17", '"wait "',
]  # fmt: skip
WHOLE = [
    b"", b"null", b"[]", b"{}", b"[[]]", b"[null]", b"17", b'"text"', b"<html><body>502</body></html>", b"\xff\xfe",
    b"\x1f\x8b\x08\x00half", b"[" * 50_000,
    b'{"error":{"name":["x"],"message":{}}}', b'{"error":null}', b'{"error":{"name":"validation_error","message":"x"}}',
]  # fmt: skip
STATUSES = [200, 200, 200, 200, 201, 204, 206, 302, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpbit]:
    with FakeUpbit(has_limits=False) as running:
        running.open_market(BTC)
        running.add_key()
        running.engine.deposit("main", "KRW", 50_000_000)
        running.strangers_trade(BTC, count=20)
        upbit_of(running).place(_request("KNOWN"))
        upbit_of(running).place(
            OrderRequest(client_id="BOUGHT", symbol=BTC, side=Side.BUY, order_type=OrderType.MARKET, quote_amount=D(10_000))
        )
        yield running


def upbit_of(fake: FakeUpbit) -> Upbit:
    http = UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=TIMEOUT_S, total_timeout_s=TIMEOUT_S))
    made = upbit.connect(http=http, access_key=ACCESS, secret_key=SECRET)
    made.clock = fake.clock
    return made


def true_body(fake: FakeUpbit, target: Target) -> bytes:
    """What the fake would answer, to start from."""
    seen: list[bytes] = []
    original = fake.server._handle

    def listen(request):
        answer = original(request)
        if request.endpoint == target.endpoint:
            seen.append(answer.payload)
        return answer

    fake.server._handle = listen
    try:
        target.ask(upbit_of(fake))
    except ExchangeError:
        pass  # a second use of the same client id
    finally:
        fake.server._handle = original
    return seen[0]


def mutated(chance: random.Random, body: bytes) -> bytes:
    """A body that is nearly right, or not at all."""
    way = chance.randrange(8)
    if way == 0:
        return chance.choice(WHOLE)
    if way == 1:
        return body[: chance.randrange(len(body) + 1)]
    if way == 2:
        place = chance.randrange(len(body))
        return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
    if way == 3:
        return body.replace(b"KRW-BTC", b"KRW-ETH")
    text = body.decode()
    for _number in range(chance.randint(1, 3)):
        text = _with_other_value(chance, text)
    return text.encode()


def _with_other_value(chance: random.Random, text: str) -> str:
    """The JSON with one value swapped for a hostile one, one key gone, or one key doubled."""
    decoder = json.JSONDecoder()
    places = [place + 1 for place, character in enumerate(text) if character == ":" and text[place - 1] == '"']
    if not places:
        return text
    start = chance.choice(places)
    try:
        _value, end = decoder.raw_decode(text, start)
    except ValueError:
        return text
    return text[:start] + chance.choice(TOKENS) + text[end:]


def assert_sane(value: object) -> None:
    """Every number inside a value is finite and money-sized; times are aware."""
    if isinstance(value, Decimal):
        assert value.is_finite()
        assert abs(value) < LARGEST
        assert len(f"{value:f}") < 120
    elif isinstance(value, datetime):
        assert value.tzinfo is not None
    elif is_dataclass(value):
        for field in fields(value):
            if field.name != "raw":
                assert_sane(getattr(value, field.name))
    elif isinstance(value, list | tuple) and not isinstance(value, Enum):
        for one in value:
            assert_sane(one)


@pytest.mark.parametrize("name", TARGETS)
def test_any_body_gives_a_sane_value_or_one_of_our_errors(fake: FakeUpbit, name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(f"upbit {name}")
    true = true_body(fake, target)

    for number in range(BODIES_PER_ENDPOINT):
        body = b'["' + b"x" * 10_000_000 + b'"]' if number == 5 else mutated(chance, true)
        status = chance.choice(STATUSES)
        fake.server.faults.clear()
        fake.server.faults.set(target.endpoint, faults.garbage(body, status=status))
        started = time.monotonic()
        told: object = None
        try:
            told = target.ask(upbit_of(fake))
            assert_sane(told)
            assert 200 <= status < 300 or told is None or name in ("key rights", "cancel"), (status, body[:300])
            if target.is_of_one_market and 200 <= status < 300 and body == true.replace(b"KRW-BTC", b"KRW-ETH"):
                assert not told, f"data of another market was believed: {body[:200]!r}"
        except ExchangeRejected as refused:
            assert 400 <= status < 500, (status, refused, body[:300])
        except (OutcomeUnknown, ExchangeUnavailable) as error:
            assert not (target.is_write and isinstance(error, ExchangeUnavailable)), (status, error)
        except ExchangeError:
            pass
        finally:
            fake.server.faults.clear()
        assert time.monotonic() - started < 4 * TIMEOUT_S + SLACK_S


def test_an_endless_body_is_cut_at_the_limit() -> None:
    sent = [0]
    listener = socket.create_server(("127.0.0.1", 0))

    def pour() -> None:
        client, _address = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            block = b"10000\r\n" + b" " * 65536 + b"\r\n"
            try:
                while sent[0] < 100 * 2**20:
                    sent[0] += client.send(block)
            except OSError:
                pass

    pouring = threading.Thread(target=pour, daemon=True)
    pouring.start()
    http = UpbitHttp(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", http=BoundedHttp(total_timeout_s=5))

    with pytest.raises(ExchangeUnavailable, match="longer than"):
        upbit.connect(http=http).ticker(BTC)

    pouring.join(5)
    listener.close()
    assert sent[0] < LARGEST_READ + 16 * 2**20  # what the kernel's buffers hold comes on top
