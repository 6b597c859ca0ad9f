"""The promotion gate: may a strategy that was searched for be believed? Every condition that fails is told.

*On the hold-out*, which nothing was chosen by: the quick filter of requirements S2-05 (return, win rate, profit factor, Sharpe,
drawdown) and a minimum of trades, because three trades prove nothing (W-24). Whoever looks at a hold-out often enough finds one
that pays: the Sharpe ratio must also exceed what the best of so many worthless looks is expected to show.

*On the searched bars*, by which the set was chosen: the deflated Sharpe ratio, the probability that the true ratio is above what
the best of all counted trials would show without any skill, must reach the confidence. Source: Bailey & López de Prado, "The
Deflated Sharpe Ratio", Journal of Portfolio Management 40 (5), 2014. Unknown is never passed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.engine.metrics import YEAR_NS, Metrics, deflated_sharpe, expected_best_sharpe
from backtests.research.quick_filter import FilterThresholds, checks, said
from backtests.research.trials import Tally
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class Thresholds(FilterThresholds):
    """What is asked beside the quick filter. confidence: probability the deflated Sharpe ratio must reach."""

    confidence: float = 0.95


@dataclass(frozen=True)
class Promotion:
    """The answer. deflated_sharpe: probability, None unknown. trials, looks: how many were counted, this one included."""

    reasons: tuple[Reason, ...]
    deflated_sharpe: float | None
    trials: int
    looks: int

    @property
    def allowed(self) -> bool:
        """Whether every condition holds."""
        return not self.reasons


MORE_DATA = "search on more candles, or take the result for what it is: unproven"
ANOTHER = "try another strategy or market; each further trial raises the bar"


def judge(
    held_out: Metrics,
    searched_returns: NDArray[np.float64],
    *,
    bars: int,
    interval_ns: int,
    tally: Tally,
    looks: int,
    thresholds: Thresholds | None = None,
) -> Promotion:
    """held_out: of the chosen set on the hold-out's `bars` bars. searched_returns: (n,) its returns, bar over bar, where it was chosen.

    tally: every trial of the strategy on this data set. looks: how often its hold-out was looked at, at least 1.
    """
    asked = thresholds or Thresholds()
    deflated = deflated_by(searched_returns, tally)
    found = (*quick_filter(held_out, asked), *_looks(held_out, bars, interval_ns, looks), *_deflation(deflated, tally, asked))
    return Promotion(reasons=found, deflated_sharpe=deflated, trials=max(tally.count, 1), looks=looks)


def deflated_by(returns: NDArray[np.float64], tally: Tally) -> float | None:
    """The deflated Sharpe ratio of `returns` ((n,) bar over bar) after the trials of `tally`; None unknown.

    The variance between the trials is the measured one, but at most 1 / (n − 1), which is all that luck can make of worthless
    trials (Lo 2002): beyond it the sets really differ, by what they pay in costs for one, and that says nothing about luck.
    """
    most = 1 / max(len(returns) - 1, 1)
    return deflated_sharpe(returns, trials=max(tally.count, 1), trial_sharpe_variance=min(tally.sharpe_variance, most))


def quick_filter(metrics: Metrics, asked: FilterThresholds) -> tuple[Reason, ...]:
    """The five thresholds and the minimum of trades; one reason for each that is not met or not known."""
    found = checks(metrics, asked, remedy=ANOTHER)
    return tuple(check.reason(code=f"hold_out_{check.name}", where="on the hold-out") for check in found if not check.is_met)


def best_of_looks(looks: int, *, bars: int, interval_ns: int) -> float:
    """Annualised Sharpe ratio the best of `looks` worthless strategies is expected to show on `bars` bars; 0 for one look.

    The ratio of a worthless strategy over n bars has the variance 1 / (n − 1). Source: Lo, "The Statistics of Sharpe Ratios",
    Financial Analysts Journal 58 (4), 2002; the expectation as in `expected_best_sharpe`.
    """
    return expected_best_sharpe(trials=looks, variance=1 / max(bars - 1, 1)) * math.sqrt(YEAR_NS / interval_ns)


def _looks(metrics: Metrics, bars: int, interval_ns: int, looks: int) -> tuple[Reason, ...]:
    limit = best_of_looks(looks, bars=bars, interval_ns=interval_ns)
    if looks <= 1 or (metrics.sharpe is not None and metrics.sharpe > limit):
        return ()
    told, remedy = said(metrics.sharpe), "wait for candles that nobody has looked at"
    message = f"The Sharpe ratio on the hold-out is {told}; luck alone gives the best of {looks} looks {limit:.2f}; {remedy}."
    return (Reason(code="hold_out_looks", message=message, value=told, limit=f"{limit:.2f}", remedy=remedy),)


def _deflation(deflated: float | None, tally: Tally, asked: Thresholds) -> tuple[Reason, ...]:
    if deflated is not None and deflated >= asked.confidence:
        return ()
    told, least, count = said(deflated, as_percent=True), said(asked.confidence, as_percent=True), max(tally.count, 1)
    chance = "unknown" if deflated is None else f"{told}, under the limit of {least}"
    return (
        Reason(
            code="deflated_sharpe",
            message=f"The probability that this beats the best of worthless trials, {count:,} in all, is {chance}; {MORE_DATA}.",
            value=told,
            limit=least,
            remedy=MORE_DATA,
        ),
    )
