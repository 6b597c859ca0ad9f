"""Bitget's feeds against the fake over real sockets: told once, in order; cut, frozen or fed nonsense, alive again."""

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest

from dgbot.core.types import Side, VenueOrderStatus
from tests.contracts.bitget.stage import RAW, SYMBOL, a_limit, an_order
from tests.fakes.bitget.sockets import PRIVATE, PUBLIC
from tests.fakes.core.faults import html
from trading.exchanges import bitget_feed
from trading.exchanges.bitget_feed import BitgetPrivateFeed, BitgetPublicFeed
from trading.exchanges.feed import Feed, FeedTimes
from trading.exchanges.feed_events import (
    BalancesSeen,
    BookSeen,
    Channel,
    FeedAlive,
    FeedConnected,
    FeedRefused,
    FeedStale,
    OrderSeen,
    PositionsSeen,
    TickerSeen,
    Topic,
    TradeSeen,
)

D = Decimal
SWIFT = FeedTimes(
    probe_after_s=0.2,
    stale_after_s=0.5,
    open_timeout_s=1,
    first_pause_s=0.05,
    longest_pause_s=0.2,
    refused_pause_s=0.1,
    read_again_after_s=0.2,
)
MARKET = [Topic(Channel.TICKER, SYMBOL), Topic(Channel.TRADES, SYMBOL), Topic(Channel.BOOK, SYMBOL)]
PRIVATE_TOPICS = {("orders", "default"), ("account", "default"), ("positions", "default")}
ACCOUNT = [Topic(Channel.ORDERS), Topic(Channel.BALANCES), Topic(Channel.POSITIONS)]


@asynccontextmanager
async def following(dialect, topics, *, recover=None):
    """A running feed and everything one subscriber was told so far."""
    feed = Feed(dialect, recover=recover, times=SWIFT)
    subscription, told = feed.subscribe(topics), []
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(_collect(subscription, told))]
    try:
        yield feed, told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _collect(subscription, told):
    async for event in subscription:
        told.append(event)


async def until(condition: Callable[[], object], *, within_s: float = 8.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def of(told, kind):
    return [event for event in told if isinstance(event, kind)]


def sequences(told):
    return [event.trade.sequence for event in of(told, TradeSeen)]


async def strangers(fake, count, seed=1):
    await asyncio.to_thread(fake.strangers_trade, RAW, count=count, seed=seed)


# --- Public ---
@pytest.mark.asyncio
async def test_ticker_trades_and_book_are_told(fake):
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET) as (_, told):
        await until(lambda: of(told, TickerSeen) and of(told, BookSeen))
        await strangers(fake, 5)
        await until(lambda: len(sequences(told)) == 5)

    assert sequences(told) == [printed.sequence for printed in fake.engine.prints[RAW]]
    assert of(told, BookSeen)[0].book.bids[0].price == D("2999.5") and isinstance(told[0], FeedConnected)


@pytest.mark.asyncio
async def test_a_change_of_topics_is_told_to_bitget_as_a_difference(fake):
    fake.open_market("BTCUSDT", price=60_000)
    async with following(BitgetPublicFeed(fake.websocket_url), [Topic(Channel.TICKER, SYMBOL)]) as (feed, _):
        await until(lambda: fake.sockets.topics(PUBLIC) == [{("ticker", RAW)}])
        more = feed.subscribe([Topic(Channel.TRADES, "BTC/USDT:USDT")])
        await until(lambda: fake.sockets.topics(PUBLIC) == [{("ticker", RAW), ("ticker", "BTCUSDT"), ("trade", "BTCUSDT")}])
        more.close()
        await until(lambda: fake.sockets.topics(PUBLIC) == [{("ticker", RAW)}])


@pytest.mark.asyncio
async def test_after_reconnection_no_trade_is_missing_or_doubled(fake, exchange):
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET, recover=exchange.market_trades) as (feed, told):
        await until(lambda: of(told, BookSeen))
        for turn in range(4):
            await strangers(fake, 30, seed=turn)
            if turn < 3:
                fake.server.cut_sockets()
                await strangers(fake, 40, seed=10 + turn)  # nobody listens, or somebody is just coming back
            await until(lambda turn=turn: feed.connections == min(turn + 2, 4))
        expected = [printed.sequence for printed in fake.engine.prints[RAW]]
        await until(lambda: len(set(sequences(told))) == len(expected))
        await asyncio.sleep(0.5)  # the second reading of the gap brings nothing twice

    assert sorted(sequences(told)) == expected
    assert len(of(told, FeedConnected)) == 4


