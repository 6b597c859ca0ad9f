"""What a run or a sweep was asked for: typed, complete, stored as JSON. A worker years later computes the same from it.

Faces build specs (`trading.services.backtesting`), services store and run them. Money and limits stand in each market's `Setup`,
grids included, so nothing that an operator edits later changes what a stored run was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.codec import as_json, from_json
from backtests.engine import Account, Setup
from backtests.strategies.base import Parameters, Strategy
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

MOST_BARS = 20_000_000  # bars × symbols of one run: minutes of five markets over seven years, some seconds of kernel time
MOST_WORK = 5_000_000_000  # bars × (1 + permutations): within the hour a run may take
MOST_SYMBOLS = 50
MOST_PERMUTATIONS = 10_000
MOST_SETS = 1_000_000
MOST_SWEEP_WORK = 200_000_000_000  # bars × sets: within the hour on a few cores
SYNCHRONOUS_BARS = 200_000  # up to here, without permutations, a run is done within a request: some tenths of a second
FUNDING_EVERY_NS = 8 * 3600 * 10**9


@dataclass(frozen=True)
class MarketSpec:
    """One market. setup: money, costs, limits, grids, period. funding_rate: fixed, due every eight hours, longs pay a positive one."""

    symbol: str
    setup: Setup
    grid_is_assumed: bool = False
    funding_rate: Decimal | None = None

    def funding(self, candles: Candles) -> NDArray[np.float64] | None:
        """(n,) the rate due at each bar's open, 0 elsewhere; None when none is told."""
        if self.funding_rate is None:
            return None
        return np.where(candles.open_time % FUNDING_EVERY_NS == 0, float(self.funding_rate), 0.0)


@dataclass(frozen=True)
class RunSpec:
    """One backtest. parameters: what differs from the strategy's defaults. account: what several markets share, None for one.

    hold_out: the newest share of the candles judges; None: no promotion gate. monte_carlo, permutations: how many, 0 none.
    """

    strategy: str
    exchange: str
    interval: Interval
    markets: tuple[MarketSpec, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    account: Account | None = None
    hold_out: float | None = None
    monte_carlo: int = 1000
    permutations: int = 0
    seed: int = 1

    @property
    def symbols(self) -> list[str]:
        """In the order of their claims on the cash."""
        return [market.symbol for market in self.markets]

    @property
    def cash(self) -> Decimal:
        """Of the account, at the start. Quote currency."""
        return self.markets[0].setup.cash if self.account is None else self.account.cash

    def chosen(self) -> tuple[Strategy[Any], Parameters]:
        """The strategy and its parameters. Raises BadInput for what the registry or the bounds do not know."""
        strategy = strategy_named(self.strategy)
        if strategy.needs_decisions:
            raise BadInput(f"Strategy {strategy.name} replays an analyst's stored decisions, which a series of candles does not hold.")
        return strategy, strategy.parameters.of(self.parameters)

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        told: dict[str, Any] = as_json(self)
        return told


@dataclass(frozen=True)
class SweepSpec:
    """A search on one market. ranges: parameter → (low, high), equal ends fix it; what is not named has its own bounds.

    grid: parameter → values, for sampler `grid`; their product is the sets. hold_out, folds, permutations, objective: as in
    `manage.py optimize`.
    """

    run: RunSpec
    sampler: str = "sobol"
    sets: int = 2048
    ranges: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "sharpe"
    hold_out: float = 0.3
    folds: int = 4
    permutations: int = 0
    seed: int = 1

    @property
    def market(self) -> MarketSpec:
        """The one."""
        return self.run.markets[0]

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        told: dict[str, Any] = as_json(self)
        return told


def run_spec(data: Any) -> RunSpec:
    """The stored spec of a run. Raises BadInput."""
    return from_json(RunSpec, data)


def sweep_spec(data: Any) -> SweepSpec:
    """The stored spec of a sweep. Raises BadInput."""
    return from_json(SweepSpec, data)
