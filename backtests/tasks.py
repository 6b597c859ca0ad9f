"""Doors for Celery: ids in, one service call, safe to run twice."""

import logging
import sys
from datetime import timedelta
from typing import Any

from celery import Task, shared_task
from django.conf import settings

from backtests.models import BacktestRun, CandleSync, Sweep, SyncStatus
from backtests.selectors import archive_root
from backtests.services import jobs, results, runs, sweeps, syncs
from backtests.services.slices import Next
from dgbot.base.machine import machine_now
from dgbot.core.errors import DgbotError, ExchangeUnavailable, RateLimited
from trading.services.candle_sources import source_for, wanted_series

RETRIES = 5
FIRST_RETRY_S = 20.0  # then twice as long each time

logger = logging.getLogger(__name__)


@shared_task(bind=True, max_retries=RETRIES)
def sync_series(self: Task, sync_pk: int) -> None:
    """Work on one download; queue it again while there is more to do, and a few times when the exchange does not answer."""
    sync = CandleSync.objects.filter(pk=sync_pk, finished_at__isnull=True).first()
    if sync is None:
        return
    try:
        source = source_for(sync.exchange)
        status = syncs.run(sync_pk=sync_pk, source=source.candles, now=source.clock.now(), root=archive_root(), page=source.page)
    except ExchangeUnavailable as error:
        _try_later(self, sync_pk, error)
    except DgbotError as error:
        syncs.fail(sync_pk=sync_pk, reason=str(error))
    else:
        if status is SyncStatus.WAITING:
            sync_series.delay(sync_pk)
        elif status is None:  # another worker is at it; if it has died, its lease runs out
            raise self.retry(countdown=syncs.LEASE.total_seconds() + 5)


@shared_task
def report_kernels() -> dict[str, Any]:
    """Whether this worker's process had its kernels before the task came, and which of them it has compiled itself."""
    from backtests.engine import warm

    were_loaded = "backtests.engine.kernel" in sys.modules
    return {"were_loaded": were_loaded, "compiled": [name for name, misses in warm().items() if misses]}


@shared_task
def sync_daily() -> None:
    """Ask for what every bot's symbol, BTC and ETH lack since yesterday."""
    for exchange, symbol, interval in wanted_series():
        try:
            sync, _is_new = syncs.request(exchange=exchange, symbol=symbol, interval=interval, until=source_for(exchange).clock.now())
        except DgbotError as error:
            logger.warning("candles of %s %s %s are not downloaded: %s", exchange, symbol, interval, error)
            continue
        sync_series.delay(sync.pk)  # also when it was asked for before: its worker may have died


def _try_later(task: Any, sync_pk: int, error: ExchangeUnavailable) -> None:
    if task.request.retries >= RETRIES:
        syncs.fail(sync_pk=sync_pk, reason=f"given up after {RETRIES + 1} attempts: {error}")
        return
    pause = FIRST_RETRY_S * 2**task.request.retries
    raise task.retry(countdown=max(pause, error.retry_after_s) if isinstance(error, RateLimited) else pause, exc=error)


@shared_task
def run_backtest(run_pk: int) -> None:
    """A slice of a backtest; queue it again while there is more to do."""
    if runs.work(run_pk=run_pk).next is Next.AGAIN:
        run_backtest.delay(run_pk)


@shared_task
def work_on_sweep(sweep_pk: int) -> None:
    """A piece of a sweep; queue it again while there is more to do, by several workers once its pieces are cut."""
    done = sweeps.work(sweep_pk=sweep_pk)
    if done.next is Next.AGAIN:
        for _lane in range(done.lanes):
            work_on_sweep.delay(sweep_pk)


@shared_task
def watch_jobs() -> str | None:
    """Queue what nobody works on though it is due: a worker was killed, a message lost, a pause is over."""
    lost = [(run_backtest, pk) for pk in jobs.orphans(BacktestRun)] + [(work_on_sweep, pk) for pk in jobs.orphans(Sweep)]
    for task, pk in lost:
        task.delay(pk)
    return f"{len(lost)} queued again" if lost else None


@shared_task
def upload_results() -> str | None:
    """Move to the bucket what waits here for it."""
    moved, waiting = results.upload_waiting()
    return f"{moved} moved, {waiting} wait" if moved or waiting else None


@shared_task
def clean_up_results() -> str:
    """Remove results that are older than they are kept, and files nobody names."""
    expired = results.expire(before=machine_now() - timedelta(days=settings.RESULT_DAYS))
    return f"{expired} results removed, {results.sweep_up()} files nobody named"
