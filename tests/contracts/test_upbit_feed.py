"""Feeds against the fake's websockets: cut, frozen, refused, spelled oddly – alive again, told in time, nothing lost or doubled."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from itertools import pairwise

import pytest

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.types import OrderRequest, OrderType, Side, VenueOrderStatus
from tests.fakes.core import faults
from tests.fakes.core.faults import Fault
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from tests.fakes.upbit.sockets import PRIVATE, PUBLIC
from trading.exchanges import upbit
from trading.exchanges.feed import Feed, FeedTimes, Subscription
from trading.exchanges.feed_events import (
    BalancesSeen,
    BookSeen,
    Channel,
    FeedAlive,
    FeedConnected,
    FeedEvent,
    FeedRefused,
    FeedStale,
    GapUnfilled,
    Missed,
    OrderSeen,
    TickerSeen,
    Topic,
    TradeSeen,
)
from trading.exchanges.upbit_feed import UpbitPrivateFeed, UpbitPublicFeed
from trading.exchanges.upbit_http import UpbitHttp
from trading.exchanges.upbit_quotes import UpbitQuotes
from trading.exchanges.upbit_signing import Signer

D = Decimal
BTC, ETH = "KRW-BTC", "KRW-ETH"
TRADES, TICKER, BOOK = Topic(Channel.TRADES, BTC), Topic(Channel.TICKER, BTC), Topic(Channel.BOOK, BTC)
QUICK = FeedTimes(
    probe_after_s=0.15, stale_after_s=0.35, first_pause_s=0.02, longest_pause_s=0.1, refused_pause_s=0.05, read_again_after_s=0.1
)


@pytest.fixture
def fake() -> object:
    with FakeUpbit(has_limits=False) as running:
        running.open_market(BTC)
        running.open_market(ETH, price=4_000_000)
        running.add_key()
        running.engine.deposit("main", "KRW", 10_000_000)
        yield running


@asynccontextmanager
async def following(feed: Feed, *topics: Topic, capacity: int = 10_000) -> AsyncIterator[Subscription]:
    """A subscription of a feed that runs."""
    subscription = feed.subscribe(topics, capacity=capacity)
    running = asyncio.create_task(feed.run())
    try:
        yield subscription
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def public_feed(fake: FakeUpbit, **changes: object) -> Feed:
    quotes = UpbitQuotes(http=UpbitHttp(base_url=fake.url), clock=fake.clock)
    return Feed(UpbitPublicFeed(fake.websocket_url), recover=quotes.market_trades, times=FeedTimes(**{**QUICK.__dict__, **changes}))  # type: ignore[arg-type]


async def until(subscription: Subscription, wanted: Callable[[FeedEvent], bool], *, within_s: float = 5.0) -> list[FeedEvent]:
    """Events up to and including the first that is wanted."""
    heard: list[FeedEvent] = []
    async with asyncio.timeout(within_s):
        while not heard or not wanted(heard[-1]):
            heard.append(await subscription.get())
    return heard


async def whatever_comes(subscription: Subscription, *, for_s: float) -> list[FeedEvent]:
    """Events of a while."""
    heard: list[FeedEvent] = []
    try:
        async with asyncio.timeout(for_s):
            while True:
                heard.append(await subscription.get())
    except TimeoutError:
        return heard


async def everything(subscription: Subscription, fake: FakeUpbit, heard: list[FeedEvent]) -> list[FeedEvent]:
    """What was heard and what comes until every true trade was told, and a little longer for those told twice."""
    seen = set(sequences(heard))
    try:
        async with asyncio.timeout(5):
            while not seen >= set(truth(fake)):
                heard.append(await subscription.get())
                seen |= set(sequences(heard[-1:]))
    except TimeoutError:
        pass  # the test will show what is missing
    return heard + await whatever_comes(subscription, for_s=0.3)


def is_a(kind: type) -> Callable[[FeedEvent], bool]:
    return lambda event: isinstance(event, kind)


def sequences(events: list[FeedEvent]) -> list[int]:
    return [event.trade.sequence for event in events if isinstance(event, TradeSeen)]


def truth(fake: FakeUpbit) -> list[int]:
    return [printed.sequence for printed in fake.engine.prints[BTC]]


async def in_thread(act: Callable[[], object]) -> None:
    await asyncio.to_thread(act)


@pytest.mark.asyncio
async def test_ticker_trades_and_book_arrive_as_typed_values(fake: FakeUpbit) -> None:
    async with following(public_feed(fake), TRADES, TICKER, BOOK) as mine:
        await until(mine, is_a(BookSeen))
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        heard = await until(mine, is_a(TradeSeen))

    printed, trade = fake.engine.prints[BTC][0], next(event.trade for event in heard if isinstance(event, TradeSeen))
    assert (trade.price, trade.amount, trade.side, trade.sequence) == (printed.price, printed.amount, printed.taker_side, printed.sequence)


@pytest.mark.asyncio
async def test_one_connection_serves_everybody_with_the_complete_set(fake: FakeUpbit) -> None:
    feed = public_feed(fake)
    async with following(feed, TRADES) as first:
        await until(first, is_a(FeedConnected))
        second = feed.subscribe([Topic(Channel.BOOK, ETH)])
        await until(second, is_a(BookSeen))
        await in_thread(partial(fake.strangers_trade, BTC, count=3))
        await until(first, is_a(TradeSeen))

        assert fake.server.socket_count == 1
        (wishes,) = fake.sockets.wishes(PUBLIC)
        assert {(wish.kind, wish.codes) for wish in wishes} == {("trade", (BTC,)), ("orderbook", (ETH,)), ("ticker", (BTC, ETH))}
        second.close()
        await whatever_comes(first, for_s=0.1)
        assert {wish.kind for wish in fake.sockets.wishes(PUBLIC)[0]} == {"trade", "ticker"}


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["cut", "closed", "restarted while REST fails at first"])
async def test_after_a_cut_no_trade_is_missing_and_none_comes_twice(fake: FakeUpbit, way: str) -> None:
    async with following(public_feed(fake), TRADES) as mine:
        await until(mine, is_a(FeedConnected))
        await in_thread(partial(fake.strangers_trade, BTC, count=5))
        heard = await until(mine, is_a(TradeSeen))
        fake.server.faults.set("GET /websocket/v1", faults.drop(), times=2)  # stays away for a moment
        if way == "restarted while REST fails at first":
            fake.server.faults.set("GET /v1/trades/ticks", faults.html(502), times=2)
        (fake.server.close_sockets if way == "closed" else fake.server.cut_sockets)()
        for seed in range(30):
            await in_thread(partial(fake.strangers_trade, BTC, count=4, seed=seed))
            await asyncio.sleep(0.01)

        heard = await everything(mine, fake, heard)

    assert sorted(sequences(heard)) == truth(fake)
    assert sequences(heard) == sorted(sequences(heard))


@pytest.mark.asyncio
async def test_cuts_again_and_again_lose_and_double_nothing(fake: FakeUpbit) -> None:
    async with following(public_feed(fake), TRADES) as mine:
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        heard = await until(mine, is_a(TradeSeen))
        for seed in range(12):
            await in_thread(partial(fake.strangers_trade, BTC, count=7, seed=seed))
            fake.server.cut_sockets()
            await asyncio.sleep(0.02 * (seed % 5))
        heard = await everything(mine, fake, heard)

    assert sorted(sequences(heard)) == truth(fake)


@pytest.mark.asyncio
async def test_a_list_that_lags_behind_the_stream_is_read_twice(fake: FakeUpbit) -> None:
    quotes = UpbitQuotes(http=UpbitHttp(base_url=fake.url), clock=fake.clock)
    asked: list[object] = []

    def lagging(symbol: str, *, since: object) -> object:
        asked.append(since)
        told = quotes.market_trades(symbol, since=since)  # type: ignore[arg-type]
        return told[:-2] if len(asked) == 1 else told

    feed = Feed(UpbitPublicFeed(fake.websocket_url), recover=lagging, times=QUICK)  # type: ignore[arg-type]
    async with following(feed, TRADES) as mine:
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        heard = await until(mine, is_a(TradeSeen))
        fake.server.faults.set("GET /websocket/v1", faults.drop(), times=1)
        fake.server.cut_sockets()
        await in_thread(partial(fake.strangers_trade, BTC, count=6))
        heard = await everything(mine, fake, heard)

    assert sorted(sequences(heard)) == truth(fake)
    assert len(asked) >= 2


@pytest.mark.asyncio
async def test_a_gap_that_cannot_be_read_again_is_told(fake: FakeUpbit) -> None:
    def never(symbol: str, *, since: object) -> object:
        raise ExchangeUnavailable("the lists are away")

    feed = Feed(UpbitPublicFeed(fake.websocket_url), recover=never, times=FeedTimes(**{**QUICK.__dict__, "recover_attempts": 2}))  # type: ignore[arg-type]
    async with following(feed, TRADES) as mine:
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        await until(mine, is_a(TradeSeen))
        fake.server.cut_sockets()

        heard = await until(mine, is_a(GapUnfilled))

        assert heard[-1].reason == "the lists are away"  # type: ignore[union-attr]
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        await until(mine, is_a(TradeSeen))


@pytest.mark.asyncio
async def test_silence_on_an_open_connection_is_told_in_time_and_ends_by_itself(fake: FakeUpbit) -> None:
    async with following(public_feed(fake), TRADES, TICKER) as mine:
        await until(mine, is_a(FeedConnected))
        fake.sockets.is_frozen = True

        heard = await until(mine, is_a(FeedStale), within_s=1.0)
        await in_thread(partial(fake.strangers_trade, BTC, count=2))
        fake.sockets.is_frozen = False
        heard += await until(mine, is_a(FeedAlive))

    assert heard[-1].silent_for_s >= QUICK.stale_after_s  # type: ignore[union-attr]


def test_the_usual_waits_tell_staleness_within_ten_seconds() -> None:
    times = FeedTimes()

    assert times.stale_after_s + min(times.probe_after_s, times.stale_after_s) / 4 <= 10


@pytest.mark.asyncio
async def test_a_quiet_market_is_not_stale(fake: FakeUpbit) -> None:
    async with following(public_feed(fake), TRADES) as mine:
        heard = await whatever_comes(mine, for_s=1.2)

    assert not [event for event in heard if isinstance(event, FeedStale)]
    assert fake.server.socket_count <= 1


@pytest.mark.asyncio
async def test_an_exchange_that_is_away_is_told_stale_and_found_again(fake: FakeUpbit) -> None:
    fake.server.faults.set("GET /websocket/v1", faults.html(502))
    async with following(public_feed(fake), TICKER) as mine:
        heard = await until(mine, is_a(FeedStale))
        fake.server.faults.clear()
        heard += await until(mine, is_a(TickerSeen))

    assert any(isinstance(event, FeedRefused) for event in heard)


@pytest.mark.asyncio
async def test_too_many_connections_are_followed_by_a_longer_pause(fake: FakeUpbit) -> None:
    fake.server.faults.set("GET /websocket/v1", Fault(status=429, body="Too many"), times=3)
    feed = public_feed(fake, refused_pause_s=0.2)
    async with following(feed, TICKER) as mine:
        heard = await until(mine, is_a(TickerSeen))

    at = [request.arrived_at for request in fake.server.requests("GET /websocket/v1")]
    assert min((later - earlier).total_seconds() for earlier, later in pairwise(at)) >= 0.2
    assert sum(isinstance(event, FeedRefused) for event in heard) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("spelling", ["text frames", "exponents"])
async def test_odd_but_true_frames_are_understood(fake: FakeUpbit, spelling: str) -> None:
    fake.sockets.sends_text, fake.sockets.spells_exponents = spelling == "text frames", spelling == "exponents"
    async with following(public_feed(fake), TRADES, BOOK) as mine:
        await until(mine, is_a(BookSeen))
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        heard = await until(mine, is_a(TradeSeen))

    assert heard[-1].trade.price == fake.engine.prints[BTC][0].price  # type: ignore[union-attr]


NONSENSE = [
    b"",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"17",
    b'"PING"',
    b"<html>",
    b'{"type":"ticker"',
    b'{"type":"surprise","code":"KRW-BTC"}',
    b'{"type":"ticker","code":"KRW-BTC","trade_price":NaN,"timestamp":1795185658973}',
    b'{"type":"ticker","code":"KRW-BTC","trade_price":1e999999,"timestamp":1795185658973}',
    b'{"type":"ticker","code":"KRW-BTC","trade_price":-1,"timestamp":1795185658973}',
    b'{"type":"ticker","code":"KRW-BTC","trade_price":1,"trade_price":2,"timestamp":1795185658973}',
    b'{"type":"ticker","code":"KRW-BTC","trade_price":1,"timestamp":17}',
    b'{"type":"trade","code":"KRW-BTC","trade_price":1,"trade_volume":1,"ask_bid":"UP","sequential_id":1,"trade_timestamp":1795185658973}',
    b'{"type":"orderbook","code":"KRW-BTC","timestamp":1795185658973,"orderbook_units":{}}',
    b"[" * 100_000,
]


@pytest.mark.asyncio
async def test_nonsense_is_counted_and_the_feed_goes_on(fake: FakeUpbit) -> None:
    feed = public_feed(fake)
    async with following(feed, TRADES, TICKER, BOOK) as mine:
        await until(mine, is_a(BookSeen))
        for raw in NONSENSE:
            fake.sockets.push(raw)
        await in_thread(partial(fake.strangers_trade, BTC, count=1))
        heard = await until(mine, is_a(TradeSeen))

    assert feed.unreadable == len(NONSENSE) - 1  # an empty list says nothing, which is not wrong
    assert {event.trade.sequence for event in heard if isinstance(event, TradeSeen)} == set(truth(fake))
    assert feed.connections == 1


@pytest.mark.asyncio
async def test_a_frame_of_two_megabytes_ends_the_connection_not_the_feed(fake: FakeUpbit) -> None:
    feed = public_feed(fake)
    async with following(feed, TICKER) as mine:
        await until(mine, is_a(TickerSeen))
        fake.sockets.push(json.dumps({"type": "ticker", "junk": "x" * 2_000_000}))
        heard = await until(mine, lambda event: isinstance(event, FeedConnected) and event.number > 1)

    assert heard


@pytest.mark.asyncio
async def test_a_slow_follower_loses_its_oldest_and_is_told_while_others_lose_nothing(fake: FakeUpbit) -> None:
    feed = public_feed(fake)
    async with following(feed, TRADES) as mine:
        await until(mine, is_a(FeedConnected))
        slow = feed.subscribe([TRADES], capacity=5)
        await whatever_comes(mine, for_s=0.2)  # the new request has been made: its snapshot would come before what is on its way
        await in_thread(partial(fake.strangers_trade, BTC, count=40))
        heard = await everything(mine, fake, [])
        first, *rest = await whatever_comes(slow, for_s=0.1)

    assert sequences(heard) == truth(fake)
    assert isinstance(first, Missed)
    assert first.count == slow.dropped > 30
    assert sequences(rest) == truth(fake)[-5:]


@pytest.mark.asyncio
async def test_lost_and_doubled_stream_frames_do_not_double_a_trade(fake: FakeUpbit) -> None:
    fake.sockets.doubles = frozenset({"trade"})
    async with following(public_feed(fake), TRADES) as mine:
        await until(mine, is_a(FeedConnected))
        await in_thread(partial(fake.strangers_trade, BTC, count=10))
        heard = await everything(mine, fake, [])

    assert sequences(heard) == truth(fake)


def private_feed(fake: FakeUpbit, *, secret: str = SECRET) -> Feed:
    signer = Signer(UpbitHttp(base_url=fake.url), access_key=ACCESS, secret_key=secret)
    return Feed(UpbitPrivateFeed(signer, fake.websocket_url), times=QUICK)


@pytest.mark.asyncio
async def test_orders_and_balances_of_our_own_pocket_arrive_with_the_fee_of_each_fill(fake: FakeUpbit) -> None:
    fake.add_key("other" * 8, "secret-of-somebody-else-0000000000000000", account="other")
    fake.engine.deposit("other", "KRW", 1_000_000)
    mine_account = upbit.connect(http=UpbitHttp(base_url=fake.url), access_key=ACCESS, secret_key=SECRET)
    others = upbit.connect(http=UpbitHttp(base_url=fake.url), access_key="other" * 8, secret_key="secret-of-somebody-else-0000000000000000")
    async with following(private_feed(fake), Topic(Channel.ORDERS), Topic(Channel.BALANCES)) as mine:
        await until(mine, is_a(FeedConnected))
        await asyncio.sleep(0.1)
        await in_thread(partial(others.place, _buy("OTHERS")))
        await in_thread(partial(mine_account.place, _buy("MINE")))
        heard = await until(mine, lambda event: isinstance(event, OrderSeen) and event.status is VenueOrderStatus.CANCELLED)

    orders = [event for event in heard if isinstance(event, OrderSeen)]
    (fill,) = [event.fill for event in orders if event.fill is not None]
    (true_fill,) = [fill for fill in fake.engine.fills if fill.account == "main"]
    assert {order.client_id for order in orders} == {"MINE"}
    assert (fill.exchange_trade_id, fill.fee, fill.amount) == (true_fill.trade_id, true_fill.fee, true_fill.amount)
    assert any(isinstance(event, BalancesSeen) for event in heard)


@pytest.mark.asyncio
async def test_a_quiet_account_is_alive_and_a_refused_key_is_told(fake: FakeUpbit) -> None:
    async with following(private_feed(fake), Topic(Channel.ORDERS)) as mine:
        quiet = await whatever_comes(mine, for_s=1.0)
    async with following(private_feed(fake, secret="wrong" * 8), Topic(Channel.ORDERS)) as mine:
        refused = await until(mine, is_a(FeedRefused))

    assert [type(event) for event in quiet] == [FeedConnected]
    assert "INVALID_AUTH" in refused[-1].reason  # type: ignore[union-attr]
    assert fake.server.requests(f"GET {PRIVATE}")


def _buy(client_id: str) -> OrderRequest:
    return OrderRequest(client_id=client_id, symbol=BTC, side=Side.BUY, order_type=OrderType.MARKET, quote_amount=D("10000.5"))
