"""News on its way to open dashboards: the sending half. `hub` is the receiving one.

Signals arrive after commit, in whatever process wrote the row: web, worker, gateway, a command. A background thread reads the
row and publishes it through Redis, so the writer neither waits nor fails. Publishing is at most once; pages refresh anyway.
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

from monitoring import selectors
from monitoring.background import Background
from risk.signals import kill_switch_changed
from trading import signals

CHANNEL = "dgbot:dashboard"
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

    def handle(self, batch: list[tuple[Callable[[int], Any], int]]) -> None:
        """Publish each (reader, primary key) of `batch` once, in order. Never raises."""
        for read, pk in dict.fromkeys(batch):
            if time.monotonic() < self._silent_until:
                return
            try:
                self._publish(read(pk))
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
        self._silent_until = time.monotonic() + PAUSE_S


publisher = Publisher()
background = Background("dashboard news", publisher.handle)
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
