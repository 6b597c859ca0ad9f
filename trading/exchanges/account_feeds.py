"""Private feeds as doorbells: a message about an account's orders or money says "ask now", and nothing of it is believed.

    socket of an account ──► Feed ──► news of the account, ring ──► the gateway asks by REST

All accounts share one loop in one thread. News within a moment ring once; a line that was down rings when it is up again, since
what was said meanwhile is never said again.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from trading.exchanges.feed import Dialect, Feed, FeedTimes
from trading.exchanges.feed_events import BalancesSeen, Channel, FeedConnected, FeedEvent, FeedRefused, OrderSeen, PositionsSeen, Topic
from trading.exchanges.market_feed import Ear

log = logging.getLogger(__name__)

RING_EVERY_S = 0.2  # an order that fills in fifty parts is asked for a few times, not fifty
TOPICS = frozenset(Topic(channel) for channel in (Channel.ORDERS, Channel.BALANCES, Channel.POSITIONS))


@dataclass(eq=False)
class _Line:
    """One account's feed. key: what it was opened with; another one means another line."""

    account_id: int
    key: object
    feed: Feed
    task: asyncio.Task[None] | None = None
    rung_at: float = 0.0
    is_waiting: bool = False  # a ring is due in a moment
    refusal: str = ""


class AccountFeeds:
    """Follows accounts. ring: called from the loop's thread; must not wait for anybody. Methods may be called from any thread."""

    def __init__(self, *, ring: Callable[[], None], times: FeedTimes | None = None) -> None:
        self._ring, self._times = ring, times
        self._lines: dict[int, _Line] = {}
        self._news: set[int] = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="account-feeds", daemon=True)

    def follow(self, account_id: int, *, key: object, dialect: Callable[[], Dialect]) -> None:
        """Hear of an account from now on. Doing it again with the same key changes nothing."""
        with self._lock:
            known = self._lines.get(account_id)
            if known is not None and known.key is key:
                return
            line = self._lines[account_id] = _Line(account_id, key, Feed(dialect(), times=self._times))
            if self._thread.ident is None:
                self._thread.start()
        if known is not None:
            self._loop.call_soon_threadsafe(self._hang_up, known)
        self._loop.call_soon_threadsafe(self._dial, line)

    def forget_all_but(self, account_ids: set[int]) -> None:
        """Hang up everybody else's line."""
        with self._lock:
            gone = [self._lines.pop(account_id) for account_id in set(self._lines) - account_ids]
            self._news &= account_ids
        for line in gone:
            self._loop.call_soon_threadsafe(self._hang_up, line)

    def take_news(self, account_id: int) -> bool:
        """Whether something was said of this account since this was asked last."""
        with self._lock:
            is_news = account_id in self._news
            self._news.discard(account_id)
            return is_news

    def state(self) -> dict[str, object]:
        """For heartbeats: which accounts are followed, and which lines are silent."""
        lines = list(self._lines.values())
        return {"followed": [line.account_id for line in lines], "stale": [line.account_id for line in lines if line.feed.is_stale]}

    def close(self) -> None:
        """Hang up and end the thread."""
        self.forget_all_but(set())
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        elif self._thread.ident is None:
            self._loop.close()

    # --- The loop's thread ---
    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _dial(self, line: _Line) -> None:
        ear = Ear(topics=frozenset(), capacity=0, _close=lambda _ear: None, hear=lambda event: self._hear(line, event))
        line.feed.widen(ear, TOPICS)
        line.task = self._loop.create_task(line.feed.run())
        line.task.add_done_callback(lambda task: _complain(line, task))

    def _hang_up(self, line: _Line) -> None:
        if line.task is not None:
            line.task.cancel()

    def _hear(self, line: _Line, event: FeedEvent) -> None:
        if isinstance(event, FeedRefused):
            if event.reason != line.refusal:
                log.warning("account=%s private feed refused: %s", line.account_id, event.reason)
            line.refusal = event.reason
        elif isinstance(event, OrderSeen | BalancesSeen | PositionsSeen | FeedConnected):
            line.refusal = ""
            self._tell(line)

    def _tell(self, line: _Line) -> None:
        with self._lock:
            self._news.add(line.account_id)
        if line.is_waiting:
            return
        line.is_waiting = True
        self._loop.call_later(max(0.0, line.rung_at + RING_EVERY_S - time.monotonic()), self._ring_for, line)

    def _ring_for(self, line: _Line) -> None:
        line.is_waiting, line.rung_at = False, time.monotonic()
        self._ring()


def _complain(line: _Line, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("account=%s private feed ended; the sweep goes on without it", line.account_id, exc_info=task.exception())
