"""Backtests and sweeps through the real broker and real workers that are killed: each ends once, none hangs, progress never falls."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dgbot.env import BASE_DIR
from tests.faults.crew import Crew, crew_on
from tests.scale import only_in_full, scale

pytestmark = pytest.mark.timeout(1200)

RUNS, KILLS, CANCELLED = scale(sample=8, full=50), scale(sample=1, full=2), scale(sample=1, full=5)
PERMUTATIONS = scale(sample=150, full=600)  # some tenths of a second of work each, so that a kill meets them at work
SETS = scale(sample=512, full=10_000)
PATIENCE_S = 300

ENDINGS = "SELECT json_object_agg(status, count) FROM (SELECT status, count(*) AS count FROM backtest_runs GROUP BY status) AS told"
PROGRESS = "SELECT json_object_agg(id, progress_done) FROM backtest_runs"
OPEN = "SELECT count(*) FROM backtest_runs WHERE finished_at IS NULL"


def ask(crew: Crew, *words: object) -> Any:
    """Let a process of the platform do what a face does."""
    command = [sys.executable, "-m", "tests.faults.backtest_jobs", *(str(word) for word in words)]
    done = subprocess.run(command, env=crew.environment, cwd=BASE_DIR, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def told(crew: Crew, query: str) -> Any:
    return crew.sql(query)[0]


@only_in_full
def test_every_backtest_ends_once_though_workers_are_killed_and_some_are_cancelled(folder: Path) -> None:
    with crew_on(folder) as crew:
        crew.environment["DGBOT_RUN_LEASE_S"] = "4"
        crew.environment["DGBOT_RUN_ATTEMPTS"] = "20"
        ask(crew, "archive", 2000)
        pks = ask(crew, "submit", RUNS, PERMUTATIONS)
        crew.start("worker 1")
        crew.start("beat 1")
        seen: list[dict[str, int]] = []

        wait(crew, seen, until=lambda: max(seen[-1].values()) > 0)
        cancelled = ask(crew, "cancel", *pks[-CANCELLED:])
        for kill in range(KILLS):
            crew.kill("worker 1", with_children=True)
            crew.start("worker 1")
            if kill + 1 < KILLS:
                before = sum(seen[-1].values())
                wait(crew, seen, until=lambda before=before: sum(seen[-1].values()) > before + PERMUTATIONS)
        wait(crew, seen, until=lambda: told(crew, OPEN) == 0)

        assert cancelled == [True] * CANCELLED
        assert told(crew, ENDINGS) == {"finished": RUNS - CANCELLED, "cancelled": CANCELLED}
        assert told(crew, "SELECT count(*) FROM result_files") == 3 * (RUNS - CANCELLED)
        assert told(crew, "SELECT count(DISTINCT key) FROM research_trials") == 1  # one question, asked many times
        for before, after in pairwise(seen):
            assert all(after[pk] >= done for pk, done in before.items())
        print(f"{RUNS} runs, {crew.kills} kills, attempts: {told(crew, 'SELECT sum(attempts) FROM backtest_runs')}")  # noqa: T201


def test_a_sweep_ends_with_every_set_counted_once_though_its_worker_is_killed(folder: Path) -> None:
    with crew_on(folder) as crew:
        crew.environment["DGBOT_RUN_LEASE_S"] = "4"
        ask(crew, "archive", scale(sample=4000, full=17_520))
        crew.start("worker 1")
        crew.start("beat 1")
        pk = ask(crew, "sweep", SETS)
        done = f"SELECT progress_done FROM sweeps WHERE id = {pk}"
        seen = [0]

        deadline = time.monotonic() + PATIENCE_S
        while told(crew, f"SELECT finished_at IS NULL FROM sweeps WHERE id = {pk}"):
            seen.append(told(crew, done))
            if not crew.kills and seen[-1] > SETS // 4:
                crew.kill("worker 1", with_children=True)
                crew.start("worker 1")
            assert time.monotonic() < deadline, crew.sql(f"SELECT status, reason, progress_done FROM sweeps WHERE id = {pk}")
            time.sleep(0.05)

        assert crew.sql(f"SELECT status, progress_done FROM sweeps WHERE id = {pk}") == ("finished", SETS + 1)
        assert seen == sorted(seen)
        assert told(crew, "SELECT sum(sets) FROM research_search_batches") == SETS
        assert told(crew, "SELECT rows FROM result_files WHERE kind = 'sets'") == SETS
        columns = "count(*), avg(kernel_ms), extract(epoch FROM finished_at - started_at)"
        pieces = f"SELECT {columns} FROM sweeps JOIN sweep_pieces ON sweep_id = sweeps.id GROUP BY sweeps.id"
        print(f"pieces, ms each, seconds in all: {crew.sql(pieces)}")  # noqa: T201


def wait(crew: Crew, seen: list[dict[str, int]], *, until: Any) -> None:
    """Look at the progress until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen.append(told(crew, PROGRESS))
        if until():
            return
        assert time.monotonic() < deadline, crew.sql(
            "SELECT json_agg(json_build_array(id, status, reason, progress_done)) FROM backtest_runs"
        )
        time.sleep(0.2)
