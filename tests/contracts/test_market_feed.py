"""One feed for a whole process, against both fakes: every follower sees every trade, bars close on what was told and never on silence."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import Quotes
from dgbot.core.types import Candle, MarketTrade
from tests.contracts.bitget.stage import connected
from tests.fakes.bitget import FakeBitget
from tests.fakes.core import faults
from tests.fakes.core.books import ladder
from tests.fakes.upbit.server import FakeUpbit
from trading.domain.bars import BarBuilder
from trading.exchanges import adapters
from trading.exchanges.feed import FeedTimes
from trading.exchanges.feed_events import Channel
from trading.exchanges.live_quotes import LiveQuotes
from trading.exchanges.market_feed import FeedTrades, MarketFeed
from trading.exchanges.streams import TradesLost
from trading.exchanges.upbit_http import UpbitHttp
from trading.exchanges.upbit_quotes import UpbitQuotes

pytestmark = pytest.mark.contracts

D = Decimal
MARGIN = timedelta(milliseconds=100)
TIMES = FeedTimes(
    probe_after_s=0.2,
    stale_after_s=0.6,
    open_timeout_s=1,
    first_pause_s=0.02,
    longest_pause_s=0.1,
    refused_pause_s=0.05,
    gather_s=0.02,
    read_again_after_s=0.15,
)
PATIENT_S = 10.0


@dataclass
class Stage:
    """A fake with two markets and the feed of it."""

    fake: Any
    quotes: Quotes
    feed: MarketFeed
    symbols: tuple[str, str]
    raws: tuple[str, str]
    socket: str  # the endpoint of the upgrade
    lists: str  # the endpoint of executions

    def trade(self, *, count: int = 1, seed: int = 1, market: int = 0) -> None:
        self.fake.strangers_trade(self.raws[market], count=count, seed=seed)

    def truth(self, market: int = 0) -> list[int]:
        return [printed.sequence for printed in self.fake.engine.prints[self.raws[market]]]

    def away(self) -> None:
        """The exchange hangs up and answers nobody for a moment."""
        self.fake.server.faults.set(self.socket, faults.drop(), times=3)
        self.fake.server.cut_sockets()


def upbit() -> tuple[Any, Callable[[], Quotes], tuple[str, ...]]:
    fake = FakeUpbit(has_limits=False)
    fake.open_market("KRW-BTC")
    fake.open_market("KRW-ETH", price=4_000_000)
    endpoints = ("GET /websocket/v1", "GET /v1/trades/ticks")
    return (
        fake,
        lambda: UpbitQuotes(http=UpbitHttp(base_url=fake.url), clock=fake.clock),
        ("KRW-BTC", "KRW-ETH", "KRW-BTC", "KRW-ETH", *endpoints),
    )


def bitget() -> tuple[Any, Callable[[], Quotes], tuple[str, ...]]:
    fake = FakeBitget()
    fake.open_market("ETHUSDT")
    fake.open_market("BTCUSDT", price=70_000)
    account = fake.add_account()
    endpoints = ("GET /v2/ws/public", "GET /api/v2/mix/market/*")
    return fake, lambda: connected(fake, account), ("ETH/USDT:USDT", "BTC/USDT:USDT", "ETHUSDT", "BTCUSDT", *endpoints)


@pytest.fixture(params=[upbit, bitget], ids=["upbit", "bitget"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    fake, quotes_of, (one, other, raw, other_raw, socket, lists) = request.param()
    with fake:
        quotes = quotes_of()
        dialect = adapters.public_feed(request.param.__name__, base_url=fake.websocket_url)
        feed = MarketFeed(request.param.__name__, dialect, quotes=quotes, times=TIMES, margin=MARGIN)
        yield Stage(fake, quotes, feed, symbols=(one, other), raws=(raw, other_raw), socket=socket, lists=lists)
        feed.close()


def now() -> datetime:
    """In whole milliseconds, as exchanges stamp."""
    told = datetime.now(tz=UTC)
    return told.replace(microsecond=told.microsecond // 1000 * 1000)


def wait(until: Callable[[], object], *, at_most_s: float = PATIENT_S) -> None:
    deadline = time.monotonic() + at_most_s
    while not until():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


def polled(stream: FeedTrades, heard: list[MarketTrade]) -> datetime:
    """Take in what is new; a stream that is stale tells nothing."""
    try:
        told = stream.poll()
    except ExchangeUnavailable:
        return stream.until
    heard += told.trades
    return told.until


def all_of(stream: FeedTrades, stage: Stage, *, market: int = 0, heard: list[MarketTrade] | None = None) -> list[MarketTrade]:
    """Everything told until each true trade has been, and a little longer for those told twice."""
    heard = [] if heard is None else heard
    last = stage.fake.engine.prints[stage.raws[market]][-1].executed_at
    wait(lambda: polled(stream, heard) > last)
    time.sleep(0.3)
    polled(stream, heard)
    return heard


def test_every_follower_is_told_every_trade_over_one_connection(stage: Stage) -> None:
    start = now()
    streams = [stage.feed.trades(stage.symbols[0], since=start) for _number in range(5)]
    stage.feed.trades(stage.symbols[1], since=start)
    stage.trade(count=20)
    stage.trade(count=5, market=1)

    heard = [all_of(stream, stage) for stream in streams]

    assert all([trade.sequence for trade in one] == stage.truth() for one in heard)
    assert stage.fake.server.socket_count == 1


def test_what_was_traded_before_the_feed_was_up_is_told_too(stage: Stage) -> None:
    start = now()
    stage.trade(count=30)
    stream = stage.feed.trades(stage.symbols[0], since=start)
    stage.trade(count=3, seed=2)

    assert [trade.sequence for trade in all_of(stream, stage)] == stage.truth()


def test_one_who_comes_later_may_want_to_know_of_earlier(stage: Stage) -> None:
    start = now()
    stage.trade(count=7)
    first = stage.feed.trades(stage.symbols[0], since=now())
    wait(lambda: first.poll().until > start + timedelta(seconds=0.5))
    second = stage.feed.trades(stage.symbols[0], since=start)
    stage.trade(count=2, seed=2)

    assert [trade.sequence for trade in all_of(second, stage)] == stage.truth()
    assert [trade.sequence for trade in all_of(first, stage)] == stage.truth()[7:]


@pytest.mark.parametrize("is_rest_away", [False, True])
def test_after_cuts_no_trade_is_missing_none_comes_twice_and_all_come_in_order(stage: Stage, is_rest_away: bool) -> None:
    stream, heard = stage.feed.trades(stage.symbols[0], since=now()), []
    for seed in range(25):
        stage.trade(count=3, seed=seed)
        if seed % 8 == 4:
            stage.away()
            if is_rest_away:
                stage.fake.server.faults.set(stage.lists, faults.html(502), times=2)
        polled(stream, heard)
        time.sleep(0.02)

    all_of(stream, stage, heard=heard)

    assert [trade.sequence for trade in heard] == stage.truth()


def test_bars_of_a_feed_that_is_cut_equal_those_of_the_truth(stage: Stage) -> None:
    start = Interval.SECOND_1.open_of(now())
    stream, builder, bars = stage.feed.trades(stage.symbols[0], since=start), BarBuilder(Interval.SECOND_1), []

    def build() -> datetime:
        heard: list[MarketTrade] = []
        until = polled(stream, heard)
        bars.extend(builder.add(heard) + builder.complete(until))
        return until

    for seed in range(40):
        stage.trade(count=2, seed=seed)
        if seed in (12, 26):
            stage.away()
        build()
        time.sleep(0.04)
    last = stage.fake.engine.prints[stage.raws[0]][-1].executed_at
    wait(lambda: build() > last + timedelta(seconds=1))

    assert builder.late == 0
    assert bars == recomputed(stage)


def recomputed(stage: Stage) -> list[Candle]:
    """Bars of a second, the slow and obvious way."""
    bars: dict[datetime, list[Any]] = {}
    for printed in stage.fake.engine.prints[stage.raws[0]]:
        at = printed.executed_at.replace(microsecond=printed.executed_at.microsecond // 1000 * 1000)
        bars.setdefault(Interval.SECOND_1.open_of(at), []).append(printed)
    return [
        Candle(
            opened,
            prints[0].price,
            max(one.price for one in prints),
            min(one.price for one in prints),
            prints[-1].price,
            sum((one.amount for one in prints), D(0)),
        )
        for opened, prints in bars.items()
    ]


def test_a_silent_market_goes_on_less_a_margin_and_never_ahead_of_the_exchange(stage: Stage) -> None:
    stream = stage.feed.trades(stage.symbols[0], since=now())
    seen = []
    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        seen.append((stream.poll().until, stage.fake.clock.now()))
        time.sleep(0.05)

    assert all(until <= at - MARGIN for until, at in seen if until != seen[0][0])
    assert seen[-1][0] > seen[0][0] + timedelta(seconds=0.5)


def test_a_stalled_feed_closes_nothing_and_says_why_within_its_limit(stage: Stage) -> None:
    stream = stage.feed.trades(stage.symbols[0], since=now())
    stage.trade()
    all_of(stream, stage)
    stage.fake.sockets.is_frozen = True
    frozen_at, began = stage.fake.clock.now(), time.monotonic()

    wait(lambda: stage.feed.why_stale(stage.symbols[0]))
    took_s = time.monotonic() - began
    with pytest.raises(ExchangeUnavailable, match="has said nothing for"):
        stream.poll()
    assert stream.until <= frozen_at
    assert took_s <= TIMES.stale_after_s + 0.5  # the usual limit is eight seconds; see FeedTimes

    stage.trade(count=4, seed=3)
    stage.fake.sockets.is_frozen = False
    assert [trade.sequence for trade in all_of(stream, stage)] == stage.truth()[1:]
    assert stage.feed.why_stale(stage.symbols[0]) == ""


def test_a_symbol_the_exchange_does_not_tell_of_is_stale_while_others_are_not(stage: Stage) -> None:
    unknown = "KRW-NOPE" if stage.symbols[0].startswith("KRW") else "NOPE/USDT:USDT"
    good = stage.feed.trades(stage.symbols[0], since=now())
    nothing = stage.feed.trades(unknown, since=now())

    wait(lambda: stage.feed.why_stale(unknown))

    with pytest.raises(ExchangeUnavailable, match="NOPE"):
        nothing.poll()
    stage.trade()
    assert len(all_of(good, stage)) == 1


def test_trades_that_cannot_be_read_again_make_the_stream_useless(stage: Stage) -> None:
    stream = stage.feed.trades(stage.symbols[0], since=now())
    stage.trade()
    all_of(stream, stage)
    stage.fake.server.faults.set(stage.lists, faults.html(502))
    stage.away()

    def is_lost() -> bool:
        try:
            stream.poll()
        except TradesLost:
            return True
        except ExchangeUnavailable:
            return False
        return False

    wait(is_lost)
    stage.fake.server.faults.clear()
    fresh = stage.feed.trades(stage.symbols[0], since=now())
    stage.trade(seed=5)
    assert len(all_of(fresh, stage)) == 1


def test_prices_and_books_come_from_the_feed_and_cost_no_request(stage: Stage) -> None:
    quotes = LiveQuotes(stage.quotes, stage.feed)  # type: ignore[arg-type]
    symbol = stage.symbols[0]
    stage.feed.follow(symbol, Channel.BOOK)
    wait(lambda: stage.feed.ticker(symbol) and stage.feed.order_book(symbol))
    stage.trade()
    wait(lambda: stage.feed.ticker(symbol).price == stage.fake.engine.prints[stage.raws[0]][-1].price)
    asked = len(stage.fake.server.log)

    prices = {quotes.ticker(symbol).price for _number in range(200)}
    books = {quotes.order_book(symbol).asks[0].price for _number in range(200)}

    assert prices == {stage.fake.engine.prints[stage.raws[0]][-1].price}
    assert len(books) == 1
    assert len(stage.fake.server.log) - asked <= 1  # its own clock


def test_a_stale_feed_is_replaced_by_rest_and_one_answer_serves_many(stage: Stage) -> None:
    quotes = LiveQuotes(stage.quotes, stage.feed, good_for_s=60)  # type: ignore[arg-type]
    symbol = stage.symbols[0]
    stage.feed.follow(symbol, Channel.BOOK)
    wait(lambda: stage.feed.ticker(symbol))
    stage.fake.sockets.is_frozen = True
    stage.trade()
    wait(lambda: stage.feed.why_stale(symbol))
    before = len(stage.fake.server.log)

    threads = [threading.Thread(target=quotes.ticker, args=(symbol,)) for _number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert quotes.ticker(symbol).price == stage.fake.engine.prints[stage.raws[0]][-1].price
    assert sum(line.status == 200 and line.request.method == "GET" for line in stage.fake.server.log[before:]) <= 3


def test_a_book_is_the_newest_one_told(stage: Stage) -> None:
    quotes = LiveQuotes(stage.quotes, stage.feed)  # type: ignore[arg-type]
    symbol = stage.symbols[0]
    stage.feed.follow(symbol, Channel.BOOK)
    wait(lambda: stage.feed.order_book(symbol))

    stage.fake.engine.set_book(stage.raws[0], ladder(5_000_000, step=1000, amount="1"))

    wait(lambda: quotes.order_book(symbol).asks[0].price == 5_001_000)
