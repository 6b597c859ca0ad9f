"""Backtests for tests: an archived random walk and a spec that trades on it, with only what matters to the test said."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from backtests.candles.archive import save
from backtests.candles.series import Candles
from backtests.engine import Grid, Setup
from backtests.selectors import archive_root
from backtests.services import candles
from backtests.specs import MarketSpec, RunSpec, SweepSpec
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from tests.candle_factory import START, random_candles

RULES = TradingRules(
    symbol="KRW-BTC",
    base="BTC",
    quote="KRW",
    lot_step=Decimal("0.00000001"),
    minimum_total=Decimal(0),
    tick_bands=((Decimal(0), Decimal("0.01")),),
)


def archive(*, count: int = 2000, symbol: str = "KRW-BTC", seed: int = 1) -> Candles:
    """A random walk in the archive, labelled."""
    walk = replace(random_candles(count, seed=seed, start=START), symbol=symbol, chain=None)
    save(walk, archive_root())
    candles.label(root=archive_root(), exchange="upbit", symbol=symbol, interval=Interval.HOUR_1, source_name="test")
    return walk


def run_spec(*symbols: str, strategy: str = "ultra_aggressive_momentum", setup: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    """One market unless said, without limits that would end it early."""
    markets = tuple(
        MarketSpec(
            symbol,
            Setup(
                grids=(Grid(replace(RULES, symbol=symbol)),),
                daily_loss_fraction=Decimal("0.99"),
                weekly_loss_fraction=Decimal("0.99"),
                **(setup or {}),
            ),
        )
        for symbol in symbols or ("KRW-BTC",)
    )
    return RunSpec(strategy=strategy, exchange="upbit", interval=Interval.HOUR_1, markets=markets, **{"monte_carlo": 50, **changes})


def sweep_spec(**changes: Any) -> SweepSpec:
    """A small search over two parameters."""
    return SweepSpec(run=run_spec(), **{"sets": 256, "folds": 2, "ranges": {}, **changes})
