"""Downloads that operators and schedules ask for: a row each, worked off by whoever claims it, with its progress."""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from backtests.candles import archive
from backtests.candles.downloading import Progress
from backtests.models import CandleSync, SyncStatus
from backtests.services import candles
from dgbot.base.fields import ClockTimestamp
from dgbot.core.errors import BadInput, DgbotError, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource

LEASE = timedelta(seconds=120)  # without progress for so long its worker is dead and another may take over
BUDGET_S = 420.0  # then it makes way for others and is queued again; the task's hard limit is 600 s
TELL_EVERY_S = 1.0


def request(
    *, exchange: str, symbol: str, interval: Interval, until: datetime, since: datetime | None = None, by: Any = None
) -> tuple[CandleSync, bool]:
    """Ask for a download. Returns its row and whether it is new: a second request joins the one that waits or runs.

    Raises BadInput for names that cannot be.
    """
    archive.relative_path(exchange, symbol, interval)
    if since is not None and since >= until:
        raise BadInput(f"Nothing lies between {since.isoformat()} and {until.isoformat()}; give an earlier start.")
    try:
        with transaction.atomic():
            made = CandleSync.objects.create(exchange=exchange, symbol=symbol, interval=interval, since=since, until=until, requested_by=by)
            return made, True
    except IntegrityError:
        return CandleSync.objects.get(exchange=exchange, symbol=symbol, interval=interval, finished_at__isnull=True), False


def run(*, sync_pk: int, source: CandleSource, now: datetime, root: Path, page: int, budget_s: float = BUDGET_S) -> SyncStatus | None:
    """Work on a download. Returns where it stands then (WAITING: queue it again), None when another worker is at it.

    Harmless to call twice or after a crash. ExchangeUnavailable passes, with the row waiting and saying why; every other
    refusal ends the download with its reason.
    """
    sync = _claim(sync_pk)
    if sync is None:
        return _finished(sync_pk)
    ends_at, tell = time.monotonic() + budget_s, _Teller(sync)
    try:
        progress = candles.sync(
            source,
            root=root,
            exchange=sync.exchange,
            symbol=sync.symbol,
            interval=Interval(sync.interval),
            since=sync.since,
            until=sync.until,
            now=now,
            page=page,
            told=tell,
            must_stop=lambda: tell.is_over(ends_at),
        )
    except ExchangeUnavailable as error:
        _set(sync_pk, status=SyncStatus.WAITING, reason=str(error))
        raise
    except DgbotError as error:
        fail(sync_pk=sync_pk, reason=str(error))
        return SyncStatus.FAILED
    if not progress.is_complete:
        _set(sync_pk, status=SyncStatus.WAITING)
        return SyncStatus.WAITING
    _set(sync_pk, status=SyncStatus.DONE, finished_at=ClockTimestamp(), reason="")
    return SyncStatus.DONE


def fail(*, sync_pk: int, reason: str) -> None:
    """End a download that will not succeed. A finished one stays as it is."""
    _set(sync_pk, status=SyncStatus.FAILED, finished_at=ClockTimestamp(), reason=reason)


def _claim(sync_pk: int) -> CandleSync | None:
    free = Q(status=SyncStatus.WAITING) | Q(alive_at__isnull=True) | Q(alive_at__lt=ClockTimestamp() - LEASE)
    claimed = CandleSync.objects.filter(free, pk=sync_pk, finished_at__isnull=True).update(
        status=SyncStatus.RUNNING, alive_at=ClockTimestamp()
    )
    return CandleSync.objects.get(pk=sync_pk) if claimed else None


def _finished(sync_pk: int) -> SyncStatus | None:
    status = CandleSync.objects.filter(pk=sync_pk, finished_at__isnull=False).values_list("status", flat=True).first()
    return None if status is None else SyncStatus(status)


def _set(sync_pk: int, **values: Any) -> None:
    CandleSync.objects.filter(pk=sync_pk, finished_at__isnull=True).update(alive_at=ClockTimestamp(), **values)


class _Teller:
    """Writes progress into the row: what earlier runs did, plus this one's."""

    def __init__(self, sync: CandleSync) -> None:
        self._pk = sync.pk
        self._done, self._added, self._differing = sync.windows_done, sync.added, sync.differing
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        self._told_at = time.monotonic()
        _set(
            self._pk,
            windows_done=self._done + progress.windows_done,
            windows_total=self._done + progress.windows_total,
            added=self._added + progress.added,
            differing=self._differing + progress.differing,
        )

    def is_over(self, ends_at: float) -> bool:
        """Whether time is up. Asked after each answer, so it also keeps the row alive between two stored parts."""
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            _set(self._pk)
        return time.monotonic() > ends_at