@pytest.mark.asyncio
async def test_lost_and_doubled_frames_are_read_again_and_told_once(fake, exchange):
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET, recover=exchange.market_trades) as (_, told):
        await until(lambda: of(told, BookSeen))
        fake.sockets.doubles = frozenset({"trade"})
        await strangers(fake, 10)
        await until(lambda: len(sequences(told)) >= 10)
        fake.server.cut_sockets()
        await until(lambda: len(of(told, FeedConnected)) == 2)
        await strangers(fake, 10, seed=2)
        await until(lambda: len(sequences(told)) == 20)

    assert sequences(told) == [printed.sequence for printed in fake.engine.prints[RAW]]


@pytest.mark.asyncio
async def test_a_frozen_feed_is_told_stale_and_comes_back(fake):
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET) as (_, told):
        await until(lambda: of(told, FeedConnected))
        fake.sockets.is_frozen = True
        await until(lambda: of(told, FeedStale))
        fake.sockets.is_frozen = False
        await until(lambda: of(told, FeedAlive))

    assert of(told, FeedStale)[0].silent_for_s < 2 * SWIFT.stale_after_s


@pytest.mark.asyncio
async def test_a_quiet_market_stays_alive_because_tickers_are_asked_anew(fake):
    async with following(BitgetPublicFeed(fake.websocket_url), [Topic(Channel.TRADES, SYMBOL)]) as (feed, told):
        await until(lambda: of(told, FeedConnected))
        await asyncio.sleep(1.2)

        assert not feed.is_stale and not of(told, FeedStale)


@pytest.mark.parametrize(
    "frame",
    [
        "hello",
        "",
        "[]",
        "null",
        '{"event":"unheard"}',
        '{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"candle1m","instId":"ETHUSDT"},"data":[["1"]]}',
        '{"action":"update","arg":{"instType":"SPOT","channel":"trade","instId":"ETHUSDT"},"data":[]}',
        '{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"trade","instId":"ETHUSDT"},"data":[{"price":"1","size":"1","side":"buy"}]}',
        '{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"ticker","instId":"ETHUSDT"},"data":[{"lastPr":"1e999999","ts":"1763713656000"}]}',
        '{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"books15","instId":"ETHUSDT"},"data":[{"asks":[[1]],"bids":[],"ts":"1"}]}',
        '{"action":"update","arg":NaN}',
    ],
)
@pytest.mark.asyncio
async def test_nonsense_is_counted_and_the_feed_goes_on(fake, frame):
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET) as (_, told):
        await until(lambda: of(told, BookSeen))
        fake.sockets.push(frame)
        await strangers(fake, 2)
        await until(lambda: len(sequences(told)) == 2)


@pytest.mark.asyncio
async def test_an_exponent_is_a_number_like_any_other(fake):
    body = {"action": "snapshot", "arg": {"instType": "USDT-FUTURES", "channel": "ticker", "instId": RAW}}
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET) as (_, told):
        await until(lambda: of(told, TickerSeen))
        fake.sockets.push(json.dumps({**body, "data": [{"lastPr": "X", "ts": "1763713656000"}]}).replace('"X"', "3.1E3"))
        await until(lambda: any(event.ticker.price == 3100 for event in of(told, TickerSeen)))


@pytest.mark.asyncio
async def test_a_refused_upgrade_and_an_unknown_symbol_are_told(fake):
    fake.server.faults.set(f"GET {PUBLIC}", html(503), times=1)
    async with following(BitgetPublicFeed(fake.websocket_url), [Topic(Channel.TICKER, "XXX/USDT:USDT")]) as (_, told):
        await until(lambda: len(of(told, FeedRefused)) >= 2)

    assert "503" in of(told, FeedRefused)[0].reason and "30001" in of(told, FeedRefused)[1].reason


@pytest.mark.asyncio
async def test_a_busy_line_is_pinged_before_bitget_hangs_up(fake, monkeypatch):
    monkeypatch.setattr(bitget_feed, "PING_EVERY_S", 0.2)
    fake.sockets.idle_close_s = 0.6
    async with following(BitgetPublicFeed(fake.websocket_url), MARKET) as (feed, told):
        await until(lambda: of(told, BookSeen))
        for turn in range(15):
            await strangers(fake, 1, seed=turn)
            await asyncio.sleep(0.1)

        assert feed.connections == 1


