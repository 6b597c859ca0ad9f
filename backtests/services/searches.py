"""Searches for parameters that survive an interruption: `searches.start(...)`, `searches.step(...)` until all is done, `finish(...)`.

    start ──▶ step: one batch of sets, its best and its trials in one transaction ──▶ … ──▶ finish: walk forward, neighbours, hold-out, gate

Everything that decides the outcome stands in the search's row, so that whoever goes on after a crash repeats at most one batch. The
hold-out is not read before `finish`; `Work` hands the earlier steps candles that end before it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import Sum
from numpy.typing import NDArray

from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.engine import Setup
from backtests.engine.metrics import Metrics, returns_of
from backtests.models import Search, SearchBatch, SearchStatus
from backtests.research.permutation import permutation_test
from backtests.research.promotion import Thresholds, deflated_by
from backtests.research.proposing import STARTS, Proposer
from backtests.research.sampling import Range, neighbours, sobol_sets
from backtests.research.searching import Scored, judge_chosen, run_on, search
from backtests.research.splits import Split, hold_out, purge_bars, traded, walk_forward, within
from backtests.research.stability import stability_of
from backtests.research.trials import Trial, keys_of
from backtests.research.walking import sum_up, walk
from backtests.selectors import counted_on
from backtests.services import trials
from backtests.strategies.base import Parameters, Strategy
from dgbot.base.fields import ClockTimestamp
from dgbot.core.errors import BadInput

SOBOL, OPTUNA, AUTO, GRID = "sobol", "optuna", "auto", "grid"
BATCH, PROPOSED = 1024, 8  # sets evaluated between two commits
KEPT = 20  # best sets a batch keeps
WALKED = 1024  # sets each fold chooses among
PERMUTED = 256  # sets each permuted market is searched with
PROPOSAL_S = 0.1  # what one proposal costs after some thousand, measured; it grows with their number


@dataclass(frozen=True, eq=False)
class Work:
    """A search and all it is computed from. split: of the traded bars. folds: cuts of the searched part, may be none."""

    row: Search
    candles: Candles
    strategy: Strategy[Any]
    setup: Setup
    space: dict[str, Range]
    split: Split
    folds: tuple[Split, ...]
    funding: NDArray[np.float64] | None = None
    patiently: Callable[[Callable[[], Any]], Any] = lambda function: function()  # calls what computes for long, so that it can be stopped

    @property
    def seed(self) -> int:
        """Of samples, draws and permutations."""
        return int(self.row.spec["seed"])

    @property
    def objective(self) -> str:
        """What is to be large."""
        return str(self.row.spec["objective"])


@dataclass(frozen=True)
class Wanted:
    """A search as it is asked for. folds, permutations: 0: none. told: the command's own options, kept to load the candles again."""

    sets: int
    seed: int
    objective: str
    hold_out: float
    folds: int
    sampler: str
    permutations: int
    told: dict[str, Any] = field(default_factory=dict)


def cut(
    candles: Candles,
    strategy: Strategy[Any],
    setup: Setup,
    space: dict[str, Range],
    *,
    share: float,
    folds: int,
    funding: NDArray[np.float64] | None = None,
) -> tuple[Split, tuple[Split, ...]]:
    """Hold-out and folds with a purge for the longest look-back of the space and the longest holding of the strategy as designed.

    Raises BadInput when there are too few candles for that.
    """
    span = traded(candles, setup)
    designed = strategy.parameters()
    defaults = strategy.parameters.of({name: min(max(getattr(designed, name), one.low), one.high) for name, one in space.items()})
    corners = [strategy.parameters.of({name: getattr(one, end) for name, one in space.items()}) for end in ("low", "high")]
    seen = hold_out(span, share=share, purge=purge_bars(strategy, [defaults])).search
    trades = run_on(candles, strategy, defaults, setup, seen, funding=funding).trades
    purge = purge_bars(strategy, [defaults, *corners], holding_bars=int(np.max(trades.exit_bar - trades.entry_bar, initial=0)))
    split = hold_out(span, share=share, purge=purge)
    return split, walk_forward(split.search, folds=folds, purge=purge) if folds else ()


def start(
    candles: Candles,
    strategy: Strategy[Any],
    setup: Setup,
    space: dict[str, Range],
    wanted: Wanted,
    *,
    funding: NDArray[np.float64] | None = None,
) -> Work:
    """Write the search down before anything is computed. Raises BadInput for what cannot be searched."""
    if wanted.sets < 1:
        raise BadInput(f"At least one parameter set must be searched, was {wanted.sets}.")
    split, folds = cut(candles, strategy, setup, space, share=wanted.hold_out, folds=wanted.folds, funding=funding)
    sampler = wanted.sampler
    if sampler == AUTO:
        cost = _seconds_of_one(candles, strategy, setup, split, funding=funding)
        sampler = OPTUNA if cost > PROPOSAL_S else SOBOL
    row = begin(candles, strategy, space, replace(wanted, sampler=sampler))
    return Work(row, candles, strategy, setup, space, split, folds, funding)


