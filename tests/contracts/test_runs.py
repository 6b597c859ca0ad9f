"""Backtests as jobs: what is stored is what the engine said, whoever dies on the way; what was damaged is never shown."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError, transaction

from backtests.engine import Account, run
from backtests.models import MOVES, BacktestRun, JobStatus, ResultFile, Trial
from backtests.models.jobs import PAIRS
from backtests.services import jobs, results, runs
from backtests.services.slices import Next
from backtests.signals import job_died
from backtests.specs import run_spec as read_spec
from backtests.storage import places
from backtests.storage.places import ResultDamaged
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder, machine_now
from dgbot.core.errors import BadInput
from tests.factories import rows
from tests.run_factory import archive, run_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
DEAD = holder().rpartition(":")[0] + ":4194000"  # a process id nothing has


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def submitted(**changes: Any) -> BacktestRun:
    return runs.submit(spec=run_spec(**changes))


def finished(**changes: Any) -> BacktestRun:
    return runs.run_now(spec=run_spec(**changes))


def test_a_spec_comes_back_from_the_database_as_it_was() -> None:
    spec = run_spec("KRW-BTC", "KRW-ETH", parameters={"stop": 0.03}, hold_out=0.3)
    row = runs.submit(spec=spec)

    assert read_spec(BacktestRun.objects.get(pk=row.pk).spec) == spec


def test_a_finished_run_reads_back_as_the_engine_said_it_to_the_bit() -> None:
    candles, spec = archive(), run_spec(hold_out=0.3)

    row = runs.run_now(spec=spec)

    strategy, parameters = spec.chosen()
    said = run(candles, strategy, parameters, spec.markets[0].setup)
    stored = results.read(row)
    assert (row.status, row.progress) == ("finished", 1.0)
    assert stored.metrics == said.metrics.as_row()
    assert np.array_equal(stored.equity.equity, said.equity)
    assert np.array_equal(stored.equity.time, candles.open_time)
    assert np.array_equal(stored.trades.profit, said.trades.profit)
    assert list(stored.trades.exit_at) == list(candles.open_time[said.trades.exit_bar])
    assert np.array_equal(stored.fills.fee, said.fills.fee)
    assert set(stored.trades.symbol) == {"KRW-BTC"}
    assert stored.summary["promotion"]["trials"] == Trial.objects.count() == 1
    assert json.loads(json.dumps(stored.summary)) == stored.summary


def test_several_markets_on_one_cash_are_one_run_whose_parts_add_up() -> None:
    archive(symbol="KRW-BTC", seed=1)
    archive(symbol="KRW-ETH", seed=2)

    spec = run_spec("KRW-BTC", "KRW-ETH")
    stored = results.read(runs.run_now(spec=spec))

    assert [market["symbol"] for market in stored.summary["markets"]] == ["KRW-BTC", "KRW-ETH"]
    made = sum(market["profit"] for market in stored.summary["markets"])
    assert stored.equity.equity[-1] - stored.cash == pytest.approx(made)
    assert set(stored.fills.symbol) == {"KRW-BTC", "KRW-ETH"}
    assert np.all(np.diff(stored.fills.time) >= 0)
    assert Account.of(spec.markets[0].setup).cash == spec.cash


def test_a_market_without_candles_fails_with_one_sentence() -> None:
    row = finished()

    assert (row.status, row.attempts) == ("failed", 0)
    assert row.reason.startswith("The archive has no 1h candles of KRW-BTC at upbit")
    with pytest.raises(BadInput, match="has no result: it is failed"):
        results.read(row)


@pytest.mark.parametrize("kind", ["equity", "trades", "fills"])
def test_a_flipped_byte_is_reported_and_never_shown(kind: str) -> None:
    archive()
    row = finished()
    file = row.files.get(kind=kind)
    path = places.local_folder() / file.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ResultDamaged, match=r"is damaged: its SHA-256 is .* run the backtest again"):
        results.read(row)

    file.refresh_from_db()
    assert file.is_damaged
    assert "damaged" in file.trouble


def test_a_file_that_is_gone_is_reported_as_damage() -> None:
    archive()
    row = finished()
    (places.local_folder() / row.files.get(kind="trades").name).unlink()

    with pytest.raises(ResultDamaged, match="is gone"):
        results.read(row)


def test_a_run_goes_on_where_its_last_slice_ended() -> None:
    archive(count=400)
    row = submitted(permutations=400)
    seen = []

    while runs.work(run_pk=row.pk, slice_s=0.0).next is Next.AGAIN:
        row.refresh_from_db()
        seen.append((row.progress_done, len(row.checkpoint["permuted"])))

    row.refresh_from_db()
    assert row.status == "finished"
    assert row.summary["permutation"]["permutations"] == 400
    assert seen == sorted(seen)
    assert row.checkpoint == {}


def test_permuted_markets_are_the_same_in_one_slice_and_in_many() -> None:
    archive(count=400)
    once, pieces = submitted(permutations=300), submitted(permutations=300)

    runs.work(run_pk=once.pk, slice_s=60)
    while runs.work(run_pk=pieces.pk, slice_s=0.0).next is Next.AGAIN:
        pass

    once.refresh_from_db()
    pieces.refresh_from_db()
    assert once.summary["permutation"] == pieces.summary["permutation"]


def test_who_is_taken_over_changes_nothing_any_more() -> None:
    archive(count=400)
    row = submitted()
    slow = jobs.claim(BacktestRun, row.pk)
    BacktestRun.objects.filter(pk=row.pk).update(lease_until=ClockTimestamp() - timedelta(seconds=1))

    runs.work(run_pk=row.pk)

    assert slow is not None
    assert slow.renew(done=3) == "lost"
    assert not slow.finish(metrics={"total_return": 1})
    assert not slow.fail("too late")
    row.refresh_from_db()
    assert (row.status, row.epoch, row.attempts) == ("finished", 2, 1)


def test_what_a_dead_process_of_this_machine_held_is_taken_at_once() -> None:
    archive(count=400)
    row = submitted()
    assert jobs.claim(BacktestRun, row.pk) is not None
    assert runs.work(run_pk=row.pk).next is Next.NOTHING  # its holder lives

    BacktestRun.objects.filter(pk=row.pk).update(holder=DEAD)

    assert jobs.orphans(BacktestRun) == [row.pk]
    runs.work(run_pk=row.pk)
    row.refresh_from_db()
    assert row.status == "finished"


def test_what_kills_every_worker_is_given_up_and_told(settings: Any, django_capture_on_commit_callbacks: Any) -> None:
    archive(count=400)
    row, told = submitted(), []
    job_died.connect(lambda **news: told.append(news["pk"]), weak=False, dispatch_uid="test")

    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(settings.RUN_ATTEMPTS + 1):
            jobs.claim(BacktestRun, row.pk)
            BacktestRun.objects.filter(pk=row.pk, status="running").update(holder=DEAD)
    job_died.disconnect(dispatch_uid="test")

    row.refresh_from_db()
    assert (row.status, told) == ("dead", [row.pk])
    assert row.reason == "Given up: its worker was lost 3 times; perhaps it needs more memory than there is."

    jobs.retry(BacktestRun, row.pk)
    runs.work(run_pk=row.pk)
    row.refresh_from_db()
    assert (row.status, row.attempts, row.reason) == ("finished", 0, "")


def test_storage_that_fails_is_tried_again_with_longer_pauses_and_then_given_up(data_dir: Path, settings: Any) -> None:
    archive(count=400)
    (data_dir / "results").write_text("a file where the folder should be")
    row = submitted()
    pauses = []

    for _ in range(settings.RUN_ATTEMPTS):
        done = runs.work(run_pk=row.pk)
        pauses.append(done.pause_s)
        BacktestRun.objects.filter(pk=row.pk, status="queued").update(retry_at=machine_now())

    row.refresh_from_db()
    assert pauses == [10, 20, 0]
    assert row.status == "dead"
    assert row.reason.startswith("Given up after 3 attempts: The folder")


def test_what_waits_is_cancelled_at_once_and_what_runs_when_it_looks() -> None:
    archive(count=400)
    waiting, running = submitted(), submitted(permutations=5)
    held = jobs.claim(BacktestRun, running.pk)
    assert held is not None

    assert jobs.cancel(BacktestRun, waiting.pk)
    assert jobs.cancel(BacktestRun, running.pk)

    waiting.refresh_from_db()
    running.refresh_from_db()
    assert (waiting.status, running.status) == ("cancelled", "cancelling")
    assert not held.finish(metrics={"total_return": 1})
    word = held.renew()
    held.stopped(word)
    running.refresh_from_db()
    assert (word, running.status) == ("cancelled", "cancelled")
    assert runs.work(run_pk=running.pk).next is Next.NOTHING
    assert jobs.cancel(BacktestRun, running.pk)


def test_a_run_that_ended_is_not_cancelled() -> None:
    archive(count=400)

    assert not jobs.cancel(BacktestRun, finished().pk)


def test_who_works_for_too_long_is_given_up(settings: Any) -> None:
    archive(count=400)
    settings.RUN_LIMIT_S = 0.0
    row = submitted(permutations=5)

    runs.work(run_pk=row.pk)

    row.refresh_from_db()
    assert (row.status, row.reason) == ("dead", "It has worked for longer than 0 s; ask for less, or raise DGBOT_RUN_LIMIT_S.")


def test_old_results_go_and_pinned_ones_stay() -> None:
    archive(count=400)
    old, pinned, young = finished(), finished(), finished()
    results.pin(pinned, is_pinned=True)
    BacktestRun.objects.filter(pk__in=[old.pk, pinned.pk]).update(finished_at=machine_now() - timedelta(days=31))

    assert results.expire(before=machine_now() - timedelta(days=30)) == 1

    old.refresh_from_db()
    assert not old.files.exists()
    assert len(list(places.local_files())) == 6
    assert old.metrics
    with pytest.raises(BadInput, match=r"was removed on .* run it again"):
        results.read(old)
    with pytest.raises(BadInput, match="cannot be pinned"):
        results.pin(old, is_pinned=True)
    assert results.read(pinned).metrics == results.read(young).metrics


def test_files_nobody_names_are_swept_up_when_they_are_old(data_dir: Path) -> None:
    archive(count=400)
    row = finished()
    places.store("backtests/2026-01-01/left.parquet", b"left", in_bucket=False)

    assert results.sweep_up() == 0
    assert results.sweep_up(older_than=timedelta(seconds=-60)) == 1
    assert len(list(places.local_files())) == row.files.count() == 3


def test_the_database_refuses_moves_the_table_does_not_know() -> None:
    archive(count=400)
    row = finished()

    for change in ({"status": "running", "finished_at": None}, {"progress_done": 1}, {"epoch": 0}, {"spec": {}}):
        with pytest.raises(DatabaseError), transaction.atomic():
            BacktestRun.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        ResultFile.objects.filter(run=row).update(sha256="no")


def test_the_guard_knows_the_same_moves_as_the_table() -> None:
    [[source]] = rows("SELECT prosrc FROM pg_proc WHERE proname = 'backtest_runs_guard'")

    assert all(f"('{before}','{after}')" in source for before, after in PAIRS)
    assert source.count("','") == len(PAIRS)
    assert set(MOVES) == set(JobStatus)
