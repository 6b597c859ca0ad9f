"""What a run was worth, from its statistics row. Unknown is None, never zero: a ratio without variance, a mean of nothing.

Returns are those of equity, bar over bar, flat bars included. A year has 365 days of all hours: these markets never close.
"""

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backtests.engine.layout import R

YEAR_NS = 365 * 24 * 3600 * 10**9
EULER = 0.5772156649015329
CANCELLED = 1e-12  # a variance this small a share of the mean square is rounding


@dataclass(frozen=True)
class Metrics:
    """Fractions (0.01 is 1 %), quote currency or counts, as each line says; None is unknown."""

    total_return: float  # final equity / cash - 1
    annual_return: float | None  # geometric: (1 + total) ^ (1 / years) - 1
    volatility: float | None  # sample σ of returns × √(bars a year)
    sharpe: float | None  # Sharpe 1994, risk-free rate 0: mean / sample σ × √(bars a year)
    sortino: float | None  # Sortino & Price 1994, target 0: mean / √mean(min(r, 0)²) × √(bars a year)
    calmar: float | None  # Young 1991: annual return / largest drawdown
    max_drawdown: float  # fraction of the peak before it, positive; the first peak is the cash
    longest_drawdown_bars: int  # bars at whose close equity was under its peak
    trades: int  # closed positions
    win_rate: float | None  # share of closed positions with a profit after costs; zero profit is no win
    profit_factor: float | None  # gross win / gross loss; None without a loss
    expectancy: float | None  # mean profit of a position, quote
    average_win: float | None  # quote
    average_loss: float | None  # quote, positive
    average_holding_bars: float | None  # fill bar to fill bar
    exposure: float | None  # share of bars at whose close something was held
    longest_win_streak: int
    longest_loss_streak: int
    turnover: float  # quote traded, both sides, over cash
    fees: float  # quote
    funding: float  # quote paid; negative when received

    def as_row(self) -> dict[str, float | int | None]:
        """As it is stored."""
        return asdict(self)


def measure(results: NDArray[np.float64], *, cash: float, interval_ns: int) -> Metrics:
    """results: one row by layout.R. cash: quote, at the start. interval_ns: of a bar."""
    bars, trades, wins = (int(results[name]) for name in (R.BARS, R.POSITIONS, R.WINS))
    gross_win, gross_loss = float(results[R.GROSS_WIN]), float(results[R.GROSS_LOSS])
    final, bars_a_year = float(results[R.FINAL_EQUITY]), YEAR_NS / interval_ns
    mean = float(results[R.SUM_RETURNS]) / bars
    deviation = _deviation(float(results[R.SUM_RETURNS]), float(results[R.SUM_SQUARES]), count=bars)
    downside = math.sqrt(float(results[R.SUM_SQUARED_LOSSES]) / bars)
    annual = (final / cash) ** (bars_a_year / bars) - 1 if final > 0 else None
    drawdown = float(results[R.MAX_DRAWDOWN])
    return Metrics(
        total_return=final / cash - 1,
        annual_return=annual,
        volatility=None if deviation is None else deviation * math.sqrt(bars_a_year),
        sharpe=None if not deviation else mean / deviation * math.sqrt(bars_a_year),
        sortino=None if not downside else mean / downside * math.sqrt(bars_a_year),
        calmar=None if annual is None or not drawdown else annual / drawdown,
        max_drawdown=drawdown,
        longest_drawdown_bars=int(results[R.LONGEST_DRAWDOWN]),
        trades=trades,
        win_rate=_share(wins, trades),
        profit_factor=_share(gross_win, gross_loss),
        expectancy=_share(gross_win - gross_loss, trades),
        average_win=_share(gross_win, wins),
        average_loss=_share(gross_loss, trades - wins),
        average_holding_bars=_share(float(results[R.HOLDING_BARS]), trades),
        exposure=_share(float(results[R.BARS_HELD]), bars),
        longest_win_streak=int(results[R.MOST_WINS]),
        longest_loss_streak=int(results[R.MOST_LOSSES]),
        turnover=float(results[R.TURNOVER]) / cash,
        fees=float(results[R.FEES]),
        funding=float(results[R.FUNDING]),
    )


def returns_of(equity: NDArray[np.float64], *, cash: float) -> NDArray[np.float64]:
    """(n,) returns of equity, bar over bar; the first is against the cash."""
    return equity / np.concatenate([[cash], equity[:-1]]) - 1


def deflated_sharpe(returns: NDArray[np.float64], *, trials: int, trial_sharpe_variance: float) -> float | None:
    """Probability that the true Sharpe ratio is above what the best of `trials` worthless strategies shows; None when unknown.

    trials: how many were tried, itself included, at least 1. trial_sharpe_variance: of their Sharpe ratios per bar, not annualised.
    Source: Bailey & López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40 (5), 2014.
    """
    if trials < 1 or not trial_sharpe_variance >= 0:
        raise ValueError(f"trials must be 1 or more and their variance not negative, were {trials} and {trial_sharpe_variance}")
    count, deviation = len(returns), float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    if count < 3 or not deviation > 0:
        return None
    sharpe = float(np.mean(returns)) / deviation
    standard = (returns - np.mean(returns)) / np.std(returns)
    skew, kurtosis = float(np.mean(standard**3)), float(np.mean(standard**4))
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not spread > 0:
        return None
    expected = expected_best_sharpe(trials=trials, variance=trial_sharpe_variance)
    return NormalDist().cdf((sharpe - expected) * math.sqrt(count - 1) / math.sqrt(spread))


def expected_best_sharpe(*, trials: int, variance: float) -> float:
    """Sharpe ratio (per bar) the best of `trials` strategies without skill is expected to show. Source: as `deflated_sharpe`."""
    if trials == 1:
        return 0.0
    normal = NormalDist()
    return math.sqrt(variance) * ((1 - EULER) * normal.inv_cdf(1 - 1 / trials) + EULER * normal.inv_cdf(1 - 1 / (trials * math.e)))


def _deviation(sums: float, squares: float, *, count: int) -> float | None:
    if count < 2:
        return None
    spread = squares - sums * sums / count
    return math.sqrt(spread / (count - 1)) if spread > CANCELLED * squares else 0.0


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
