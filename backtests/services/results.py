"""Results are kept and read here: `results.keep(...)` once a job is done, `results.read(run)` ever after.

Nobody else opens a result file. A reading compares the SHA-256 of each file with the one that was stored; what does not match is
written down at the file, told in one sentence and never handed out.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db.models import F, Q

from backtests.models import BacktestRun, JobStatus, ResultFile, ResultKind, ResultPlace, Sweep
from backtests.storage import places, tables
from backtests.storage.places import ResultDamaged, StorageUnavailable
from backtests.storage.tables import Curve, FillTable, Tables, TradeTable
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A finished run as it was stored.

    metrics: by the names of `engine.metrics.Metrics`, None unknown. summary: candles, markets, costs, gates, trials, Monte Carlo,
    promotion, as `runs` wrote it. equity, trades, fills: arrays, see `storage.tables`. cash: quote currency at the start.
    """

    run: BacktestRun
    metrics: dict[str, Any]
    summary: dict[str, Any]
    cash: float
    equity: Curve
    trades: TradeTable
    fills: FillTable


def read(run: BacktestRun) -> StoredResult:
    """The whole result of a run, every file proven by its SHA-256.

    Raises BadInput when there is none (not finished, or removed after its time), ResultDamaged when a file is not what was stored,
    StorageUnavailable when the place does not answer. Each says so in one sentence for the operator.
    """
    _check_there(run)
    return StoredResult(
        run=run,
        metrics=run.metrics,
        summary=run.summary,
        cash=float(run.summary["cash"]),
        equity=tables.decode_curve(content(run, ResultKind.EQUITY)),
        trades=tables.decode_trades(content(run, ResultKind.TRADES)),
        fills=tables.decode_fills(content(run, ResultKind.FILLS)),
    )


def content(job: BacktestRun | Sweep, kind: ResultKind) -> bytes:
    """One file of a job as stored, proven, such as for a download. Raises as `read` does."""
    file = job.files.filter(kind=kind).first()
    if file is None:
        raise BadInput(_why_missing(job))
    return _proven(file)


def keep(job: BacktestRun | Sweep, files: dict[ResultKind, tuple[bytes, int]]) -> list[ResultFile]:
    """Store the files of a job (contents and number of rows each), in the bucket or, while that is away, here. Returns unsaved rows.

    The caller writes the rows in the transaction that finishes the job: without it nobody knows the files, and the clean-up takes
    them. Raises StorageUnavailable when not even the local folder takes them.
    """
    now, mark = machine_now(), uuid4().hex[:8]
    return [_kept(job, kind, contents, rows=rows, now=now, mark=mark) for kind, (contents, rows) in files.items()]


def forget(kept: list[ResultFile]) -> None:
    """Remove files of a job that was cancelled or taken over at the last moment. What is left, the clean-up takes."""
    for file in kept:
        try:
            places.remove(file.name, in_bucket=file.place == ResultPlace.BUCKET)
        except StorageUnavailable as error:
            logger.warning("result file %s belongs to nobody and is left for the clean-up: %s", file.name, error)


def files_of(made: Tables) -> dict[ResultKind, tuple[bytes, int]]:
    """The three files of a run."""
    return {
        ResultKind.EQUITY: (tables.encode(made.equity), len(made.equity)),
        ResultKind.TRADES: (tables.encode(made.trades), len(made.trades)),
        ResultKind.FILLS: (tables.encode(made.fills), len(made.fills)),
    }


def upload_waiting(*, most: int = 100) -> tuple[int, int]:
    """Move what lies here into the bucket, oldest first. Returns how many were moved and how many still wait.

    A copy here is removed after the row names the bucket's: a crash between the two leaves one file too many, never one too few.
    """
    if not places.has_bucket():
        return 0, 0
    waiting = ResultFile.objects.filter(place=ResultPlace.LOCAL, is_damaged=False).order_by("stored_at", "pk")
    moved = 0
    for file in waiting[:most]:
        try:
            stored = places.store(file.name, _proven(file), in_bucket=True)
        except ResultDamaged:
            continue  # told and marked; the others need not wait for it
        except StorageUnavailable as error:
            ResultFile.objects.filter(pk=file.pk).update(uploads_failed=F("uploads_failed") + 1, trouble=str(error))
            break
        ResultFile.objects.filter(pk=file.pk).update(place=ResultPlace.BUCKET, name=stored.name, uploads_failed=0, trouble="")
        places.remove(file.name, in_bucket=False)
        moved += 1
    return moved, waiting.count()


