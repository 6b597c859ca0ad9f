"""Search, choose, judge: the one way a parameter set is found, and the only one that may ask for a promotion.

    sets ─▶ sweep on the searched bars ─▶ best score ─▶ one run on the hold-out ─▶ gate

The sweep is given the candles up to the end of the searched bars and no more, so that it cannot see the hold-out at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine import Result, Setup, Sweep, run, sweep
from backtests.engine.layout import R, S
from backtests.engine.metrics import YEAR_NS, Metrics, measure, returns_of
from backtests.research.promotion import Promotion, Thresholds, judge
from backtests.research.splits import Span, Split, within
from backtests.research.trials import Tally, sharpe_per_bar
from backtests.strategies.base import Parameters, Strategy
from dgbot.core.errors import BadInput

OBJECTIVES = ("sharpe", "sortino", "calmar", "total_return", "profit_factor")
FEWEST_TRADES = 10  # a set that traded less where it was searched is not chosen


@dataclass(frozen=True)
class Scored:
    """One set on the searched bars. score: the objective, None unknown or too few trades. sharpe: per bar, None unknown."""

    parameters: Parameters
    score: float | None
    sharpe: float | None
    metrics: Metrics


@dataclass(frozen=True, eq=False)
class Judged:
    """The chosen set on both parts, and the gate's word."""

    chosen: Parameters
    searched: Result
    held_out: Result
    promotion: Promotion


def search(
    candles: Candles,
    strategy: Strategy[Any],
    sets: Sequence[Parameters],
    setup: Setup,
    span: Span,
    *,
    objective: str = "sharpe",
    funding: NDArray[np.float64] | None = None,
    threads: int | None = None,
) -> list[Scored]:
    """Every set on the bars of `span`, in the order given. Later candles are not handed on. Raises BadInput as `sweep` does."""
    if objective not in OBJECTIVES:
        raise BadInput(f"There is no objective {objective!r}; known are {', '.join(OBJECTIVES)}.")
    seen = candles.prefix(span.last)
    rates = None if funding is None else funding[: span.last]
    swept = sweep(seen, strategy, sets, within(setup, candles, span), funding=rates, threads=threads)
    sharpes = sharpe_per_bar(swept.results)
    return [_scored(swept, number, sets[number], float(sharpes[number]), objective) for number in range(len(sets))]


def best_of(scored: Sequence[Scored]) -> Scored | None:
    """The highest score, the first of equals; None when no score is known."""
    known = [one for one in scored if one.score is not None]
    return max(known, key=lambda one: one.score or 0.0, default=None)


def run_on(
    candles: Candles,
    strategy: Strategy[Any],
    parameters: Parameters,
    setup: Setup,
    span: Span,
    *,
    funding: NDArray[np.float64] | None = None,
) -> Result:
    """One run on the bars of `span`, with its fills and its curve; later candles are not handed on."""
    rates = None if funding is None else funding[: span.last]
    return run(candles.prefix(span.last), strategy, parameters, within(setup, candles, span), funding=rates)


def judge_chosen(
    candles: Candles,
    strategy: Strategy[Any],
    chosen: Parameters,
    setup: Setup,
    split: Split,
    *,
    tally: Tally,
    looks: int,
    thresholds: Thresholds | None = None,
    funding: NDArray[np.float64] | None = None,
) -> Judged:
    """Run the chosen set on both parts and ask the gate. tally, looks: as counted, this look included."""
    searched = run_on(candles, strategy, chosen, setup, split.search, funding=funding)
    held_out = run_on(candles, strategy, chosen, setup, split.judge, funding=funding)
    promotion = judge(
        held_out.metrics,
        returns_of(searched.equity, cash=float(setup.cash)),
        bars=len(split.judge),
        interval_ns=candles.interval.nanoseconds,
        tally=tally,
        looks=looks,
        thresholds=thresholds,
    )
    return Judged(chosen=chosen, searched=searched, held_out=held_out, promotion=promotion)


def annualised(sharpe: float, *, interval_ns: int) -> float:
    """A Sharpe ratio per bar as one per year of 365 days."""
    return float(sharpe * np.sqrt(YEAR_NS / interval_ns))


def _scored(swept: Sweep, number: int, parameters: Parameters, sharpe: float, objective: str) -> Scored:
    row = swept.results[number]
    metrics = measure(row, cash=float(swept.settings[number, S.CASH]), interval_ns=swept.interval_ns)
    score = getattr(metrics, objective) if row[R.POSITIONS] >= FEWEST_TRADES else None
    return Scored(parameters=parameters, score=score, sharpe=sharpe if np.isfinite(sharpe) else None, metrics=metrics)
