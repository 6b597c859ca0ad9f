"""The scheduler: django-celery-beat's, ticking only while it holds a PostgreSQL advisory lock.

Two beats at once do no harm: one ticks, the other waits and takes over within seconds when the first dies, because
PostgreSQL releases the lock with the session. Whoever takes over reads every schedule anew.

Where it differs from django-celery-beat: it never writes a whole schedule back, so an operator's edit of the same second
survives; it looks at every enabled schedule, so that a daily job missed by hours is caught up once; any change counts that
moves the change mark, forwards or backwards; and an interval that drives cycles keeps to the full minutes and hours.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from celery import schedules
from django.db import close_old_connections
from django.db.models import Q
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from dgbot.base.locks import connect_direct

LOCK_KEY = 0x6467_626F_7462  # "dgbotb"; any constant nobody else uses
WAIT_S = 2.0  # until a waiting beat asks again
CYCLES = "trading.tasks.dispatch_schedule"

logger = logging.getLogger(__name__)


class AlignedInterval(schedules.schedule):  # type: ignore[misc]  # Celery is not typed
    """Due at the multiples of the period since 1970 (UTC), where slots lie, instead of one period after the last run."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Time until the first multiple after the last run; negative when it has passed."""
        period_s: float = self.run_every.total_seconds()  # type: ignore[attr-defined]
        next_at = (last_run_at.timestamp() // period_s + 1) * period_s
        return timedelta(seconds=next_at - self.now().timestamp())

    def is_due(self, last_run_at: datetime) -> Any:
        """Whether it is due, and the seconds until it is due again."""
        remaining_s = self.remaining_estimate(last_run_at).total_seconds()
        if remaining_s > 0:
            return schedules.schedstate(is_due=False, next=remaining_s)
        return schedules.schedstate(is_due=True, next=self.remaining_estimate(self.now()).total_seconds())


class Entry(ModelEntry):  # type: ignore[misc]  # django-celery-beat is not typed
    """One schedule, which writes back only what beat itself knows."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        super().__init__(model, app=app)
        if model.task == CYCLES and model.interval is not None:
            self.schedule = AlignedInterval(run_every=model.interval.schedule.run_every, app=self.app)

    def save(self) -> None:
        """Write the last run down, never backwards: a change of the plan has set it to its own instant."""
        row = PeriodicTask.objects.filter(Q(last_run_at=None) | Q(last_run_at__lt=self.model.last_run_at), pk=self.model.pk)
        row.update(last_run_at=self.model.last_run_at, total_run_count=self.model.total_run_count)

    def _disable(self, model: PeriodicTask) -> None:
        """Switch it off and leave the rest as it is in the database."""
        PeriodicTask.objects.filter(pk=model.pk).update(enabled=False)
        model.enabled = False


class LockedScheduler(DatabaseScheduler):
    """A DatabaseScheduler of which only one ticks at a time."""

    Entry = Entry
    _connection: Any = None
    _leads = False

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due and return the seconds until the next look; without the lock, only wait."""
        if not self._is_leader():
            return WAIT_S
        return min(super().tick(*args, **kwargs), self.max_interval)

    def enabled_models_qs(self) -> Any:
        """All of them. The original leaves out what has its hour far from now, and with it every late daily job."""
        return PeriodicTask.objects.filter(enabled=True).select_related("interval", "crontab", "solar", "clocked")

    def schedule_changed(self) -> bool:
        """Whether the change mark moved. Clocks of several machines write it, so any other value is news."""
        before = self._last_timestamp
        return bool(super().schedule_changed() or (before is not None and self._last_timestamp != before))

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
                holds = self._holds(cursor)
        except psycopg2.Error as error:
            logger.warning("beat lost its lock connection and will ask again: %s", error)
            self._drop()
            return False
        if holds and not self._leads:
            self._take_over()
        self._leads = holds
        return holds

    @staticmethod
    def _holds(cursor: Any) -> bool:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
            " OR pg_try_advisory_lock(%s)",  # asked only when not held: locks of one session count up
            [LOCK_KEY],
        )
        return bool(cursor.fetchone()[0])

    def _take_over(self) -> None:
        """What was read while waiting is old: another beat has run jobs since, and operators have changed plans."""
        close_old_connections()
        self._dirty.clear()
        self._last_timestamp = self.Changes.last_change()  # first the mark, then the rows: a change in between is seen again
        self._schedule = self.all_as_schedule()
        self._initial_read, self._last_full_sync = False, datetime.now()  # noqa: DTZ005  compared with a naive time by the original
        self._heap = None
        logger.info("beat holds the scheduler lock and reads %d schedules", len(self._schedule))

    def _drop(self) -> None:
        self._leads = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