def begin(candles: Candles, strategy: Strategy[Any], space: dict[str, Range], wanted: Wanted) -> Search:
    """The row of a search whose cuts have been found possible."""
    spec = asdict(wanted) | {"ranges": {name: [one.low, one.high] for name, one in space.items()}}
    return Search.objects.create(data_set=trials.data_set_of(candles), strategy=strategy.name, spec=spec, sets=wanted.sets)


def same_candles(row: Search, candles: Candles) -> Candles:
    """The beginning of `candles` that the search began on. Raises BadInput when it is no longer there."""
    begun = candles.prefix(row.data_set.rows)
    if content_sha256(begun) != row.data_set.content_sha256:
        raise BadInput(f"The candles have changed since search {row.pk} began, so it cannot go on; start a new one.")
    return begun


def sets_done(row: Search) -> int:
    """How many sets have been evaluated and counted."""
    return int(row.batches.aggregate(done=Sum("sets"))["done"] or 0)


def step(work: Work, proposer: Proposer | None = None) -> int:
    """Evaluate the next batch and store it with its trials. Returns how many sets are done. proposer: as `proposer_of` made it."""
    done = sets_done(work.row)
    sets = _next_sets(work, done, proposer)
    scored = _scored(work, sets)
    try:
        keep(work, first_set=done, scored=scored)
    except IntegrityError:
        raise BadInput(f"Search {work.row.pk} is being run by another process; let that one finish.") from None
    if proposer is not None:
        proposer.learn(sets, [one.score for one in scored])
    return done + len(sets)


@transaction.atomic
def keep(work: Work, *, first_set: int, scored: list[Scored]) -> None:
    """Store an evaluated batch with its trials. Raises IntegrityError when another process has stored it."""
    _count(work, scored)
    ranked = sorted(scored, key=lambda one: (one.score is None, -(one.score or 0.0)))
    best = [_as_row(one) for one in ranked[:KEPT]]
    SearchBatch.objects.create(search=work.row, first_set=first_set, sets=len(scored), best=best)


def proposer_of(work: Work) -> Proposer | None:
    """A proposer that knows every set so far; None for a search that proposes nothing."""
    if work.row.spec["sampler"] != OPTUNA:
        return None
    proposer = Proposer(work.strategy, work.space, seed=work.seed)
    for batch in work.row.batches.order_by("first_set"):
        sets = [work.strategy.parameters.of(one["parameters"]) for one in batch.best]
        proposer.learn(sets, [one["score"] for one in batch.best])
    return proposer


def finish(work: Work, *, shown: int, told: Callable[[str, int, int], None] = lambda _what, _done, _all: None) -> dict[str, Any]:
    """Judge the best set and close the search. As `judge`; the row keeps its result."""
    result = judge(work, shown=shown, told=told)
    close(work.row, result)
    return result


def close(row: Search, result: dict[str, Any]) -> None:
    """Keep what was found."""
    Search.objects.filter(pk=row.pk).update(status=SearchStatus.DONE, result=result, finished_at=ClockTimestamp())


def judge(work: Work, *, shown: int, told: Callable[[str, int, int], None] = lambda _what, _done, _all: None) -> dict[str, Any]:
    """What the best sets are worth. shown: how many to list. told: what is being done, how much of it is done, of how much."""
    best = best_sets(work.row, most=shown)
    chosen = next((one for one in best if one["score"] is not None), None)
    result: dict[str, Any] = {"sets": sets_done(work.row), "sampler": work.row.spec["sampler"], "best": best, "chosen": None}
    result["walk_forward"] = work.patiently(lambda: _walked(work, told))
    if chosen is not None:
        result |= _judged(work, work.strategy.parameters.of(chosen["parameters"]), told)
        result["chosen"] = chosen
    counted = counted_on(work.candles, strategy=work.strategy.name, judge_from=work.split.judge.first)
    for one in best:
        returns = _searched_returns(work, work.strategy.parameters.of(one["parameters"]))
        one["deflated_sharpe"] = deflated_by(returns, counted.tally)
    return result | {"trials": counted.tally.count, "looks": counted.looks, "split": asdict(work.split)}


def best_sets(row: Search, *, most: int) -> list[dict[str, Any]]:
    """The best sets so far, best first, each once: parameters, score, metrics."""
    kept = [one for best in row.batches.values_list("best", flat=True) for one in best]
    ranked = sorted(kept, key=lambda one: (one["score"] is None, -(one["score"] or 0.0)))
    each = {tuple(sorted(one["parameters"].items())): one for one in reversed(ranked)}
    return sorted(each.values(), key=lambda one: (one["score"] is None, -(one["score"] or 0.0)))[:most]


def _next_sets(work: Work, done: int, proposer: Proposer | None) -> list[Parameters]:
    left = work.row.sets - done
    if proposer is None or done < STARTS:
        size = BATCH if proposer is None else min(PROPOSED, STARTS - done)
        return sobol_sets(work.strategy, work.space, seed=work.seed, start=done, count=min(size, left))
    return proposer.propose(min(PROPOSED, left))


