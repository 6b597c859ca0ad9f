"""Monte Carlo of trades: how different could the same trades have turned out?

The closed trades' returns on the equity before each are drawn again with replacement, as many as there were, and compounded:
E_k = E_{k−1}·(1 + r_k), drawdown = max over k of 1 − E_k / max(E_0…E_k). Intervals are percentiles of the draws (Efron, "Bootstrap
Methods: Another Look at the Jackknife", Annals of Statistics 7 (1), 1979). Trades are taken as independent of each other: streaks
that belong together are broken up, and moves inside a trade are not seen. So the drawdown here is a lower bound.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.engine.running import Result

CHUNK_CELLS = 4_000_000  # 32 MiB a column: memory stays flat in the number of draws
TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class Interval:
    """The 5 %, 50 % and 95 % points of the draws, fractions."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class MonteCarlo:
    """total_return, max_drawdown: fractions. loss_probability: share of the draws that lost money. Unknown without a trade: None."""

    draws: int
    trades: int
    total_return: Interval
    max_drawdown: Interval
    loss_probability: float

    def as_row(self) -> dict[str, object]:
        """As it is stored and printed."""
        return asdict(self)


def trade_returns(result: Result, *, cash: float) -> NDArray[np.float64]:
    """(k,) profit of each closed trade over the equity at the close before its entry."""
    before = np.concatenate([[cash], result.equity])[result.trades.entry_bar - result.first_bar]
    returns: NDArray[np.float64] = result.trades.profit / before
    return returns


def resample_trades(returns: NDArray[np.float64], *, draws: int, seed: int) -> MonteCarlo | None:
    """returns: (k,) of closed trades, fractions above −1. None without a trade or a draw: nothing is known then."""
    count = len(returns)
    if not count or draws < 1:
        return None
    random = np.random.default_rng(seed)
    totals, drawdowns = np.empty(draws), np.empty(draws)
    step = max(1, CHUNK_CELLS // count)
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        growth = np.cumprod(1 + np.maximum(returns, -1)[random.integers(0, count, (part.stop - start, count))], axis=1)
        peak = np.maximum(np.maximum.accumulate(growth, axis=1), 1.0)
        totals[part], drawdowns[part] = growth[:, -1] - 1, np.max(1 - growth / peak, axis=1)
    return MonteCarlo(
        draws=draws,
        trades=count,
        total_return=_interval(totals),
        max_drawdown=_interval(drawdowns),
        loss_probability=float(np.mean(totals < 0)),
    )


def _interval(values: NDArray[np.float64]) -> Interval:
    low, median, high = np.quantile(values, [TAILS[0], 0.5, TAILS[1]])
    return Interval(low=float(low), median=float(median), high=float(high))
