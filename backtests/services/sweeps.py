"""Sweeps by many workers: `sweeps.submit(...)`, then `sweeps.work(...)` by whoever has time, until every piece is done and judged.

    submit ──▶ plan: search row, pieces of 50–200 ms ──▶ pieces, by all workers at once ──▶ finish: rank, walk forward, judge

A piece is stored with its trials, its best sets and the sweep's progress in one transaction, so it counts once, whoever else was at it.
A cancelled sweep takes no more pieces: what is under way is thrown away when it wants to be stored.
"""

import time
from collections import OrderedDict
from datetime import timedelta
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from numpy.typing import NDArray

from backtests.models import JobStatus, ResultFile, ResultKind, Search, Sweep, SweepPiece
from backtests.research.proposing import Proposer
from backtests.research.sampling import EXITS_PER_SIGNAL, Range, sobol_sets, space_of
from backtests.research.searching import Scored, search
from backtests.selectors import candles_of
from backtests.services import jobs, results, searches
from backtests.services.jobs import Held, JobStopped
from backtests.services.patience import computed
from backtests.services.searches import GRID, KEPT, OPTUNA, Work
from backtests.services.slices import Next, Slice, guarded
from backtests.services.sweep_tables import importance_of, joined, table_of
from backtests.specs import SweepSpec, sweep_spec
from backtests.storage import tables
from backtests.strategies.base import Parameters
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder as this_process
from dgbot.base.machine import is_dead

PIECE_S = 0.12  # kernel time of a piece that is aimed at; half of it and twice as much are as good
MEASURED = 32  # sets that are timed before the pieces are cut
PROPOSED = 8  # sets of a piece when each is proposed from what was seen
MOST_SETS_A_PIECE = 4096
LANES, LANES_OF_PROPOSALS = 16, 4  # messages under way: as many workers can be at one sweep at once
SECOND = timedelta(seconds=1)
KEPT_WORK = 4  # sweeps whose candles and cuts a process remembers

_kept: OrderedDict[int, Work] = OrderedDict()
_proposers: OrderedDict[int, tuple[Proposer, set[int]]] = OrderedDict()


def submit(*, spec: SweepSpec, user: Any = None) -> Sweep:
    """Write a sweep down. The caller queues it on commit. Raises BadInput for parameters the strategy does not have."""
    strategy, _parameters = spec.run.chosen()
    space_of(strategy, spec.ranges)
    return Sweep.objects.create(
        user=user,
        spec=spec.as_json(),
        strategy=spec.run.strategy,
        exchange=spec.run.exchange,
        symbol=spec.market.symbol,
        interval=spec.run.interval,
        sampler=spec.sampler,
        sets=spec.sets,
        progress_total=spec.sets + 1,
    )


def work(*, sweep_pk: int) -> Slice:
    """Do the next thing there is to do for a sweep: plan it, one piece, or its end. Harmless at any time, twice, and after a crash."""
    sweep = Sweep.objects.select_related("search__data_set").get(pk=sweep_pk)
    if not sweep.is_open:
        return Slice(Next.NOTHING)
    if sweep.status == JobStatus.RUNNING and sweep.search_id is not None:
        piece = _take(sweep)
        if piece is not None:
            return _worked_piece(sweep, piece)
        if sweep.pieces.filter(kernel_ms__isnull=True).exists():
            return Slice(Next.NOTHING)  # others are at the last ones
    held = jobs.claim(Sweep, sweep_pk)
    if held is None:
        return Slice(Next.NOTHING)
    sweep.refresh_from_db()
    return guarded(held, lambda: _step(held, sweep))


def _step(held: Held, sweep: Sweep) -> Slice:
    if sweep.search_id is None:
        _plan(held, sweep)
    left = sweep.pieces.filter(kernel_ms__isnull=True).count()
    if left:
        if not held.give_back():
            raise JobStopped(held.renew())
        return Slice(Next.AGAIN, lanes=min(left, LANES_OF_PROPOSALS if sweep.sampler == OPTUNA else LANES))
    _finish(held, sweep)
    return Slice(Next.NOTHING)


