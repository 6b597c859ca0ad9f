"""The scheduler: django-celery-beat's, ticking only while it holds a PostgreSQL advisory lock.

Two beats at once do no harm: one ticks, the other waits and takes over within seconds when the first dies, because
PostgreSQL releases the lock with the session.
"""

import logging
from typing import Any

import psycopg2
from django_celery_beat.schedulers import DatabaseScheduler

from dgbot.base.locks import connect_direct

LOCK_KEY = 0x6467_626F_7462  # "dgbotb"; any constant nobody else uses
WAIT_S = 2.0  # until a waiting beat asks again

logger = logging.getLogger(__name__)


class LockedScheduler(DatabaseScheduler):
    """A DatabaseScheduler of which only one ticks at a time."""

    _connection: Any = None

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due and return the seconds until the next look; without the lock, only wait."""
        if not self._is_leader():
            return WAIT_S
        return min(super().tick(*args, **kwargs), self.max_interval)

    def close(self) -> None:
        """Save the schedule and let go of the lock."""
        super().close()
        self._drop()

    def _is_leader(self) -> bool:
        """Whether this session holds the lock; asking also proves that the session still lives."""
        try:
            if self._connection is None:
                self._connection = connect_direct("beat lock")
                logger.info("beat is waiting for the scheduler lock")
            with self._connection.cursor() as cursor:
                return self._holds(cursor)
        except psycopg2.Error as error:
            logger.warning("beat lost its lock connection and will ask again: %s", error)
            self._drop()
            return False

    @staticmethod
    def _holds(cursor: Any) -> bool:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
            " OR pg_try_advisory_lock(%s)",  # asked only when not held: locks of one session count up
            [LOCK_KEY],
        )
        return bool(cursor.fetchone()[0])

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
