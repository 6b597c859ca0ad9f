"""Real answers of Upbit through the adapter, and the fake measured against them.

Needs the recorded files, which are not shipped: DGBOT_TEST_DATA, or ../shared/data beside the checkout.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dgbot.core.clock import SteppedClock
from dgbot.core.interval import Interval
from dgbot.core.types import OrderRequest, OrderType, Side, VenueOrderStatus
from tests.fakes.core.books import ScriptedBook
from tests.fakes.core.server import FakeServer, Request
from tests.fakes.upbit import recorded
from tests.fakes.upbit.recorded import RecordedUpbit, shape
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading.exchanges import upbit, upbit_answers, upbit_errors
from trading.exchanges.feed import Heard
from trading.exchanges.feed_events import FeedRefused, MarketEvent
from trading.exchanges.strict_json import Unreadable
from trading.exchanges.upbit import Upbit
from trading.exchanges.upbit_feed import UpbitPrivateFeed, UpbitPublicFeed
from trading.exchanges.upbit_http import UpbitHttp

D = Decimal
BTC = "KRW-BTC"
DATA = Path(os.environ.get("DGBOT_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "api_samples" / "upbit"
AT = datetime(2026, 3, 22, 12, 47, 10, tzinfo=UTC)
pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"NOT RUN: the recorded answers are not here; set DGBOT_TEST_DATA ({DATA.name})"),
]


@pytest.fixture
def told() -> dict[str, list[dict[str, Any]]]:
    return recorded.load(DATA / "rest")


@pytest.fixture
def exchange(told: dict[str, list[dict[str, Any]]]) -> Iterator[Upbit]:
    with FakeServer(RecordedUpbit(told)) as server:
        made = upbit.connect(http=UpbitHttp(base_url=server.url), access_key=ACCESS, secret_key=SECRET)
        made.clock = SteppedClock(AT)
        yield made


def test_recorded_public_answers_become_values(exchange: Upbit) -> None:
    assert exchange.ticker(BTC).price == D(103_493_000)
    assert len(exchange.order_book(BTC).bids) == 30
    exchange.clock = SteppedClock(datetime(2026, 3, 11, 14, 41, tzinfo=UTC))
    (trade,) = exchange.market_trades(BTC, since=exchange.clock.now() - timedelta(minutes=5))
    assert trade.sequence == 17732400590950000


def test_recorded_candles_are_on_their_grid(told: dict[str, list[dict[str, Any]]]) -> None:
    intervals = {"minutes/1": Interval.MINUTE_1, "minutes/60": Interval.HOUR_1, "days": Interval.DAY_1, "seconds": Interval.SECOND_1}
    read = 0
    for path, interval in intervals.items():
        for interaction in told.get(f"GET /v1/candles/{path}", ()):
            body = upbit_answers.read.loads(json.dumps(interaction["response"]["body"]))
            for row in upbit_answers.rows(body, name="candles"):
                assert upbit_answers.candle(row, symbol=BTC, interval=interval).volume > 0
                read += 1
    assert read >= 3


def test_recorded_accounts_and_fees_are_read(exchange: Upbit) -> None:
    (money,) = exchange.balances()

    assert (money.asset, money.free) == ("KRW", D("50000.47088291"))
    assert exchange.fees(BTC).taker_rate == D("0.0005")


def test_every_recorded_order_is_read(told: dict[str, list[dict[str, Any]]]) -> None:
    bodies = [interaction["response"]["body"] for recordings in told.values() for interaction in recordings]
    rows = [row for body in bodies for row in (body if isinstance(body, list) else [body]) if "ord_type" in row]

    orders = [upbit_answers.order(upbit_answers.read.loads(json.dumps(row))) for row in rows]

    assert len(orders) >= 10
    assert {order.status for order in orders} >= {VenueOrderStatus.OPEN, VenueOrderStatus.FILLED, VenueOrderStatus.CANCELLED}


def test_the_recorded_market_buy_that_ended_as_cancel_was_filled(told: dict[str, list[dict[str, Any]]]) -> None:
    (body,) = [one["response"]["body"] for one in told["GET /v1/order"] if one["response"]["body"]["ord_type"] == "price"]

    order = upbit_answers.order(upbit_answers.read.loads(json.dumps(body)))

    assert (body["state"], order.status, order.fills[0].fee) == ("cancel", VenueOrderStatus.FILLED, D("4.999523925"))


def test_documented_errors_all_have_a_class() -> None:
    for error in json.loads((DATA / "rest" / "errors_documented.json").read_text())["errors"]:
        refusal = upbit_errors.refusal_of(error["status"], json.dumps(error["body"]).encode())
        upbit_errors.of_read(refusal, what="a question")
        upbit_errors.of_write(refusal, what="an order")


def test_the_fake_answers_in_the_recorded_form(told: dict[str, list[dict[str, Any]]]) -> None:
    """Same keys, same JSON types. What Upbit has added since (smp_type) may come on top."""
    with FakeUpbit(has_limits=False) as fake:
        fake.open_market(BTC, book=ScriptedBook(bids=[(102_902_000, 1)], asks=[(102_945_000, 1)]))
        fake.add_key()
        fake.engine.deposit("main", "KRW", 1_000_000)
        fake.strangers_trade(BTC, count=2)
        ours = _answers_of(fake)

    for endpoint, kind in [
        ("GET /v1/accounts", None),
        ("GET /v1/orders/chance", None),
        ("GET /v1/ticker", None),
        ("GET /v1/orderbook", None),
        ("GET /v1/orderbook/instruments", None),
        ("GET /v1/trades/ticks", None),
        ("GET /v1/candles/minutes/1", None),
        ("POST /v1/orders", "price"),
        ("GET /v1/order", "price"),
        ("POST /v1/orders", "limit"),
        ("GET /v1/orders/closed", "limit"),
    ]:
        theirs = next(body for one in told[endpoint] if (body := _only(kind, one["response"]["body"])))
        mine = next(body for answered in ours[endpoint] if (body := _only(kind, answered)))
        assert _missing(shape(theirs), shape(mine)) == [], endpoint


def test_the_fake_counts_money_as_the_recorded_market_buy_did(told: dict[str, list[dict[str, Any]]]) -> None:
    (theirs,) = [one["response"]["body"] for one in told["GET /v1/order"] if one["response"]["body"]["ord_type"] == "price"]
    with FakeUpbit(has_limits=False) as fake:
        fake.open_market(BTC, book=ScriptedBook(bids=[(102_902_000, 1)], asks=[(102_945_000, 1)]))
        fake.add_key()
        fake.engine.deposit("main", "KRW", 1_000_000)
        ours = next(body for body in _answers_of(fake)["GET /v1/order"] if _only("price", body))

    for name in ("executed_volume", "paid_fee", "remaining_fee", "reserved_fee", "locked", "state", "price"):
        assert ours[name] == theirs[name], name


def _answers_of(fake: FakeUpbit) -> dict[str, list[Any]]:
    """What the fake answers to one walk through the adapter."""
    bodies: dict[str, list[Any]] = {}
    original = fake.server._handle

    def listen(request: Request) -> Any:
        answer = original(request)
        bodies.setdefault(request.endpoint, []).append(json.loads(answer.payload))
        return answer

    fake.server._handle = listen
    exchange = upbit.connect(http=UpbitHttp(base_url=fake.url), access_key=ACCESS, secret_key=SECRET)
    exchange.clock = fake.clock
    exchange.markets()
    exchange.ticker(BTC)
    exchange.order_book(BTC)
    exchange.market_trades(BTC, since=fake.clock.now() - timedelta(minutes=1))
    fake.clock.advance(60)
    exchange.candles(BTC, Interval.MINUTE_1, start=fake.clock.now() - timedelta(hours=1), end=fake.clock.now())
    exchange.balances()
    exchange.fees(BTC)
    market = OrderRequest(client_id="A", symbol=BTC, side=Side.BUY, order_type=OrderType.MARKET, quote_amount=D(10_000))
    limit = OrderRequest(client_id="B", symbol=BTC, side=Side.BUY, order_type=OrderType.LIMIT, amount=D("0.0005"), price=D(10_000_000))
    for request in (market, limit):
        placed = exchange.place(request)
        exchange.order(symbol=BTC, exchange_order_id=placed.exchange_order_id)
    exchange.cancel(symbol=BTC, client_id="B")
    exchange.closed_orders(symbol=BTC, start=fake.clock.now() - timedelta(hours=1), end=fake.clock.now() + timedelta(minutes=1))
    return bodies


def _only(kind: str | None, body: Any) -> Any:
    """The body, or what of it is an order of this type."""
    if kind is None:
        return body
    if isinstance(body, list):
        return [row for row in body if row["ord_type"] == kind]
    return body if body.get("ord_type") == kind else None


def _missing(theirs: Any, mine: Any, path: str = "") -> list[str]:
    """Where ours lacks a key or has another type."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return [one for name in theirs for one in _missing(theirs[name], mine.get(name), f"{path}.{name}")]
    if isinstance(theirs, list) and isinstance(mine, list):
        return [one for left, right in zip(theirs, mine, strict=False) for one in _missing(left, right, f"{path}[]")]
    return [] if theirs == mine else [f"{path}: {theirs} there, {mine} here"]


def test_recorded_frames_are_heard() -> None:
    public = UpbitPublicFeed()
    heard = [_hear(public, frame) for frame in recorded.frames(sorted((DATA / "ws").glob("*.jsonl")))]

    events = [event for one in heard for event in one.events]
    assert sum(not isinstance(event, FeedRefused) for event in events) >= 300 + 4
    assert {event.reason.partition(":")[0] for event in events if isinstance(event, FeedRefused)} == {
        "NO_TICKET",
        "INVALID_PARAM",
        "WRONG_FORMAT",
    }


def _hear(feed: UpbitPublicFeed, frame: str) -> Heard:
    try:
        return feed.hear(frame)
    except Unreadable:
        (event,) = _account_events(frame) if "myAsset" in frame else (None,)
        assert event is not None or "candle" in frame, frame
        return Heard()


def _account_events(frame: str) -> tuple[MarketEvent | FeedRefused, ...]:
    return UpbitPrivateFeed(signer=None).hear(frame).events  # type: ignore[arg-type]