# --- the plan ---
def _plan(held: Held, sweep: Sweep) -> None:
    spec = sweep_spec(sweep.spec)
    strategy, _parameters = spec.run.chosen()
    candles = candles_of(exchange=spec.run.exchange, symbol=spec.market.symbol, interval=spec.run.interval)
    space, funding = space_of(strategy, spec.ranges), spec.market.funding(candles)
    cuts = computed(
        held,
        lambda: searches.cut(candles, strategy, spec.market.setup, space, share=spec.hold_out, folds=spec.folds, funding=funding),
        done=0,
    )
    wanted = searches.Wanted(
        sets=spec.sets,
        seed=spec.seed,
        objective=spec.objective,
        hold_out=spec.hold_out,
        folds=spec.folds,
        sampler=spec.sampler,
        permutations=spec.permutations,
        told={"sweep": sweep.pk},
    )
    draft = Work(Search(sets=spec.sets, strategy=strategy.name, spec={}), candles, strategy, spec.market.setup, space, *cuts, funding)
    size = PROPOSED if sweep.sampler == OPTUNA else _sets_a_piece(computed(held, partial(_seconds_a_set, draft, spec), done=0))
    with transaction.atomic():
        made = searches.begin(candles, strategy, space, wanted)
        if not Sweep.objects.filter(pk=sweep.pk, epoch=held.epoch, status=JobStatus.RUNNING, search__isnull=True).update(search=made):
            raise JobStopped(held.renew())
        SweepPiece.objects.bulk_create(
            [SweepPiece(sweep=sweep, first_set=first, sets=min(size, spec.sets - first)) for first in range(0, spec.sets, size)]
        )
    sweep.search = made


def _seconds_a_set(work: Work, spec: SweepSpec) -> float:
    """Of one set among many, on one thread; measured after a first pass that fills caches."""
    sets = _sets(work, spec, first=0, count=min(MEASURED, spec.sets))
    _searched(work, sets[:1], objective=spec.objective)
    begun = time.perf_counter()
    _searched(work, sets, objective=spec.objective)
    return (time.perf_counter() - begun) / len(sets)


def _sets_a_piece(seconds: float) -> int:
    """Whole groups that share their signals, where there is time for one."""
    count = int(min(max(PIECE_S / max(seconds, 1e-9), 1), MOST_SETS_A_PIECE))
    return count // EXITS_PER_SIGNAL * EXITS_PER_SIGNAL if count > EXITS_PER_SIGNAL else count


# --- the pieces ---
def _take(sweep: Sweep) -> SweepPiece | None:
    """The next piece that nobody has done and nobody is at."""
    free = Q(holder="") | Q(lease_until__lt=ClockTimestamp())
    with transaction.atomic():
        piece = sweep.pieces.select_for_update(skip_locked=True).filter(free, kernel_ms__isnull=True).first()
        if piece is None:
            piece = _left_by_the_dead(sweep)
        if piece is not None:
            lease = ClockTimestamp() + settings.RUN_LEASE_S * SECOND
            SweepPiece.objects.filter(pk=piece.pk).update(holder=this_process(), lease_until=lease)
        return piece


def _left_by_the_dead(sweep: Sweep) -> SweepPiece | None:
    held = sweep.pieces.select_for_update(skip_locked=True).filter(kernel_ms__isnull=True).exclude(holder="")
    return next((piece for piece in held if is_dead(piece.holder)), None)


def _worked_piece(sweep: Sweep, piece: SweepPiece) -> Slice:
    mine = Held(Sweep, sweep.pk, epoch=sweep.epoch, attempts=sweep.attempts)
    return guarded(mine, lambda: _evaluated(sweep, piece, mine))


def _evaluated(sweep: Sweep, piece: SweepPiece, held: Held) -> Slice:
    spec, job = sweep_spec(sweep.spec), _work_of(sweep)
    begun = time.perf_counter()
    sets = _proposed(sweep, job, piece.sets) if sweep.sampler == OPTUNA else _sets(job, spec, first=piece.first_set, count=piece.sets)
    scored = _searched(job, sets, objective=spec.objective)
    took_ms = round((time.perf_counter() - begun) * 1000)
    table = tables.encode_columns(table_of(scored, first_set=piece.first_set, space=job.space), level=1)
    with transaction.atomic():
        # The sweep's row is the gate: a cancelled one lets nothing more in, and one piece after the other passes it.
        is_open = Sweep.objects.filter(pk=sweep.pk, status=JobStatus.RUNNING).update(
            progress_done=F("progress_done") + piece.sets, lease_until=ClockTimestamp()
        )
        is_first = is_open and SweepPiece.objects.filter(pk=piece.pk, kernel_ms__isnull=True).update(
            kernel_ms=took_ms, table=table, holder="", lease_until=None
        )
        if is_first:
            searches.keep(job, first_set=piece.first_set, scored=scored)
        else:
            transaction.set_rollback(True)
    if not is_open:
        return Slice(Next.NOTHING)
    word = held.renew()
    if word == "too long":
        held.stopped(word)
    return Slice(Next.AGAIN)


def _sets(work: Work, spec: SweepSpec, *, first: int, count: int) -> list[Parameters]:
    if spec.sampler == GRID:
        return grid_sets(work, spec, first=first, count=count)
    return sobol_sets(work.strategy, work.space, seed=spec.seed, start=first, count=count)


