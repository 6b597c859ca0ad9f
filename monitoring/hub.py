"""News arriving at this web process: the receiving half of `live`. One subscription serves every open dashboard.

away → listening → away: Redis may vanish at any moment. Pages are told, live on snapshots meanwhile, and get a fresh one when
news flows again, because what was published in between is lost.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any, Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitoring import live
from monitoring.snapshots import SharedSnapshots

SILENCE_S = 5.0  # without news for so long, the connection is probed
RETRY_S = (0.25, 0.5, 1.0, 2.0, 5.0)
EVERYONE = "all"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class News:
    """One event on its way to pages. text: the event as JSON, encoded once for all of them."""

    event: dict[str, Any]
    text: str


class Listener(Protocol):
    """An open page."""

    def push(self, news: News) -> None:
        """Take an event without waiting."""

    def refresh(self) -> None:
        """News may have been lost or begin to flow: take a fresh snapshot."""


def group_of(user_pk: int) -> str:
    """The group of the dashboards of one user."""
    return f"user.{user_pk}"


class Hub:
    """Groups of listeners on one event loop, and the task that feeds them."""

    def __init__(self) -> None:
        self.cause = "connecting"
        self.snapshots = SharedSnapshots()
        self._groups: dict[str, set[Listener]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_live(self) -> bool:
        """Whether news flows."""
        return not self.cause

    def join(self, group: str, listener: Listener) -> None:
        """Deliver the news of `group` to `listener` from now on."""
        self._groups.setdefault(group, set()).add(listener)
        if self._task is None or self._task.done():
            self.cause = "connecting"
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, group: str, listener: Listener) -> None:
        """Deliver nothing more to `listener`."""
        self._groups.get(group, set()).discard(listener)

    def _listeners(self) -> set[Listener]:
        return set().union(*self._groups.values())

    async def _run(self) -> None:
        attempt = 0
        while self._listeners():
            try:
                async with _client() as client, client.pubsub() as subscription:
                    await subscription.subscribe(live.CHANNEL)
                    attempt = 0
                    await self._listen(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                self._become(f"Redis: {type(error).__name__}")
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1

    async def _listen(self, subscription: Any) -> None:
        while self._listeners():
            message = await subscription.get_message(timeout=SILENCE_S)
            if message is None:
                await asyncio.wait_for(subscription.ping(), 1.0)
                message = await subscription.get_message(timeout=SILENCE_S)
                if message is None:
                    raise TimeoutError("Redis does not answer")
            self._become("")
            if message["type"] == "message":
                self._deliver(message["data"])

    def _become(self, cause: str) -> None:
        changed, self.cause = bool(cause) != bool(self.cause), cause
        if changed:
            logger.log(logging.WARNING if cause else logging.INFO, "live updates %s", f"are away: {cause}" if cause else "flow")
            for listener in self._listeners():
                listener.refresh()

    def _deliver(self, data: bytes) -> None:
        try:
            news = json.loads(data)
            owner, event = news["user"], news["event"]
            groups = tuple(self._groups) if owner is None else (EVERYONE, group_of(owner))
            is_lost = event["type"] == live.LOST
        except (ValueError, TypeError, KeyError):
            logger.warning("a message on %s was not ours and is ignored", live.CHANNEL)
            return
        told = News(event=event, text=json.dumps(event))
        for listener in set().union(*(self._groups.get(group, ()) for group in groups)):
            if is_lost:
                listener.refresh()
            else:
                listener.push(told)


def _client() -> redis.asyncio.Redis:
    # No silent retry: what is published while it reconnects is lost, and the pages must know.
    retry = Retry(NoBackoff(), 0)
    return redis.asyncio.Redis.from_url(live.redis_url(), socket_connect_timeout=1.0, retry=retry)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def running() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    for closed in [known for known in _hubs if known.is_closed()]:
        del _hubs[closed]
    return _hubs.setdefault(loop, Hub())