def _scored(work: Work, sets: list[Parameters]) -> list[Scored]:
    span = work.split.search
    found: list[Scored] = work.patiently(
        lambda: search(work.candles, work.strategy, sets, work.setup, span, objective=work.objective, funding=work.funding)
    )
    return found


def _count(work: Work, scored: list[Scored]) -> None:
    span = work.split.search
    keys = keys_of([one.parameters for one in scored], within(work.setup, work.candles, span))
    tried = [Trial(key=key, sharpe=one.sharpe, seen_to=span.last) for key, one in zip(keys, scored, strict=True)]
    trials.count(data_set=work.row.data_set, strategy=work.strategy.name, trials=tried)


def _walked(work: Work, told: Callable[[str, int, int], None]) -> dict[str, Any] | None:
    """The search repeated fold by fold with the first sets of its sequence; they are counted already."""
    if not work.folds:
        return None
    sets = sobol_sets(work.strategy, work.space, seed=work.seed, start=0, count=min(WALKED, work.row.sets))
    folds = walk(
        work.candles,
        work.strategy,
        sets,
        work.setup,
        work.folds,
        objective=work.objective,
        funding=work.funding,
        told=lambda done: told("walk forward", done, len(work.folds)),
    )
    summary = sum_up(folds, cash=float(work.setup.cash), interval_ns=work.candles.interval.nanoseconds)
    each = [
        {
            "bars": [fold.split.judge.first, fold.split.judge.last],
            "parameters": None if fold.best is None else asdict(fold.best.parameters),
            "score": None if fold.best is None else fold.best.score,
            "ahead": None if fold.ahead is None else fold.ahead.metrics.as_row(),
        }
        for fold in folds
    ]
    return asdict(summary) | {"each": each}


def _judged(work: Work, chosen: Parameters, told: Callable[[str, int, int], None]) -> dict[str, Any]:
    [own] = _scored(work, [chosen])
    around = _scored(work, neighbours(chosen, work.space))
    _count(work, around)
    permutation = work.patiently(lambda: _permuted(work, told))
    held_out = work.patiently(lambda: run_on(work.candles, work.strategy, chosen, work.setup, work.split.judge, funding=work.funding))
    counted = trials.count_run(
        work.candles,
        work.strategy.name,
        chosen,
        work.setup,
        work.split.judge,
        statistics=held_out.statistics,
        judge_from=work.split.judge.first,
    )
    judged = work.patiently(
        lambda: judge_chosen(
            work.candles,
            work.strategy,
            chosen,
            work.setup,
            work.split,
            tally=counted.tally,
            looks=counted.looks,
            thresholds=Thresholds(),
            funding=work.funding,
        )
    )
    return {
        "searched": _metrics(judged.searched.metrics),
        "held_out": _metrics(judged.held_out.metrics),
        "stability": stability_of(own, around).as_row(),
        "permutation": permutation,
        "promotion": asdict(judged.promotion) | {"allowed": judged.promotion.allowed},
    }


def _permuted(work: Work, told: Callable[[str, int, int], None]) -> dict[str, Any] | None:
    """The search repeated on markets in another order: only then is the choice among many part of what is compared."""
    count = int(work.row.spec["permutations"])
    if not count:
        return None
    sets = sobol_sets(work.strategy, work.space, seed=work.seed, start=0, count=min(PERMUTED, work.row.sets))
    span = work.split.search

    def best_score(candles: Candles) -> float | None:
        found = search(candles, work.strategy, sets, work.setup, span, objective=work.objective, funding=work.funding)
        return max((one.score for one in found if one.score is not None), default=None)

    tested = permutation_test(
        best_score,
        work.candles.prefix(span.last),
        permutations=count,
        seed=work.seed,
        told=lambda done: told("permuted markets", done, count),
    )
    return {"permutations": count, "sets": len(sets), "p_value": tested.p_value, "real": tested.real}


def _searched_returns(work: Work, parameters: Parameters) -> NDArray[np.float64]:
    equity = work.patiently(
        lambda: run_on(work.candles, work.strategy, parameters, work.setup, work.split.search, funding=work.funding).equity
    )
    return returns_of(equity, cash=float(work.setup.cash))


def _seconds_of_one(candles: Candles, strategy: Strategy[Any], setup: Setup, split: Split, *, funding: NDArray[np.float64] | None) -> float:
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        run_on(candles, strategy, strategy.parameters(), setup, split.search, funding=funding)
        took.append(time.perf_counter() - begun)
    return min(took)


def _as_row(one: Scored) -> dict[str, Any]:
    return {"parameters": asdict(one.parameters), "score": one.score, "metrics": _metrics(one.metrics)}


def _metrics(metrics: Metrics) -> dict[str, float | int | None]:
    return metrics.as_row()
