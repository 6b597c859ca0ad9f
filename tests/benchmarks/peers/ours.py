"""Our engine on the peers' work, end to end: signals, run, statistics, trades as columns. Prints seconds and trades."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from backtests.candles.series import Candles
from backtests.engine import Grid, Setup, run, warm
from backtests.indicators import atr14, mean_before
from backtests.strategies.base import Parameters, Signals, Strategy, all_open, before, exceeds
from backtests.strategies.exits import ExitRules
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from risk.domain.sizing import SizingMode, SizingPlan
from risk.domain.trailing import PartialLevel
from tests.benchmarks.peers.market import FEE, FIRST_PROFIT, HOURLY, LAST_PROFIT, SLIPPAGE, STOP, bars

D = Decimal
RULES = TradingRules("KRW-BTC", "BTC", "KRW", lot_step=D("0.00000001"), minimum_total=D(0), tick_bands=((D(0), D(1)),))
SETUP = Setup(
    grids=(Grid(RULES),),
    cash=D(1_000_000_000),
    fee_rate=D(str(FEE)),
    slippage=D(str(SLIPPAGE)),
    stop_fraction=D(str(STOP)),
    target_fraction=D(str(LAST_PROFIT)),
    levels=(PartialLevel(D(str(FIRST_PROFIT)), D("0.5")),),
    spacing=timedelta(0),
    entries_per_day=10_000,
    daily_loss_fraction=D(0),
    weekly_loss_fraction=D(0),
    sizing=SizingPlan(mode=SizingMode.FIXED, fixed_amount=D(100_000_000)),
    largest_amount=D(100_000_000),
    position_fraction=D(1),
    rsi_limit=None,
)


@dataclass(frozen=True)
class NoParameters(Parameters):
    """The work has none."""


def signals(candles: Candles, _parameters: NoParameters) -> Signals:
    """A close over the one before by ATR14 of the bar before, on more volume than the 20 bars before had."""
    rise = candles.close - before(candles.close, first=np.nan)
    atr = before(atr14(candles.high, candles.low, candles.close), first=np.nan)
    return Signals(entry=all_open({"rise": exceeds(rise, atr), "volume": exceeds(candles.volume, mean_before(candles.volume, 20))}))


WORK: Strategy[Any] = Strategy(
    name="work",
    title="Work",
    description="What the peers do.",
    parameters=NoParameters,
    warm_up=lambda _parameters: 20,
    look_back=lambda _parameters: 125,
    signals=signals,
    exit_rules=lambda _parameters: ExitRules(),
)


def timed(work: Callable[[], Any], *, repeats: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def main() -> None:
    """Print one JSON object."""
    count, repeats = int(sys.argv[1]), int(sys.argv[2])
    market, interval = bars(count), Interval.HOUR_1 if count <= HOURLY else Interval.MINUTE_1
    columns = (market[name] for name in ("time", "open", "high", "low", "close", "volume"))
    candles = Candles("upbit", "KRW-BTC", interval, *columns)
    warm()
    result = run(candles, WORK, NoParameters(), SETUP)
    took = timed(lambda: run(candles, WORK, NoParameters(), SETUP), repeats=repeats)
    print(json.dumps({"s": took, "trades": len(result.trades)}))  # noqa: T201


if __name__ == "__main__":
    main()
