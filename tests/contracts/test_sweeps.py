"""Sweeps as jobs: cut into pieces that anybody may work off in any order, each counted once, ranked and judged at the end."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtests.models import SearchBatch, Sweep, SweepPiece, Trial
from backtests.services import jobs, results, sweeps
from backtests.services.slices import Next
from backtests.services.sweep_tables import heat_map
from backtests.specs import sweep_spec as read_spec
from backtests.storage import places
from backtests.storage.places import ResultDamaged
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder
from tests.run_factory import archive, sweep_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
DEAD = holder().rpartition(":")[0] + ":4194000"  # a process id nothing has


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    archive(count=4000)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "MOST_SETS_A_PIECE", 32)


def submitted(**changes: Any) -> Sweep:
    return sweeps.submit(spec=sweep_spec(**changes))


def worked(sweep: Sweep) -> Sweep:
    while sweeps.work(sweep_pk=sweep.pk).next is Next.AGAIN:
        pass
    sweep.refresh_from_db()
    return sweep


def test_a_sweep_ends_with_every_set_ranked_judged_and_counted() -> None:
    sweep = worked(submitted(sets=128))

    assert (sweep.status, sweep.progress_done) == ("finished", 129)
    ranked = sweeps.points(sweep)
    known = ranked["score"][np.isfinite(ranked["score"])]
    assert sorted(ranked["set"]) == list(range(128))
    assert np.all(np.diff(known) <= 0)
    found = sweep.search.result
    assert found["best"][0]["score"] == pytest.approx(known[0])
    assert found["walk_forward"]["folds"] == 2
    assert len(found["walk_forward"]["each"]) == 2
    assert Trial.objects.count() >= 128
    assert sum(batch.sets for batch in SearchBatch.objects.all()) == 128
    assert set(sweep.importance) <= set(sweeps.space(sweep))
    assert not SweepPiece.objects.filter(table__isnull=False).exists()


def test_pieces_worked_off_in_any_order_find_what_one_worker_finds() -> None:
    one, other = submitted(sets=96), submitted(sets=96)
    worked(one)
    sweeps.work(sweep_pk=other.pk)
    SweepPiece.objects.filter(sweep=other, first_set=0).update(holder="elsewhere", lease_until=ClockTimestamp() + timedelta(hours=1))
    sweeps.work(sweep_pk=other.pk)
    SweepPiece.objects.filter(sweep=other, first_set=0).update(holder="", lease_until=None)

    worked(other)

    left, right = sweeps.points(one), sweeps.points(other)
    assert all(np.array_equal(left[name], right[name], equal_nan=True) for name in left)


def test_what_a_killed_worker_held_is_done_by_the_next_and_counted_once() -> None:
    sweep = submitted(sets=96)
    sweeps.work(sweep_pk=sweep.pk)
    sweep.refresh_from_db()
    lost = sweeps._take(sweep)
    assert lost is not None
    SweepPiece.objects.filter(pk=lost.pk).update(holder=DEAD)

    worked(sweep)
    late = sweeps._evaluated(sweep, lost, jobs.Held(Sweep, sweep.pk, epoch=sweep.epoch, attempts=0))

    assert late.next is Next.NOTHING
    sweep.refresh_from_db()
    assert (sweep.status, sweep.progress_done) == ("finished", 97)
    assert sum(batch.sets for batch in SearchBatch.objects.all()) == 96


def test_a_cancelled_sweep_ends_at_once_and_takes_nothing_more() -> None:
    sweep = submitted(sets=96)
    sweeps.work(sweep_pk=sweep.pk)
    sweep.refresh_from_db()
    under_way = sweeps._take(sweep)
    assert under_way is not None

    assert jobs.cancel(Sweep, sweep.pk)
    sweeps._evaluated(sweep, under_way, jobs.Held(Sweep, sweep.pk, epoch=sweep.epoch, attempts=0))

    sweep.refresh_from_db()
    assert (sweep.status, sweep.progress_done) == ("cancelled", 0)
    assert not SearchBatch.objects.exists()
    assert sweeps.work(sweep_pk=sweep.pk).next is Next.NOTHING


def test_a_grid_tries_every_combination_once() -> None:
    grid = {"stop": [0.01, 0.02, 0.03], "run_bars": [2, 3]}
    ranges = {name: [value, value] for name, value in fixed(grid).items()} | {"stop": [0.01, 0.03], "run_bars": [2.0, 3.0]}

    sweep = worked(submitted(sampler="grid", grid=grid, sets=6, ranges=ranges, folds=0))

    found = sweeps.points(sweep)
    assert sweep.status == "finished"
    assert {(stop, bars) for stop, bars in zip(found["stop"], found["run_bars"], strict=True)} == {
        (s, b) for s in grid["stop"] for b in grid["run_bars"]
    }
    drawn = heat_map(found, x="stop", y="run_bars")
    assert (len(drawn["cells"]), len(drawn["cells"][0])) == (2, 3)


def test_proposed_sets_are_learned_from_piece_by_piece() -> None:
    sweep = worked(submitted(sampler="optuna", sets=80, folds=0))

    assert sweep.status == "finished"
    assert len(sweeps.points(sweep)["set"]) == 80


def test_too_few_candles_fail_with_one_sentence() -> None:
    sweep = worked(submitted(sets=16, folds=20))

    assert sweep.status == "failed"
    assert "candles are too few" in sweep.reason


def test_a_flipped_byte_in_the_ranking_is_reported_and_never_shown() -> None:
    sweep = worked(submitted(sets=32, folds=0))
    path = places.local_folder() / results.ResultFile.objects.get(sweep=sweep).name
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)

    with pytest.raises(ResultDamaged):
        sweeps.points(sweep)


def fixed(grid: dict[str, list[float]]) -> dict[str, float]:
    strategy, parameters = sweep_spec().run.chosen()
    return {name: float(getattr(parameters, name)) for name in strategy.parameters.bounds() if name not in grid}


def test_the_spec_comes_back_as_it_was() -> None:
    spec = sweep_spec(grid={"stop": [0.01, 0.02]}, sampler="grid", sets=2)

    assert read_spec(Sweep.objects.get(pk=sweeps.submit(spec=spec).pk).spec) == spec