def expire(*, before: datetime) -> int:
    """Remove the files of jobs that finished before `before` (machine time) and are not pinned. Returns how many jobs lost theirs.

    Metadata and metrics stay. A job is marked first, so that a pin comes in time or is refused; what the storage does not let go is
    tried again at the next call.
    """
    expired = 0
    for model in (BacktestRun, Sweep):
        old = model.objects.filter(finished_at__lt=before, is_pinned=False, expired_at__isnull=True)
        expired += old.update(expired_at=ClockTimestamp())
    for file in ResultFile.objects.filter(Q(run__expired_at__isnull=False) | Q(sweep__expired_at__isnull=False)):
        try:
            places.remove(file.name, in_bucket=file.place == ResultPlace.BUCKET)
        except StorageUnavailable as error:
            logger.warning("result file %s is kept for now: %s", file.name, error)
            break
        file.delete()
    return expired


def pin(job: BacktestRun | Sweep, *, is_pinned: bool) -> None:
    """Keep a result beyond its time, or no longer. Raises BadInput for one that has been removed."""
    changed = type(job).objects.filter(pk=job.pk, expired_at__isnull=True).update(is_pinned=is_pinned)
    if not changed:
        raise BadInput(f"The result of {job} has been removed, so it cannot be pinned; run it again.")


def sweep_up(*, older_than: timedelta = timedelta(days=1)) -> int:
    """Remove local files that no row names: a worker died between storing and finishing. Returns how many."""
    named = set(ResultFile.objects.filter(place=ResultPlace.LOCAL).values_list("name", flat=True))
    removed = 0
    for name, written_at in places.local_files():
        if name not in named and machine_now() - written_at > older_than:
            places.remove(name, in_bucket=False)
            removed += 1
    return removed


def _proven(file: ResultFile) -> bytes:
    try:
        found = places.fetch(file.name, expected_sha256=file.sha256, in_bucket=file.place == ResultPlace.BUCKET)
    except ResultDamaged as error:
        logger.error("result file %s: %s", file.pk, error)
        ResultFile.objects.filter(pk=file.pk).update(is_damaged=True, trouble=str(error))
        raise
    if file.is_damaged:  # somebody put it right again
        ResultFile.objects.filter(pk=file.pk).update(is_damaged=False, trouble="")
    return found


def _kept(job: BacktestRun | Sweep, kind: ResultKind, contents: bytes, *, rows: int, now: datetime, mark: str) -> ResultFile:
    own = {"run": job} if isinstance(job, BacktestRun) else {"sweep": job}
    what = "run" if isinstance(job, BacktestRun) else "sweep"
    name, trouble = f"backtests/{now:%Y-%m-%d}/{what}-{job.pk}-{mark}-{kind}.parquet", ""
    stored, place = None, ResultPlace.LOCAL
    if places.has_bucket():
        try:
            stored, place = places.store(name, contents, in_bucket=True), ResultPlace.BUCKET
        except StorageUnavailable as error:
            trouble = str(error)
            logger.warning("result file %s waits here for the bucket: %s", name, error)
    if stored is None:
        stored = places.store(name, contents, in_bucket=False)
    return ResultFile(
        **own,
        kind=kind,
        name=stored.name,
        place=place,
        sha256=stored.sha256,
        size=stored.size,
        rows=rows,
        trouble=trouble,
        uploads_failed=int(bool(trouble)),
    )


def _check_there(run: BacktestRun) -> None:
    if run.status != JobStatus.FINISHED:
        raise BadInput(f"Backtest {run.pk} has no result: it is {run.get_status_display()}.")


def _why_missing(job: BacktestRun | Sweep) -> str:
    if job.expired_at is not None:
        return f"The result of {job.pk} was removed on {job.expired_at:%Y-%m-%d}; run it again, and pin it to keep its result."
    return f"{job.pk} has no such result file."
