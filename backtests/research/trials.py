"""What counts as one trial, and what many of them say about the best one.

A trial is one parameter set of one strategy under one setup (money, costs, limits, traded span) on one data set, looked at once or a
hundred times. Its name is a SHA-256 over all of that, so that the same question always has the same name, in any process.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.engine import Account, Setup
from backtests.engine.layout import R
from backtests.engine.metrics import CANCELLED
from backtests.strategies.base import Parameters


@dataclass(frozen=True)
class Tally:
    """How many trials were counted, and the sample variance of their Sharpe ratios per bar, not annualised."""

    count: int
    sharpe_variance: float

    @classmethod
    def of(cls, sharpes: Iterable[float]) -> "Tally":
        """sharpes: per bar, one per trial, NaN unknown. A trial that never traded counts, and says nothing about the variance."""
        column = np.fromiter(sharpes, dtype=np.float64)
        known = column[np.isfinite(column)]
        return cls(count=len(column), sharpe_variance=float(np.var(known, ddof=1)) if len(known) > 1 else 0.0)


@dataclass(frozen=True)
class Trial:
    """One look. key: hex. sharpe: per bar, not annualised; None unknown. seen_to: how many candles, from the first on, it has seen."""

    key: str
    sharpe: float | None
    seen_to: int


@dataclass(frozen=True)
class Shared:
    """What a symbol was tried under when it shared its cash: symbols in their order, itself among them."""

    setup: Setup
    account: Account
    symbols: tuple[str, ...]


def keys_of(sets: Sequence[Parameters], setup: Setup | Shared) -> list[str]:
    """The names (64 hex digits) of `sets` under `setup`; two that mean the same have the same name."""
    shared = sha256(json.dumps(plain(setup), sort_keys=True).encode())
    keys = []
    for parameters in sets:
        digest = shared.copy()
        digest.update(json.dumps(plain(parameters), sort_keys=True).encode())
        keys.append(digest.hexdigest())
    return keys


def sharpe_per_bar(results: NDArray[np.float64]) -> NDArray[np.float64]:
    """results: (sets, RESULTS) by layout.R → (sets,) mean / sample σ of the returns, NaN without variance. Sharpe 1994, risk-free 0."""
    bars, sums, squares = (results[:, name] for name in (R.BARS, R.SUM_RETURNS, R.SUM_SQUARES))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares - sums * sums / bars
        varies = (bars > 1) & (spread > CANCELLED * squares)
        return np.where(varies, sums / bars / np.sqrt(np.where(varies, spread, 1) / (bars - 1)), np.nan)


def plain(value: Any) -> Any:
    """Any value of a setup or of parameters as JSON takes it, equal for equal values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, frozenset):
        return sorted(plain(one) for one in value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    known = next((kind for kind in SAID if isinstance(value, kind)), None)
    return value if known is None else SAID[known](value)


SAID: dict[type, Callable[[Any], Any]] = {
    Enum: lambda value: str(value.value),
    Decimal: lambda value: format(value.normalize(), "f"),
    datetime: datetime.timestamp,
    timedelta: timedelta.total_seconds,
}
