"""A live feed: one websocket for everybody who follows a venue, kept alive, told when it is not, its gaps filled by REST.

    connect → ask for the complete set → heard: alive ──silence──→ probe ──silence──→ stale: told, cut ─┐
       ↑                                                                                               │
       └──────────────── back-off with jitter ←── cut, refused, unreachable ←──────────────────────────┘

Each subscriber has a queue of its own. When it is full its oldest event is dropped, counted, and told as `Missed`: a slow
subscriber never holds up another one, nor the socket.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from dgbot.core.errors import ExchangeError
from dgbot.core.types import MarketTrade
from trading.exchanges.feed_events import (
    Channel,
    FeedAlive,
    FeedConnected,
    FeedEvent,
    FeedRefused,
    FeedStale,
    GapUnfilled,
    MarketEvent,
    Missed,
    Topic,
    TradeSeen,
)
from trading.exchanges.feed_gaps import TradeTracker
from trading.exchanges.strict_json import Unreadable

log = logging.getLogger(__name__)

LARGEST_FRAME = 2**20
QUEUE_CAPACITY = 2000  # events of one subscriber


@dataclass(frozen=True)
class FeedTimes:
    """Waits, seconds. Silence is told after `stale_after_s`, well within the ten seconds that are promised."""

    probe_after_s: float = 4.0  # silence after which the exchange is asked to say something
    stale_after_s: float = 8.0
    open_timeout_s: float = 5.0
    first_pause_s: float = 0.5  # before the second attempt; doubles up to the longest
    longest_pause_s: float = 30.0
    refused_pause_s: float = 10.0  # at least, after HTTP 429 or 418: more would make it worse
    gather_s: float = 0.2  # changes of what is followed are asked for together: each asking may open a gap
    read_again_after_s: float = 2.0  # lists of executions may lag behind the stream: read twice
    recover_attempts: int = 5


@dataclass(frozen=True)
class Heard:
    """One frame, understood. is_life: it proves that data flows (a mere status may not). replies: frames to send for it."""

    events: tuple[MarketEvent | FeedRefused, ...] = ()
    is_life: bool = False
    replies: tuple[str, ...] = ()


class Dialect(Protocol):
    """How one venue's feed speaks."""

    @property
    def url(self) -> str:
        """Where to connect."""

    def headers(self) -> Mapping[str, str]:
        """Headers of the upgrade, made anew for each connection. May raise CredentialsRefused."""

    def ask(self, topics: frozenset[Topic]) -> Sequence[str]:
        """Frames that ask for this complete set, and bring a snapshot of it."""

    def probe(self, topics: frozenset[Topic]) -> Sequence[str]:
        """Frames that a living exchange answers."""

    def hear(self, frame: str) -> Heard:
        """Understand one frame. Raises Unreadable."""


class Recover(Protocol):
    """Executions of a symbol since a time, by REST. `Quotes.market_trades` is one."""

    def __call__(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """Oldest first. Raises ExchangeError."""


@dataclass(eq=False)
class Subscription:
    """One follower's own queue. `async for event in subscription`; close it when done."""

    topics: frozenset[Topic]
    capacity: int
    _close: Callable[["Subscription"], None]
    dropped: int = 0
    _told_dropped: int = 0
    _events: deque[FeedEvent] = field(default_factory=deque)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self) -> FeedEvent:
        """The next event; `Missed` first, if some were thrown away."""
        while not self._events:
            self._ready.clear()
            await self._ready.wait()
        if self.dropped > self._told_dropped:
            missed = Missed(self.dropped - self._told_dropped)
            self._told_dropped = self.dropped
            return missed
        return self._events.popleft()

    async def __aiter__(self) -> AsyncIterator[FeedEvent]:
        while True:
            yield await self.get()

    def close(self) -> None:
        """Follow no more."""
        self._close(self)

    def put(self, event: FeedEvent) -> None:
        """Queue an event; when full, the oldest is dropped and counted."""
        if len(self._events) >= self.capacity:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._ready.set()