# --- Private ---
@pytest.mark.asyncio
async def test_orders_balances_and_positions_are_told_after_a_login(fake, exchange):
    await asyncio.to_thread(lambda: exchange.prepare(SYMBOL, leverage=D(5)))
    async with following(BitgetPrivateFeed(exchange.client, fake.websocket_url), ACCOUNT) as (_, told):
        await until(lambda: of(told, BalancesSeen) and of(told, PositionsSeen))
        await asyncio.to_thread(exchange.place, an_order("A1"))
        await until(lambda: any(event.status is VenueOrderStatus.FILLED for event in of(told, OrderSeen)))
        await until(lambda: any(event.positions for event in of(told, PositionsSeen)))
        placed = await asyncio.to_thread(lambda: exchange.order(symbol=SYMBOL, client_id="A1"))

    fills = [event.fill for event in of(told, OrderSeen) if event.fill is not None]
    assert fills == list(placed.fills)
    assert of(told, PositionsSeen)[-1].positions[0].amount == D("0.05")
    assert of(told, BalancesSeen)[-1].balances[0].free < 1000


@pytest.mark.asyncio
async def test_a_resting_order_its_partial_fill_and_its_cancel_are_told(fake, exchange):
    async with following(BitgetPrivateFeed(exchange.client, fake.websocket_url), ACCOUNT) as (_, told):
        await until(lambda: of(told, BalancesSeen))
        await asyncio.to_thread(exchange.place, a_limit("A1", price="2990", amount=D(1)))
        await asyncio.to_thread(lambda: fake.engine.stranger_trades(RAW, price=2990, amount="0.4", taker_side=Side.SELL))
        await asyncio.to_thread(lambda: exchange.cancel(symbol=SYMBOL, client_id="A1"))
        await until(lambda: any(event.status is VenueOrderStatus.CANCELLED for event in of(told, OrderSeen)))

    states = [(event.status, event.filled_amount) for event in of(told, OrderSeen)]
    assert states[0] == (VenueOrderStatus.OPEN, 0) and states[-1] == (VenueOrderStatus.CANCELLED, D("0.4"))
    assert of(told, OrderSeen)[1].is_maker is True


@pytest.mark.asyncio
async def test_a_silent_account_is_alive_by_its_pongs_and_stale_when_frozen(fake, exchange):
    async with following(BitgetPrivateFeed(exchange.client, fake.websocket_url), ACCOUNT) as (_, told):
        await until(lambda: of(told, FeedConnected))
        await asyncio.sleep(1.2)
        assert not of(told, FeedStale)

        fake.sockets.is_frozen = True
        await until(lambda: of(told, FeedStale))
        fake.sockets.is_frozen = False
        await until(lambda: of(told, FeedAlive))
        await until(
            lambda: fake.sockets.topics(PRIVATE)[-1:] == [{("orders", "default"), ("account", "default"), ("positions", "default")}]
        )


@pytest.mark.asyncio
async def test_a_refused_login_is_told_and_never_counts_as_life(fake, account, exchange):
    account.passphrase = "changed"
    async with following(BitgetPrivateFeed(exchange.client, fake.websocket_url), ACCOUNT) as (_, told):
        await until(lambda: of(told, FeedRefused) and of(told, FeedStale))

    assert "30012" in of(told, FeedRefused)[0].reason and not of(told, FeedConnected)
    assert exchange.client.key.secret_key not in str(told)


@pytest.mark.asyncio
async def test_what_happened_while_the_private_feed_was_away_is_read_by_rest(fake, exchange):
    began = await asyncio.to_thread(exchange.server_time)
    async with following(BitgetPrivateFeed(exchange.client, fake.websocket_url), ACCOUNT) as (_, told):
        await until(lambda: of(told, FeedConnected))
        fake.server.cut_sockets()
        await asyncio.to_thread(exchange.place, an_order("A1"))
        await until(lambda: len(of(told, FeedConnected)) == 2)
        fills = await asyncio.to_thread(lambda: exchange.fills(symbol=None, since=began - timedelta(seconds=1)))

    assert [fill.client_id for fill in fills] == ["A1"]