def grid_sets(work: Work, spec: SweepSpec, *, first: int, count: int) -> list[Parameters]:
    """Sets number `first` … of the product of the grid's values; those of the last parameters change fastest."""
    names = list(work.strategy.parameters.bounds())
    ordered = sorted(spec.grid, key=names.index)  # exits stand last in a form, and sets that differ in them alone share signals
    fixed = {name: one.at(0.0) for name, one in work.space.items() if one.low == one.high and name not in spec.grid}
    rows = islice(product(*(spec.grid[name] for name in ordered)), first, first + count)
    return [work.strategy.parameters.of(fixed | dict(zip(ordered, row, strict=True))) for row in rows]


def _searched(work: Work, sets: list[Parameters], *, objective: str) -> list[Scored]:
    return search(work.candles, work.strategy, sets, work.setup, work.split.search, objective=objective, funding=work.funding, threads=1)


def _proposed(sweep: Sweep, work: Work, count: int) -> list[Parameters]:
    """What the sampler proposes from every piece stored so far; quasi-random until there is something to learn from."""
    found = _proposers.pop(sweep.pk, None)
    proposer, learned = found or (Proposer(work.strategy, work.space, seed=work.seed), set())
    _proposers[sweep.pk] = proposer, learned
    while len(_proposers) > KEPT_WORK:
        _proposers.popitem(last=False)
    for batch in work.row.batches.exclude(pk__in=learned).order_by("pk"):
        sets = [work.strategy.parameters.of(one["parameters"]) for one in batch.best]
        proposer.learn(sets, [one["score"] for one in batch.best])
        learned.add(batch.pk)
    if len(learned) * PROPOSED < searches.STARTS:
        return sobol_sets(work.strategy, work.space, seed=work.seed, start=len(learned) * PROPOSED, count=count)
    return proposer.propose(count)


def _work_of(sweep: Sweep) -> Work:
    """The sweep's search with its candles and cuts, as this process remembers it."""
    work = _kept.pop(sweep.pk, None) or _loaded(sweep)
    _kept[sweep.pk] = work
    while len(_kept) > KEPT_WORK:
        _kept.popitem(last=False)
    return work


def _loaded(sweep: Sweep) -> Work:
    spec, row = sweep_spec(sweep.spec), sweep.search
    assert row is not None  # pieces are made together with it
    strategy, _parameters = spec.run.chosen()
    candles = searches.same_candles(row, candles_of(exchange=spec.run.exchange, symbol=spec.market.symbol, interval=spec.run.interval))
    space, funding = space_of(strategy, spec.ranges), spec.market.funding(candles)
    cuts = searches.cut(candles, strategy, spec.market.setup, space, share=spec.hold_out, folds=spec.folds, funding=funding)
    return Work(row, candles, strategy, spec.market.setup, space, *cuts, funding)


# --- the end ---
def _finish(held: Held, sweep: Sweep) -> None:
    done = sweep.sets
    work = _work_of(sweep)
    columns = points(sweep)
    held.check(done=done)
    importance = importance_of(columns, work.space)
    patiently = Work(**{**vars(work), "patiently": lambda function: computed(held, function, done=done)})
    result = searches.judge(patiently, shown=KEPT)
    held.check(done=done)
    ranked = np.argsort(-np.nan_to_num(columns["score"], nan=-np.inf), kind="stable")
    content = tables.encode_columns({name: column[ranked] for name, column in columns.items()})
    kept = results.keep(sweep, {ResultKind.SETS: (content, len(ranked))})
    with transaction.atomic():
        is_ours = held.finish(progress_done=sweep.progress_total, importance=importance)
        if is_ours:
            ResultFile.objects.bulk_create(kept)
            searches.close(work.row, result)
            sweep.pieces.update(table=None)  # they stand in the file now
    _kept.pop(sweep.pk, None)
    _proposers.pop(sweep.pk, None)
    if not is_ours:
        results.forget(kept)
        raise JobStopped(held.renew())


def points(sweep: Sweep) -> dict[str, NDArray[Any]]:
    """Every set evaluated so far: columns set, each searched parameter, score, sharpe, total_return, max_drawdown, trades, win_rate,
    profit_factor; NaN unknown. Of a finished sweep they come ranked, best first, from its file, proven as every result is.
    """
    if sweep.status == JobStatus.FINISHED:
        return tables.decode_columns(results.content(sweep, ResultKind.SETS))
    stored = sweep.pieces.filter(table__isnull=False).order_by("first_set").values_list("table", flat=True)
    return joined([tables.decode_columns(bytes(content)) for content in stored if content is not None])


def space(sweep: Sweep) -> dict[str, Range]:
    """The ranges it searches, those that are fixed left out."""
    spec = sweep_spec(sweep.spec)
    return {name: one for name, one in space_of(spec.run.chosen()[0], spec.ranges).items() if one.low != one.high}
