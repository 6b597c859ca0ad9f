"""One public feed per exchange and process: its loop in a thread of its own, what it tells at hand for every other thread.

    socket ──► Feed (loop thread) ──► prices and books by symbol ──► whoever asks
                                  └─► every stream of the symbol ──► bars of every interval

A stream says "told until T" only when nothing before T can be missing:

    newest trade of the symbol            the feed tells them in order
    newest stamp of anything, less a margin   what was executed earlier has been told by then
    a probe that was answered, less a margin  what was said before it has been heard: how a silent market goes on

and none of them while the line is down, a gap is not yet read twice, or the symbol has not been heard of on this connection.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dgbot.core.errors import ExchangeError, ExchangeUnavailable
from dgbot.core.protocols import Quotes
from dgbot.core.types import MarketTrade, OrderBook, Ticker
from trading.exchanges.exchange_clock import ExchangeClock
from trading.exchanges.feed import Dialect, Feed, FeedTimes, Subscription
from trading.exchanges.feed_events import (
    BookSeen,
    Channel,
    FeedAlive,
    FeedConnected,
    FeedEvent,
    FeedRefused,
    GapUnfilled,
    TickerSeen,
    Topic,
    TradeSeen,
)
from trading.exchanges.streams import Told, TradesLost

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=1)  # between an execution and its arrival here
FRESH_S = 3.0  # a price from a feed that was silent for longer is asked for by REST
CLOCK_EVERY_S = 60.0
CLOCK_AGAIN_S = 5.0
TIMES = FeedTimes(recover_attempts=10)  # some three minutes without REST, then bars begin anew from candles


@dataclass(eq=False)
class FeedTrades:
    """One symbol's trades for one follower. See TradeStream. Nobody else's reading takes anything away."""

    feed: "MarketFeed"
    symbol: str
    until: datetime  # everything before has been told; at first the instant of interest
    is_ready: bool = True  # False while what came before the feed is still being read
    lost: str = ""
    _held: dict[int, MarketTrade] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> Told:
        """See TradeStream. Never waits for anybody. Raises TradesLost when executions could not be read again."""
        if self.lost:
            raise TradesLost(self.lost)
        why = self.feed.why_stale(self.symbol)
        if why:
            raise ExchangeUnavailable(why)
        until = self.feed.told_until(self.symbol) if self.is_ready else None  # before looking at what is held, never after
        with self._lock:
            if until is None or until <= self.until:
                return Told(trades=(), until=self.until)
            self.until = until
            told = sorted((trade for trade in self._held.values() if trade.executed_at < until), key=_by_time)
            for trade in told:
                del self._held[trade.sequence]
        return Told(trades=told, until=until)

    def take(self, trades: Sequence[MarketTrade]) -> None:
        """Hold what the feed or a list tells until its time is complete. What was told before is known."""
        with self._lock:
            self._held.update((trade.sequence, trade) for trade in trades if trade.executed_at >= self.until)


@dataclass(eq=False)
class Ear(Subscription):
    """A subscription without a queue: events are taken where they are heard, so no reader ever sees a later state first."""

    hear: Callable[[FeedEvent], None] = print

    def put(self, event: FeedEvent) -> None:
        """See Subscription."""
        self.hear(event)


class MarketFeed:
    """See the module. Every method may be called from any thread. Nothing runs before the first symbol is followed."""

    def __init__(
        self,
        exchange: str,
        dialect: Dialect,
        *,
        quotes: Quotes,
        times: FeedTimes = TIMES,
        margin: timedelta = MARGIN,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.exchange, self.quotes, self.margin = exchange, quotes, margin
        self.clock = ExchangeClock()
        self._monotonic = monotonic
        self._feed = Feed(dialect, recover=quotes.market_trades, times=times, monotonic=monotonic)
        self._times = times
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"feed-{exchange}", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._lock = threading.Lock()  # of what is followed
        self._topics: frozenset[Topic] = frozenset()
        self._followed_at: dict[str, float] = {}
        self._ear: Ear | None = None
        self._streams: dict[str, tuple[FeedTrades, ...]] = {}
        self._tickers: dict[str, Ticker] = {}
        self._books: dict[str, OrderBook] = {}
        self._seen_on: dict[str, int] = {}  # the connection on which a symbol was heard of last
        self._newest_trade: dict[str, datetime] = {}
        self._newest_stamp: datetime | None = None
        self._connected_at = 0.0
        self._refusal = ""
        self._histories: set[asyncio.Task[None]] = set()
        self._wakers: tuple[Callable[[str, str], None], ...] = ()
        self.failure: BaseException | None = None

    # --- Following ---
    def follow(self, symbol: str, *channels: Channel) -> None:
        """Hear of a symbol from now on. Following it again changes nothing."""
        self._widen({Topic(channel, symbol) for channel in (Channel.TICKER, *channels)}, since=None)

    def trades(self, symbol: str, *, since: datetime) -> FeedTrades:
        """A stream of its own, from the executions at `since` (aware) on."""
        topic = Topic(Channel.TRADES, symbol)
        stream = FeedTrades(self, symbol, until=since)
        with self._lock:
            is_first = topic not in self._topics
            stream.is_ready = is_first
            self._streams[symbol] = (*self._streams.get(symbol, ()), stream)
        self._widen({topic, Topic(Channel.TICKER, symbol)}, since=since)
        if not is_first:
            self._loop.call_soon_threadsafe(self._begin_history, stream)
        return stream

    def wake(self, waker: Callable[[str, str], None]) -> None:
        """Call `waker` with exchange and symbol at every price and book, from the feed's thread: it must only take note."""
        with self._lock:
            if waker not in self._wakers:
                self._wakers = (*self._wakers, waker)

    def close(self) -> None:
        """Hang up and end the thread."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(lambda: self._main.cancel() if self._main else None)
            self._thread.join(10)
        elif self._thread.ident is None:
            self._loop.close()

    def _widen(self, topics: set[Topic], *, since: datetime | None) -> None:
        with self._lock:
            new = topics - self._topics
            if not new:
                return
            self._topics |= new
            for topic in new:
                self._followed_at.setdefault(topic.symbol, self._monotonic())
            if self._thread.ident is None:
                self._thread.start()
        self._loop.call_soon_threadsafe(self._listen, frozenset(new), since)

    def _listen(self, new: frozenset[Topic], since: datetime | None) -> None:
        if self._ear is None:
            self._ear = Ear(topics=frozenset(), capacity=0, _close=lambda _ear: None, hear=self._hear)
        self._feed.widen(self._ear, new, since=since)

    # --- What is known ---
    def ticker(self, symbol: str) -> Ticker | None:
        """The last price, as long as the feed is fresh."""
        return self._tickers.get(symbol) if self._is_fresh(symbol) else None

    def order_book(self, symbol: str) -> OrderBook | None:
        """The book, as long as the feed is fresh."""
        return self._books.get(symbol) if self._is_fresh(symbol) else None

    def now(self) -> datetime | None:
        """The exchange's time, or somewhat before; None while unknown."""
        return self.clock.at(self._monotonic())

    def why_stale(self, symbol: str) -> str:
        """Why nothing newer than the last news of `symbol` is known, in one sentence; empty while all is well."""
        if self.failure is not None:
            return f"the feed of {self.exchange} has ended: {self.failure}"
        limit = self._times.stale_after_s
        if self._feed.is_stale:
            refusal = f" ({self._refusal})" if self._refusal else ""
            return f"the feed of {self.exchange} has said nothing for {self._feed.silent_for_s:.0f} s{refusal}, the limit is {limit:g} s"
        since = max(self._followed_at.get(symbol, 0.0), self._connected_at)
        if symbol in self._followed_at and not self._is_heard_of(symbol) and self._monotonic() - since > limit:
            refusal = f": {self._refusal}" if self._refusal else ""
            return f"the feed of {self.exchange} has said nothing of {symbol} for {self._monotonic() - since:.0f} s{refusal}"
        return ""

    def told_until(self, symbol: str) -> datetime | None:
        """The instant before which every execution of `symbol` has been told; None while that is not known."""
        if not self._feed.is_whole(symbol) or not self._is_heard_of(symbol):
            return None
        proven = None if self._feed.proven_at is None else self.clock.at(self._feed.proven_at)
        stamps = [stamp - self.margin for stamp in (self._newest_stamp, proven) if stamp is not None]
        trade = self._newest_trade.get(symbol)
        return max([*stamps, trade] if trade is not None else stamps, default=None)

    def state(self) -> dict[str, object]:
        """For heartbeats and figures."""
        return {
            "symbols": len(self._followed_at),
            "connections": self._feed.connections,
            "is_stale": self._feed.is_stale,
            "silent_s": round(self._feed.silent_for_s, 1) if self._followed_at else 0.0,
            "unreadable": self._feed.unreadable,
        }

    def _is_heard_of(self, symbol: str) -> bool:
        return self._seen_on.get(symbol) == self._feed.connections and self._feed.is_connected

    def _is_fresh(self, symbol: str) -> bool:
        return self._is_heard_of(symbol) and not self._feed.is_stale and self._feed.silent_for_s <= FRESH_S

    # --- The loop's thread ---
    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._main = self._loop.create_task(self._live())
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass  # closed
        except BaseException as error:
            self.failure = error
            log.exception("feed of %s ended", self.exchange)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._keep_time())

    async def _keep_time(self) -> None:
        while True:
            try:
                told = await asyncio.to_thread(self.quotes.server_time)
            except ExchangeError as error:
                log.warning("exchange=%s its time is not known anew: %s", self.exchange, error)
                await asyncio.sleep(CLOCK_AGAIN_S)
                continue
            self.clock.asked(told, at=self._monotonic())
            await asyncio.sleep(CLOCK_EVERY_S)

    def _hear(self, event: FeedEvent) -> None:
        match event:
            case TradeSeen(trade):
                self._stamp(trade.symbol, trade.executed_at)
                for stream in self._streams.get(trade.symbol, ()):
                    stream.take([trade])
                if trade.executed_at > self._newest_trade.get(trade.symbol, datetime.min.replace(tzinfo=trade.executed_at.tzinfo)):
                    self._newest_trade[trade.symbol] = trade.executed_at
            case TickerSeen(ticker):
                self._tickers[ticker.symbol] = ticker
                self._stamp(ticker.symbol, ticker.known_at)
                self._wake(ticker.symbol)
            case BookSeen(book):
                self._books[book.symbol] = book
                self._stamp(book.symbol, book.known_at)
                self._wake(book.symbol)
            case FeedConnected():
                self._connected_at, self._refusal = self._monotonic(), ""
            case FeedAlive(silent_for_s):
                log.info("exchange=%s feed alive again after %.1f s", self.exchange, silent_for_s)
            case FeedRefused(reason):
                if reason != self._refusal:
                    log.warning("exchange=%s feed refused: %s", self.exchange, reason)
                self._refusal = reason
            case GapUnfilled(symbol, since, reason):
                self._lose(symbol, f"executions of {symbol} since {since.isoformat()} could not be read again: {reason}")

    def _wake(self, symbol: str) -> None:
        for waker in self._wakers:
            waker(self.exchange, symbol)

    def _stamp(self, symbol: str, stamp: datetime) -> None:
        self._seen_on[symbol] = self._feed.connections
        if self.clock.stamped(stamp, at=self._monotonic()) and (self._newest_stamp is None or stamp > self._newest_stamp):
            self._newest_stamp = stamp

    def _lose(self, symbol: str, why: str) -> None:
        log.error("exchange=%s %s", self.exchange, why)
        for stream in self._streams.get(symbol, ()):
            stream.lost = why
        with self._lock:
            self._streams[symbol] = ()

    # --- What a later follower wants to know of before ---
    def _begin_history(self, stream: FeedTrades) -> None:
        task = self._loop.create_task(self._read_history(stream))
        self._histories.add(task)
        task.add_done_callback(self._histories.discard)

    async def _read_history(self, stream: FeedTrades) -> None:
        """Twice, since lists may lag behind the stream."""
        readings, attempt = 0, 0
        while readings < 2:
            try:
                stream.take(await asyncio.to_thread(self.quotes.market_trades, stream.symbol, since=stream.until))
                readings += 1
                await asyncio.sleep(self._times.read_again_after_s if readings == 1 else 0)
            except ExchangeError as error:
                attempt += 1
                if attempt >= self._times.recover_attempts:
                    stream.lost = f"executions of {stream.symbol} since {stream.until.isoformat()} could not be read: {error}"
                    return
                await asyncio.sleep(min(self._times.first_pause_s * 2**attempt, self._times.longest_pause_s))
        stream.is_ready = True


def _by_time(trade: MarketTrade) -> tuple[datetime, int]:
    return (trade.executed_at, trade.sequence)
