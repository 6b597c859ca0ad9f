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
from backtests.research.trials import Tally
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class Thresholds:
    """What is asked. Fractions: 0.01 is 1 %. sharpe: annualised. confidence: probability the deflated Sharpe ratio must reach."""

    total_return: float = 0.03
    win_rate: float = 0.35
    profit_factor: float = 1.3
    sharpe: float = 0.8
    max_drawdown: float = 0.20
    trades: int = 30  # fewer closed trades tell no edge, as in risk.domain.sizing
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


def quick_filter(metrics: Metrics, asked: Thresholds) -> tuple[Reason, ...]:
    """The five thresholds and the minimum of trades; one reason for each that is not met or not known."""
    has_no_loss = metrics.trades > 0 and metrics.profit_factor is None
    factor = math.inf if has_no_loss else metrics.profit_factor
    return tuple(
        reason
        for reason in (
            _at_least("return", "The return", metrics.total_return, asked.total_return, as_percent=True),
            _at_least("win_rate", "The win rate", metrics.win_rate, asked.win_rate, as_percent=True),
            _at_least("profit_factor", "The profit factor", factor, asked.profit_factor),
            _at_least("sharpe", "The Sharpe ratio", metrics.sharpe, asked.sharpe),
            _drawdown(metrics.max_drawdown, asked.max_drawdown),
            _trades(metrics.trades, asked.trades),
        )
        if reason is not None
    )


def best_of_looks(looks: int, *, bars: int, interval_ns: int) -> float:
    """Annualised Sharpe ratio the best of `looks` worthless strategies is expected to show on `bars` bars; 0 for one look.

    The ratio of a worthless strategy over n bars has the variance 1 / (n − 1). Source: Lo, "The Statistics of Sharpe Ratios",
    Financial Analysts Journal 58 (4), 2002; the expectation as in `expected_best_sharpe`.
    """
    return expected_best_sharpe(trials=looks, variance=1 / max(bars - 1, 1)) * math.sqrt(YEAR_NS / interval_ns)


def _at_least(code: str, what: str, value: float | None, limit: float, *, as_percent: bool = False) -> Reason | None:
    if value is not None and value >= limit:
        return None
    told, least = _said(value, as_percent=as_percent), _said(limit, as_percent=as_percent)
    fact = f"{what} on the hold-out is unknown" if value is None else f"{what} on the hold-out is {told}, under the limit of {least}"
    return Reason(code=f"hold_out_{code}", message=f"{fact}; {ANOTHER}.", value=told, limit=least, remedy=ANOTHER)


def _drawdown(value: float, limit: float) -> Reason | None:
    if value <= limit:
        return None
    told, most, remedy = _said(value, as_percent=True), _said(limit, as_percent=True), "size smaller or stop earlier"
    return Reason(
        code="hold_out_max_drawdown",
        message=f"The largest drawdown on the hold-out is {told}, over the limit of {most}; {remedy}.",
        value=told,
        limit=most,
        remedy=remedy,
    )


def _trades(count: int, least: int) -> Reason | None:
    if count >= least:
        return None
    remedy = "hold out more candles"
    return Reason(
        code="hold_out_trades",
        message=f"The hold-out holds {count} closed trades, fewer than the {least} that tell anything; {remedy}.",
        value=str(count),
        limit=str(least),
        remedy=remedy,
    )


def _looks(metrics: Metrics, bars: int, interval_ns: int, looks: int) -> tuple[Reason, ...]:
    limit = best_of_looks(looks, bars=bars, interval_ns=interval_ns)
    if looks <= 1 or (metrics.sharpe is not None and metrics.sharpe > limit):
        return ()
    told, remedy = _said(metrics.sharpe), "wait for candles that nobody has looked at"
    message = f"The Sharpe ratio on the hold-out is {told}; luck alone gives the best of {looks} looks {limit:.2f}; {remedy}."
    return (Reason(code="hold_out_looks", message=message, value=told, limit=f"{limit:.2f}", remedy=remedy),)


def _deflation(deflated: float | None, tally: Tally, asked: Thresholds) -> tuple[Reason, ...]:
    if deflated is not None and deflated >= asked.confidence:
        return ()
    told, least, count = _said(deflated, as_percent=True), _said(asked.confidence, as_percent=True), max(tally.count, 1)
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


def _said(value: float | None, *, as_percent: bool = False) -> str:
    if value is None:
        return "unknown"
    return f"{value * 100:.2f} %" if as_percent else f"{value:.2f}"
