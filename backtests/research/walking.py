"""Walk forward: in each fold the best set of the past trades the block after it, and only those blocks are told.

What comes out is what somebody would have earned who searched again and again and never knew the future. Sources: see `splits`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.engine import Result, Setup
from backtests.engine.metrics import YEAR_NS, returns_of
from backtests.research.searching import Scored, best_of, run_on, search
from backtests.research.splits import Split
from backtests.strategies.base import Parameters, Strategy


@dataclass(frozen=True, eq=False)
class Fold:
    """One step. best: chosen on the past, None when no set had a score. ahead: that set on the block after it."""

    split: Split
    best: Scored | None
    ahead: Result | None


@dataclass(frozen=True)
class Forward:
    """All blocks together, fractions; None unknown. sharpe: annualised, of the joined returns. efficiency: mean return per bar ahead
    over mean return per bar where it was chosen (Pardo 2008); over 0.5 is called robust, under 0 the past did not carry over."""

    folds: int
    bars: int
    trades: int
    total_return: float
    sharpe: float | None
    max_drawdown: float
    efficiency: float | None


def walk(
    candles: Candles,
    strategy: Strategy[Any],
    sets: Sequence[Parameters],
    setup: Setup,
    splits: Sequence[Split],
    *,
    objective: str = "sharpe",
    funding: NDArray[np.float64] | None = None,
    told: Callable[[int], None] = lambda _done: None,
) -> list[Fold]:
    """One fold per split, oldest first. Raises BadInput as `search` does."""
    folds = []
    for number, split in enumerate(splits):
        best = best_of(search(candles, strategy, sets, setup, split.search, objective=objective, funding=funding))
        ahead = None if best is None else run_on(candles, strategy, best.parameters, setup, split.judge, funding=funding)
        folds.append(Fold(split=split, best=best, ahead=ahead))
        told(number + 1)
    return folds


def sum_up(folds: Sequence[Fold], *, cash: float, interval_ns: int) -> Forward:
    """The blocks ahead joined to one curve; a fold without a choice stays out of the market and adds zeros."""
    ahead = [np.zeros(len(fold.split.judge)) if fold.ahead is None else returns_of(fold.ahead.equity, cash=cash) for fold in folds]
    returns = np.concatenate(ahead) if ahead else np.empty(0)
    curve = np.concatenate([[1.0], np.cumprod(1 + returns)])
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    past = [
        (1 + fold.best.metrics.total_return) ** (1 / len(fold.split.search)) - 1
        for fold in folds
        if fold.best is not None and fold.best.metrics.total_return > -1
    ]
    chosen_by = float(np.mean(past)) if past else 0.0
    per_bar = float(curve[-1]) ** (1 / len(returns)) - 1 if len(returns) and curve[-1] > 0 else None
    return Forward(
        folds=len(folds),
        bars=len(returns),
        trades=sum(fold.ahead.metrics.trades for fold in folds if fold.ahead is not None),
        total_return=float(curve[-1]) - 1,
        sharpe=float(np.mean(returns)) / deviation * float(np.sqrt(YEAR_NS / interval_ns)) if deviation > 0 else None,
        max_drawdown=float(np.max(1 - curve / np.maximum.accumulate(curve))),
        efficiency=None if per_bar is None or chosen_by <= 0 else per_bar / chosen_by,
    )
