"""Permutation test: what does the same search find on markets whose bars come in another order?

Null hypothesis: the *order* of the bars carries nothing the strategy can use. A permuted market has the same bars – the same moves
inside a bar with the volume they came with, the same jumps between bars – the same first and last price, and so the same drift and
the same distribution of returns; trends, reversals, clusters of volatility and the daily rhythm are gone. A strategy that only rides
the drift or the fat tails does as well there, and is not told apart from noise; one that uses any dependence in time is.

Source: Masters, "Permutation and Randomization Tests for Trading System Development", 2020; the p-value with its own market counted,
(1 + #{permuted ≥ real}) / (1 + permutations), as in Phipson & Smyth 2010, so that it is never zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """real: the statistic on the market as it was, None unknown. permuted: (n,) on the others, NaN unknown. p_value: None unknown."""

    real: float | None
    permuted: NDArray[np.float64]
    p_value: float | None


def permuted(candles: Candles, *, seed: int) -> Candles:
    """The same bars in another order, with a hash chain of their own. The first bar and all open times stay."""
    count = len(candles)
    if count < 3:
        return replace(candles, chain=None)
    random = np.random.default_rng(seed)
    opens = np.log(candles.open)
    jump = (opens[1:] - np.log(candles.close)[:-1])[random.permutation(count - 1)]
    inside = 1 + random.permutation(count - 1)
    move = (np.log(candles.close) - opens)[inside]
    start = np.log(candles.close[0]) + np.cumsum(jump) + np.concatenate([[0.0], np.cumsum(move)[:-1]])
    opened, closed = np.exp(start), np.exp(start + move)
    high = np.maximum(np.exp(start + (np.log(candles.high) - opens)[inside]), np.maximum(opened, closed))  # rounding may cross them
    low = np.minimum(np.exp(start + (np.log(candles.low) - opens)[inside]), np.minimum(opened, closed))

    def joined(first: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([first[:1], others])

    return replace(
        candles,
        open=joined(candles.open, opened),
        high=joined(candles.high, high),
        low=joined(candles.low, low),
        close=joined(candles.close, closed),
        volume=joined(candles.volume, candles.volume[inside]),
        chain=None,
    )


def permutation_test(
    statistic: Callable[[Candles], float | None],
    candles: Candles,
    *,
    permutations: int,
    seed: int,
    told: Callable[[int], None] = lambda _done: None,
) -> PermutationTest:
    """statistic: candles → what is compared, larger is better, None unknown. To judge a search it must repeat the whole search.

    An unknown value on a permuted market does not exceed the real one; an unknown real one makes the p-value unknown.
    """
    real = statistic(candles)
    values = np.full(permutations, np.nan)
    for number in range(permutations):
        value = statistic(permuted(candles, seed=seed + number))
        values[number] = np.nan if value is None else value
        told(number + 1)
    if real is None or not permutations:
        return PermutationTest(real=real, permuted=values, p_value=None)
    return PermutationTest(real=real, permuted=values, p_value=(1 + int(np.sum(values >= real))) / (1 + permutations))
