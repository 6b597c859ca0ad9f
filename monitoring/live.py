"""News on its way to open dashboards: the sending half. `hub` is the receiving one.

Signals arrive after commit, in whatever process wrote the row: web, worker, gateway, a command. A background thread reads the
row and publishes it through Redis, so the writer neither waits nor fails. Publishing is at most once. What could not be published
is owed: as soon as Redis answers again, one `lost` event has every page take a fresh snapshot.
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django.dispatch import Signal
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitoring import events, selectors
from monitoring.background import Background
from risk.signals import kill_switch_changed
from trading import signals

CHANNEL = "dgbot:dashboard"
LOST = "lost"  # an event's type: news before it did not arrive
TIMEOUT_S = 0.5
PAUSE_S = 2.0  # after a failure nothing is tried for so long: a dead Redis must not be asked for every fill

SOURCES: tuple[tuple[Signal, Callable[[int], Any]], ...] = (
    (signals.bot_changed, selectors.changed_bot),
    (signals.cycle_finished, selectors.finished_cycle),
    (signals.decision_made, selectors.made_decision),
    (signals.order_changed, selectors.moved_order),
    (signals.trade_recorded, selectors.recorded_trade),
    (signals.position_changed, selectors.changed_position),
    (signals.snapshot_taken, selectors.valued_account),
    (kill_switch_changed, selectors.changed_kill_switch),
)

logger = logging.getLogger(__name__)


class Publisher:
    """Reads changed rows and publishes them for their owners."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._silent_until = 0.0
        self.dropped: Callable[[], int] = lambda: 0  # what the queue could not hold so far
        self._dropped_told = 0
        self.owes = False  # something was not published, and pages do not know yet

    def handle(self, batch: list[tuple[Callable[[int], Any], int]]) -> None:
        """Publish each (reader, primary key) of `batch` once, in order, and whatever is owed. Never raises.

        An empty batch comes while there is something owed and nothing new.
        """
        if self.dropped() != self._dropped_told:
            self.owes, self._dropped_told = True, self.dropped()
        for read, pk in [(_lost, 0)] * self.owes + list(dict.fromkeys(batch)):
            if time.monotonic() < self._silent_until:
                self.owes = True
                return
            try:
                self._publish(read(pk))
                self.owes = self.owes and read is not _lost
            except (redis.RedisError, OSError) as error:
                self._fail("dashboards get no news: Redis: %s", error)
            except DatabaseError as error:
                connections.close_all()
                self._fail("dashboards get no news: PostgreSQL: %s", error)
            except Exception:
                logger.exception("reader=%s pk=%s could not be told to dashboards", read.__name__, pk)

    def _publish(self, told: Any) -> None:
        if told is None:
            return
        owner, news = told
        for event in news if isinstance(news, list) else [news]:
            self._connected().publish(CHANNEL, json.dumps({"user": owner, "event": event}))

    def _connected(self) -> redis.Redis:
        if self._client is None:
            retry = Retry(NoBackoff(), 1)  # once: the connection may have gone stale since the last news
            self._client = redis.Redis.from_url(redis_url(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry)
        return self._client

    def _fail(self, message: str, error: Exception) -> None:
        logger.warning(message, error)
        self.owes = True
        self._silent_until = time.monotonic() + PAUSE_S


def _lost(_pk: int) -> tuple[None, dict[str, str]]:
    return None, {"type": LOST, "as_of": events.now_text()}


publisher = Publisher()
background = Background("dashboard news", publisher.handle, has_more=lambda: publisher.owes)
publisher.dropped = lambda: background.dropped
_is_muted = False


def redis_url() -> str:
    """Where news travels."""
    return settings.NEWS_URL


def mute() -> None:
    """Tell dashboards nothing from this process. A replay calls it: its accounts are hidden and its rows many."""
    global _is_muted  # noqa: PLW0603  one switch per process
    _is_muted = True


def connect() -> None:
    """Listen to the news of trading and risk."""
    for signal, read in SOURCES:
        signal.connect(_receiver(read), weak=False, dispatch_uid=f"dashboard {read.__name__}")


def _receiver(read: Callable[[int], Any]) -> Callable[..., None]:
    def receive(*, pk: int, **_: Any) -> None:
        if not _is_muted:
            background.put((read, pk))

    return receive
