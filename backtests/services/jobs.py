"""How a job is taken, held, given back and ended: `jobs.claim(...)`, `held.renew(...)`, `held.end(...)`.

Two workers meet at one UPDATE. The lease lies on PostgreSQL's clock; its holder renews it while it computes, and a holder that is
certainly dead, because its process was on this machine and is gone, holds nothing. Whoever takes over raises the epoch, and every later
word of the old holder meets `epoch = …` in its WHERE and changes nothing.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce

from backtests.models import Job, JobStatus
from backtests.signals import job_died
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder as this_process
from dgbot.base.machine import is_dead
from dgbot.core.errors import BadInput

ORPHANED_AFTER = timedelta(seconds=5)  # between two slices nobody holds a job; for longer than this its message was lost
FORGOTTEN_AFTER = timedelta(seconds=60)  # a job that has waited for so long is queued once more: its message may be lost

# A holder that neither gave the job back nor renewed its lease was lost: that counts as a failed attempt.
CLAIM = """
UPDATE {table} SET
    status = 'running', epoch = epoch + 1, holder = %(holder)s, retry_at = NULL,
    attempts = attempts + CASE WHEN status = 'running' AND holder <> '' THEN 1 ELSE 0 END,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second',
    started_at = COALESCE(started_at, clock_timestamp())
WHERE id = %(pk)s AND (
    (status = 'queued' AND (retry_at IS NULL OR retry_at <= clock_timestamp()))
    OR (status = 'running' AND (holder = '' OR holder = %(dead)s OR lease_until < clock_timestamp()))
)
RETURNING epoch, attempts
"""

RENEW = """
UPDATE {table} SET
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second',
    progress_done = GREATEST(progress_done, LEAST(%(done)s, progress_total))
WHERE id = %(pk)s AND epoch = %(epoch)s AND status IN ('running', 'cancelling')
RETURNING status, extract(epoch FROM clock_timestamp() - started_at)
"""

Word = Literal["go on", "cancelled", "lost", "too long"]


class JobStopped(Exception):
    """Whoever computes shall stop: the job was cancelled, taken over or is over its limit. `word` says which."""

    def __init__(self, word: Word) -> None:
        super().__init__(word)
        self.word = word


@dataclass
class Held:
    """A job in our hands. attempts: failed ones before this. renewed_s: when it was renewed last, by the clock of durations."""

    model: type[Job]
    pk: int
    epoch: int
    attempts: int
    renewed_s: float = field(default_factory=time.monotonic)

    def renew(self, *, done: int = 0) -> Word:
        """Keep the job and tell how far it is, never backwards. What comes back says whether to go on."""
        with connection.cursor() as cursor:
            cursor.execute(
                RENEW.format(table=self.model._meta.db_table),
                {"pk": self.pk, "epoch": self.epoch, "done": done, "lease_s": settings.RUN_LEASE_S},
            )
            found = cursor.fetchone()
        self.renewed_s = time.monotonic()
        if found is None:
            return "lost"
        status, worked_s = found
        if status == JobStatus.CANCELLING:
            return "cancelled"
        return "too long" if float(worked_s) > settings.RUN_LIMIT_S else "go on"

    def check(self, *, done: int = 0) -> None:
        """Renew, and raise JobStopped unless we may go on."""
        word = self.renew(done=done)
        if word != "go on":
            raise JobStopped(word)

    def give_back(self, **changes: Any) -> bool:
        """Let another worker go on with it; `changes` are columns, such as a checkpoint. Whether it was still ours."""
        return self._move(JobStatus.RUNNING, to=JobStatus.RUNNING, holder="", lease_until=ClockTimestamp(), **changes)

    def finish(self, **changes: Any) -> bool:
        """Ended well. Whether it was still ours, and not cancelled meanwhile: else the caller's transaction must be undone."""
        return self._end(JobStatus.FINISHED, **changes)

    def fail(self, reason: str) -> bool:
        """What was asked for cannot be done."""
        return self._end(JobStatus.FAILED, reason=reason)

    def stopped(self, word: Word) -> None:
        """After a renewal that forbade to go on."""
        if word == "cancelled":
            self._end(JobStatus.CANCELLED, source=JobStatus.CANCELLING)
        elif word == "too long":
            self.die(f"It has worked for longer than {settings.RUN_LIMIT_S:g} s; ask for less, or raise DGBOT_RUN_LIMIT_S.")

    def try_later(self, reason: str) -> float | None:
        """Something failed that may pass: once more after a pause, its seconds; None when that was the last attempt."""
        attempts = self.attempts + 1
        if attempts >= settings.RUN_ATTEMPTS:
            self.die(f"Given up after {attempts} attempts: {reason}")
            return None
        pause_s: float = settings.RUN_RETRY_S * 2**self.attempts
        self._move(
            JobStatus.RUNNING,
            to=JobStatus.QUEUED,
            reason=reason,
            attempts=attempts,
            holder="",
            lease_until=None,
            retry_at=ClockTimestamp() + timedelta(seconds=pause_s),
        )
        return pause_s

    def die(self, reason: str) -> None:
        """Give the job up: it waits among the dead for an operator, who is told."""
        if self._end(JobStatus.DEAD, reason=reason):
            transaction.on_commit(lambda: job_died.send_robust(sender=self.model, pk=self.pk))

    def _end(self, status: JobStatus, *, source: JobStatus = JobStatus.RUNNING, **changes: Any) -> bool:
        changes.setdefault("reason", "")
        return self._move(source, to=status, holder="", lease_until=None, finished_at=ClockTimestamp(), **changes)

    def _move(self, source: JobStatus, *, to: JobStatus, **changes: Any) -> bool:
        mine = self.model._default_manager.filter(pk=self.pk, epoch=self.epoch, status=source)
        return bool(mine.update(status=to, **changes))