class Feed:
    """One venue's feed. `run` it in one task of an event loop; subscribe from the same loop."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        recover: Recover | None = None,
        times: FeedTimes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.times = times or FeedTimes()
        self.is_stale = False
        self.connections = 0
        self.proven_at: float | None = None  # when the last probe left that was answered: all that was said before it has been heard
        self.unreadable = 0  # frames that said nothing usable
        self._dialect, self._recover, self._monotonic = dialect, recover, monotonic
        self._subscriptions: list[Subscription] = []
        self._trackers: dict[str, TradeTracker] = {}
        self._recoveries: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._heard_at = self._connected_at = monotonic()
        self._was_probed = self._is_heard = False
        self._probed_at = 0.0

    # --- following ---
    def subscribe(self, topics: Iterable[Topic], *, capacity: int = QUEUE_CAPACITY, since: datetime | None = None) -> Subscription:
        """Follow topics. The exchange is asked for the complete set of all subscribers at once.

        since: executions from then on matter, so a line that is cut before the first one has a gap, too.
        """
        subscription = Subscription(topics=frozenset(), capacity=capacity, _close=self._forget)
        self.widen(subscription, topics, since=since)
        return subscription

    def widen(self, subscription: Subscription, topics: Iterable[Topic], *, since: datetime | None = None) -> None:
        """Let a subscription follow more; see `subscribe`. One that is new here begins to follow."""
        subscription.topics |= frozenset(topics)
        for symbol in {topic.symbol for topic in subscription.topics if topic.channel is Channel.TRADES}:
            if symbol not in self._trackers:
                self._trackers[symbol] = TradeTracker(symbol, since=since)
        if not self._subscriptions:
            self._heard_at = self._monotonic()
        if subscription not in self._subscriptions:
            self._subscriptions.append(subscription)
        self._changed.set()

    @property
    def topics(self) -> frozenset[Topic]:
        """What all subscribers follow together."""
        return frozenset().union(*(one.topics for one in self._subscriptions))

    @property
    def is_connected(self) -> bool:
        """Whether this connection has been heard from."""
        return self._socket is not None and self._is_heard

    def is_whole(self, symbol: str) -> bool:
        """Whether every execution of `symbol` that was heard has been told, and none is still to be read again."""
        tracker = self._trackers.get(symbol)
        return self.is_connected and tracker is not None and tracker.gap_since is None

    @property
    def silent_for_s(self) -> float:
        """Since data was heard last."""
        return self._monotonic() - self._heard_at

    def _forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._changed.set()

    # --- living ---
    async def run(self) -> None:
        """Until cancelled. Raises only what is a mistake of ours."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._live_on())
        finally:
            for task in self._recoveries:
                task.cancel()
            await asyncio.gather(*self._recoveries, return_exceptions=True)

    async def _live_on(self) -> None:
        failures = 0
        while True:
            await self._somebody_follows()
            self._is_heard = False
            pause = await self._one_life()
            failures = 1 if self._is_heard else failures + 1
            grown = min(self.times.first_pause_s * 2 ** min(failures - 1, 16), self.times.longest_pause_s)
            # Jitter, so that feeds cut together do not come back together.
            await asyncio.sleep(max(pause, grown * random.uniform(0.5, 1.0)))  # noqa: S311

    async def _somebody_follows(self) -> None:
        while not self.topics:
            self._changed.clear()
            await self._changed.wait()

    async def _one_life(self) -> float:
        """One connection from upgrade to end. Returns the least pause before the next, seconds."""
        try:
            async with connect(
                self._dialect.url,
                additional_headers=dict(self._dialect.headers()),
                open_timeout=self.times.open_timeout_s,
                close_timeout=1,
                max_size=LARGEST_FRAME,
                proxy=None,
            ) as socket:
                await self._serve(socket)
        except InvalidStatus as error:
            status = error.response.status_code
            self._tell_all(FeedRefused(f"HTTP {status} instead of a websocket"))
            return self.times.refused_pause_s if status in (418, 429) else 0.0
        except ExchangeError as error:
            self._tell_all(FeedRefused(str(error)))
            return self.times.refused_pause_s
        except (OSError, WebSocketException, TimeoutError) as error:
            log.warning("feed=%s ended: %s: %s", self._dialect.url, type(error).__name__, error)
        finally:
            self._socket = None
        return 0.0

    async def _serve(self, socket: ClientConnection) -> None:
        self._socket, self._was_probed, self._connected_at = socket, False, self._monotonic()
        self.proven_at = None
        self.connections += 1
        for tracker in self._trackers.values():
            tracker.begin_gap()
        asking = asyncio.create_task(self._ask_whenever_changed(socket))
        try:
            async for frame in socket:
                for reply in self._hear(frame):
                    await socket.send(reply)
        finally:
            asking.cancel()
            (ended,) = await asyncio.gather(asking, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    async def _ask_whenever_changed(self, socket: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException):  # the reader sees the end of the connection, too
            while True:
                self._changed.clear()
                topics = self.topics
                self._follow_trades(topics)
                for frame in self._dialect.ask(topics) if topics else ():
                    await socket.send(frame)
                await self._changed.wait()
                await asyncio.sleep(self.times.gather_s)
                for tracker in self._trackers.values():  # whether a new request loses something is not documented
                    tracker.begin_gap()

    def _follow_trades(self, topics: frozenset[Topic]) -> None:
        wanted = {topic.symbol for topic in topics if topic.channel is Channel.TRADES}
        self._trackers = {symbol: self._trackers.get(symbol) or TradeTracker(symbol) for symbol in wanted}

    # --- hearing ---
    def _hear(self, frame: str | bytes) -> Sequence[str]:
        try:
            text = frame if isinstance(frame, str) else frame.decode("utf-8")
            heard = self._dialect.hear(text)
        except (Unreadable, UnicodeDecodeError) as error:
            self.unreadable += 1
            log.warning("feed=%s frame not understood: %s", self._dialect.url, error)
            return ()
        if heard.is_life:
            self._live()
        for event in heard.events:
            if isinstance(event, TradeSeen):
                self._trade(event.trade)
            elif isinstance(event, FeedRefused):
                self._tell_all(event)
            else:
                self._tell(event)
        return heard.replies

    def _live(self) -> None:
        silent_for_s = self.silent_for_s
        if self._was_probed:
            self.proven_at = self._probed_at
        self._heard_at, self._was_probed = self._monotonic(), False
        if not self._is_heard:
            self._is_heard = True
            self._tell_all(FeedConnected(self.connections))
        if self.is_stale:
            self.is_stale = False
            self._tell_all(FeedAlive(silent_for_s))
        for tracker in self._trackers.values():
            if tracker.needs_recovery:
                tracker.needs_recovery = False
                self._start_recovery(tracker)

    def _trade(self, trade: MarketTrade) -> None:
        tracker = self._trackers.get(trade.symbol)
        if tracker is not None:
            for one in tracker.seen(trade):
                self._tell(TradeSeen(one))

    # --- gaps ---
    def _start_recovery(self, tracker: TradeTracker) -> None:
        if self._recover is None:
            if tracker.gap_since is not None:
                self._tell_all(GapUnfilled(tracker.symbol, tracker.gap_since, "nobody was named to read it again"))
            self._close_gap(tracker, ())
            tracker.confirm(tracker.gap_number)
            return
        task = asyncio.create_task(self._fill_gap(tracker, self._recover))
        self._recoveries.add(task)
        task.add_done_callback(self._recoveries.discard)

    async def _fill_gap(self, tracker: TradeTracker, recover: Recover) -> None:
        """Read what the stream missed; its newer executions wait meanwhile, so that the order stays."""
        since, number = tracker.gap_since, tracker.gap_number
        if since is None:
            return
        missed = await self._ask_again(tracker, recover, since=since, number=number)
        if missed is None:
            return
        self._close_gap(tracker, missed)
        await asyncio.sleep(self.times.read_again_after_s)
        again = await self._ask_again(tracker, recover, since=since, number=number)
        if again is None:
            return
        for trade in tracker.late(again):
            self._tell(TradeSeen(trade, is_late=True))
        tracker.confirm(number)

    async def _ask_again(self, tracker: TradeTracker, recover: Recover, *, since: datetime, number: int) -> Sequence[MarketTrade] | None:
        """The executions since then; None when a newer gap covers this one, or when they cannot be had, which is told."""
        reason = ""
        for attempt in range(self.times.recover_attempts):
            try:
                told = await asyncio.to_thread(recover, tracker.symbol, since=since)
            except ExchangeError as error:
                reason = str(error)
                log.warning("feed=%s symbol=%s gap not read yet: %s", self._dialect.url, tracker.symbol, error)
                await asyncio.sleep(min(self.times.first_pause_s * 2**attempt, self.times.longest_pause_s))
            else:
                return told if tracker.gap_number == number else None
        if tracker.gap_number == number:
            self._tell_all(GapUnfilled(tracker.symbol, since, reason))
            self._close_gap(tracker, ())
            tracker.confirm(number)
        return None

    def _close_gap(self, tracker: TradeTracker, missed: Sequence[MarketTrade]) -> None:
        for trade, is_late in tracker.end_gap(missed):
            self._tell(TradeSeen(trade, is_late=is_late))

    # --- watching ---
    async def _watch(self) -> None:
        """Probe silence, tell of it, and cut a connection that only pretends to be one."""
        pause = min(self.times.probe_after_s, self.times.stale_after_s) / 4
        while True:
            slept_from = self._monotonic()
            await asyncio.sleep(pause)
            if self._monotonic() - slept_from > 2 * pause:
                continue  # this process was held up: what waits in the socket is read before silence is judged
            if not self.topics:
                self._heard_at = self._monotonic()
                continue
            silent_for_s = self.silent_for_s
            if silent_for_s > self.times.stale_after_s:
                self._go_stale(silent_for_s)
            elif silent_for_s > self.times.probe_after_s and not self._was_probed:
                await self._probe()

    async def _probe(self) -> None:
        self._was_probed, self._probed_at = True, self._monotonic()
        if self._socket is not None:
            with contextlib.suppress(WebSocketException):  # it has ended meanwhile
                for frame in self._dialect.probe(self.topics):
                    await self._socket.send(frame)

    def _go_stale(self, silent_for_s: float) -> None:
        if not self.is_stale:
            self.is_stale = True
            reason = "connected, but silent" if self._socket is not None else "not connected"
            log.warning("feed=%s stale for %.1f s: %s", self._dialect.url, silent_for_s, reason)
            self._tell_all(FeedStale(silent_for_s, reason))
        # A new connection gets as long to say something.
        if self._socket is not None and self._monotonic() - self._connected_at > self.times.stale_after_s:
            self._socket.transport.abort()

    # --- telling ---
    def _tell(self, event: MarketEvent) -> None:
        for subscription in self._subscriptions:
            if event.topic in subscription.topics:
                subscription.put(event)

    def _tell_all(self, event: FeedEvent) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)
