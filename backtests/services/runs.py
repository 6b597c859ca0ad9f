"""Backtests as jobs: `runs.submit(...)`, then `runs.work(...)` again and again until it is done, in whatever process.

    submit ──▶ work: permuted markets, a slice at a time, each slice kept ──▶ work: the run itself, its trial, its files, its numbers

A slice lasts about a second, so that a worker that also runs cycles is never away for long. Files are stored before the row is
finished: whoever dies between leaves files nobody names, and the next attempt stores its own.
"""

import time
from functools import partial
from typing import Any

import numpy as np
from django.db import transaction

from backtests.codec import finite
from backtests.models import BacktestRun, ResultFile, Sweep
from backtests.research.permutation import permuted
from backtests.research.searching import run_on
from backtests.services import jobs, results
from backtests.services.jobs import Held, JobStopped
from backtests.services.patience import computed
from backtests.services.run_outcome import Loaded, Outcome, load, run_loaded, told
from backtests.services.slices import Next, Slice, guarded
from backtests.specs import MOST_PERMUTATIONS, MOST_SYMBOLS, RunSpec, run_spec
from dgbot.core.errors import BadInput

SLICE_S = 1.0
PIECE_S = 0.2  # permuted markets computed between two looks at the row
OWN_STEPS = 4  # of the run itself: loaded, computed, counted, stored


def submit(*, spec: RunSpec, user: Any = None, sweep: Sweep | None = None) -> BacktestRun:
    """Write a run down. The caller queues it on commit. Raises BadInput for what can be told wrong without a candle."""
    spec.chosen()
    if not 1 <= len(spec.markets) <= MOST_SYMBOLS:
        raise BadInput(f"A backtest takes 1 to {MOST_SYMBOLS} symbols; {len(spec.markets)} were given.")
    if not 0 <= spec.permutations <= MOST_PERMUTATIONS:
        raise BadInput(f"A backtest compares with 0 to {MOST_PERMUTATIONS:,} permuted markets; {spec.permutations:,} were asked for.")
    return BacktestRun.objects.create(
        user=user,
        spec=spec.as_json(),
        strategy=spec.strategy,
        exchange=spec.exchange,
        symbols=spec.symbols,
        interval=spec.interval,
        sweep=sweep,
        progress_total=spec.permutations + OWN_STEPS,
    )


def run_now(*, spec: RunSpec, user: Any = None) -> BacktestRun:
    """Submit and work it off in this process: for what is done within a request. The row as it ended."""
    run = submit(spec=spec, user=user)
    while work(run_pk=run.pk).next is Next.AGAIN:
        pass
    run.refresh_from_db()
    return run


def work(*, run_pk: int, slice_s: float = SLICE_S) -> Slice:
    """Work on a run for about `slice_s`. Harmless to call at any time, twice, and after a crash."""
    held = jobs.claim(BacktestRun, run_pk)
    if held is None:
        return Slice(Next.NOTHING)
    run = BacktestRun.objects.get(pk=run_pk)
    return guarded(held, lambda: _worked(held, run, ends_at=time.monotonic() + slice_s))


def _worked(held: Held, run: BacktestRun, *, ends_at: float) -> Slice:
    spec = run_spec(run.spec)
    loaded = computed(held, lambda: load(spec), done=0)
    values: list[float | None] = list(run.checkpoint.get("permuted", []))
    if spec.permutations and not values:
        computed(held, lambda: run_loaded(loaded), done=0)  # what cannot be run at all is told before an hour of comparing
    while len(values) < spec.permutations:
        values += computed(held, partial(_permuted, loaded, first=len(values)), done=len(values))
        held.check(done=len(values))
        if time.monotonic() > ends_at:
            held.give_back(checkpoint={"permuted": values}, progress_done=len(values))
            return Slice(Next.AGAIN)
    _finish(held, run, loaded, values)
    return Slice(Next.NOTHING)


def _permuted(loaded: Loaded, *, first: int) -> list[float | None]:
    """The Sharpe ratios on the next permuted markets, as many as fit into a piece; None unknown."""
    spec, [market] = loaded.spec, loaded.markets
    values: list[float | None] = []
    ends_at = time.monotonic() + PIECE_S
    while first + len(values) < spec.permutations and (not values or time.monotonic() < ends_at):
        candles = permuted(market.candles, seed=spec.seed + first + len(values))
        result = run_on(candles, loaded.strategy, loaded.parameters, market.setup, market.span, funding=market.funding)
        values.append(result.metrics.sharpe)
    return values


def _finish(held: Held, run: BacktestRun, loaded: Loaded, values: list[float | None]) -> None:
    done = len(values)
    held.check(done=done + 1)
    outcome: Outcome = computed(held, lambda: run_loaded(loaded), done=done + 1)
    held.check(done=done + 2)
    known = np.array([np.nan if value is None else value for value in values])
    metrics, summary = told(loaded, outcome, known, worked=lambda function: computed(held, function, done=done + 2))
    files = computed(held, lambda: results.files_of(outcome.tables(loaded)), done=done + 2)
    held.check(done=done + 3)
    kept = results.keep(run, files)
    with transaction.atomic():
        is_ours = held.finish(metrics=finite(metrics), summary=finite(summary), checkpoint={}, progress_done=run.progress_total)
        if is_ours:
            ResultFile.objects.bulk_create(kept)
    if not is_ours:
        results.forget(kept)
        raise JobStopped(held.renew())