def claim(model: type[Job], pk: int) -> Held | None:
    """Take a job that waits, or that its holder has lost. None: it has ended, is held, or is not due yet.

    A job whose workers were lost too often is given up here: what kills every worker must not kill them all.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM.format(table=model._meta.db_table),
            {"pk": pk, "holder": this_process(), "lease_s": settings.RUN_LEASE_S, "dead": _dead_holder(model, pk)},
        )
        found = cursor.fetchone()
    if found is None:
        return None
    held = Held(model, pk, epoch=found[0], attempts=found[1])
    if held.attempts >= settings.RUN_ATTEMPTS:
        held.die(f"Given up: its worker was lost {held.attempts} times; perhaps it needs more memory than there is.")
        return None
    return held


def cancel(model: type[Job], pk: int) -> bool:
    """End a job before its time. Whether it will end: False when it has ended already. Who holds it stops within two seconds."""
    now = {"finished_at": ClockTimestamp(), "retry_at": None}
    jobs = model._default_manager.filter(pk=pk)
    if jobs.filter(status=JobStatus.QUEUED).update(status=JobStatus.CANCELLED, **now):
        return True
    if jobs.filter(status=JobStatus.RUNNING).update(status=JobStatus.CANCELLING):
        settle_cancelled(model, pk)
        return True
    return jobs.filter(status__in=(JobStatus.CANCELLING, JobStatus.CANCELLED)).exists()


def settle_cancelled(model: type[Job], pk: int) -> bool:
    """End a job that is being cancelled and that nobody holds any more."""
    left = Q(holder="") | Q(lease_until__lt=ClockTimestamp())
    dead = _dead_holder(model, pk)
    if dead:
        left |= Q(holder=dead)
    ended = model._default_manager.filter(left, pk=pk, status=JobStatus.CANCELLING)
    return bool(ended.update(status=JobStatus.CANCELLED, holder="", lease_until=None, finished_at=ClockTimestamp()))


def retry(model: type[Job], pk: int) -> None:
    """Let a job that was given up begin anew, with all its attempts. Raises BadInput for one in another state."""
    again = model._default_manager.filter(pk=pk, status=JobStatus.DEAD)
    if not again.update(status=JobStatus.QUEUED, attempts=0, finished_at=None, started_at=None, retry_at=None):
        job = model._default_manager.get(pk=pk)
        raise BadInput(f"{job} is {job.get_status_display()}; only what was given up can be retried.")


def orphans(model: type[Job]) -> list[int]:
    """Jobs nobody works on though they are due: their message was lost, or their worker. Those being cancelled are ended here.

    Each is marked, so that a long queue is not filled again and again with the same.
    """
    for pk in model._default_manager.filter(status=JobStatus.CANCELLING).values_list("pk", flat=True):
        settle_cancelled(model, pk)
    now, told = ClockTimestamp(), Coalesce("lease_until", "requested_at")
    waiting = Q(status=JobStatus.QUEUED) & (Q(retry_at__lt=now) | Q(retry_at__isnull=True, told__lt=now - FORGOTTEN_AFTER))
    free = Q(status=JobStatus.RUNNING) & (Q(holder="", lease_until__lt=now - ORPHANED_AFTER) | (~Q(holder="") & Q(lease_until__lt=now)))
    due = model._default_manager.annotate(told=told).filter(waiting | free).order_by("requested_at").values_list("pk", flat=True)
    held = model._default_manager.filter(status=JobStatus.RUNNING).exclude(holder="").values_list("pk", "holder")
    found = list(dict.fromkeys([*due[:MOST_ORPHANS], *_whose_holder_is_dead(held)]))
    model._default_manager.filter(pk__in=found, holder="", finished_at__isnull=True).update(lease_until=now, retry_at=None)
    return found


MOST_ORPHANS = 200  # messages one look may send; the next one comes soon


def _whose_holder_is_dead(held: Iterable[tuple[int, str]]) -> list[int]:
    return [pk for pk, name in held if is_dead(name)]


def _dead_holder(model: type[Job], pk: int) -> str | None:
    """The name of its holder when that process is certainly gone. Names are never used twice, so it may be compared later."""
    name = model._default_manager.filter(pk=pk).values_list("holder", flat=True).first()
    return name if name and is_dead(name) else None
