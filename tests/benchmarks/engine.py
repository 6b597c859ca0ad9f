"""How fast the engine is beside the yardstick: `python -m tests.benchmarks.engine`, one JSON object.

Figures of issue 7, "Done when" 1, 2 and 3: kernel against the bare loop on hourly and minute bars, one run end to end, the volume
zone breakout at 100, 300 and 1,000 candles, a sweep of 10,000 sets on one and two threads. Medians of at least five, warm, both
sides of a ratio in one session. The market is a seeded random walk with volume.
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from backtests.candles.series import Candles
from backtests.engine import Grid, Setup, run, sweep
from backtests.engine.layout import RESULTS, R
from backtests.engine.running import ONE_MEMBER, Fills, kernel_of, shared, unit_signals
from backtests.engine.setup import columns_of
from backtests.engine.signal_list import signal_list
from backtests.engine.sweeping import sweep_rows
from backtests.indicators import atr14
from backtests.strategies.base import YES
from backtests.strategies.registry import strategy_named
from backtests.strategies.volatility_breakout import VolatilityBreakoutParameters
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from risk.domain.trailing import PartialLevel
from tests.benchmarks.reference_loop import reference, room

D = Decimal
HOURLY, MINUTELY = 17_520, 1_051_200
RULES = TradingRules("KRW-BTC", "BTC", "KRW", lot_step=D("0.00000001"), minimum_total=D(0), tick_bands=((D(0), D(1)),))
# Everything the bare loop has, and the limits it has not, set so wide that both fill alike.
SETUP = Setup(
    grids=(Grid(RULES),),
    cash=D(100_000_000),
    levels=(PartialLevel(D("0.01"), D("0.5")),),
    trail_atr=3.0,
    spacing=timedelta(0),
    entries_per_day=10_000,
    position_fraction=D(1),
    daily_loss_fraction=D("0.99"),
    weekly_loss_fraction=D("0.99"),
    rsi_limit=None,
)
BREAKOUT = strategy_named("volatility_breakout")
# Gates wide open, so that the loop is in a position for a good part of the time.
EAGER = VolatilityBreakoutParameters(squeeze_ratio=2.0, volume_factor=0.8, weakening_adx=15.0)
SOURCE_CLAIMS_S = {100: 0.0228, 300: 0.0708, 1000: 0.2688}  # requirements §4, the sources' own zone breakout


def market(count: int, *, interval: Interval, seed: int = 1) -> Candles:
    """A seeded geometric random walk with volume, prices on whole won."""
    random = np.random.default_rng(seed)
    sigma = 0.006 if interval is Interval.HOUR_1 else 0.0012
    close = np.round(50_000_000 * np.exp(np.cumsum(random.normal(0, sigma, count))))
    opens = np.concatenate([close[:1], close[:-1]])
    return Candles(
        exchange="upbit",
        symbol="KRW-BTC",
        interval=interval,
        open_time=1_600_000_000_000_000_000 // interval.nanoseconds * interval.nanoseconds
        + np.arange(count, dtype=np.int64) * interval.nanoseconds,
        open=opens,
        high=np.round(np.maximum(opens, close) * (1 + random.exponential(sigma / 3, count))),
        low=np.round(np.minimum(opens, close) * (1 - random.exponential(sigma / 3, count))),
        close=close,
        volume=random.lognormal(0, 1, count),
    )


def median_s(work: Callable[[], Any], *, repeats: int) -> float:
    """Median seconds of a call; one call before is not counted."""
    work()
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def in_turn_s(*works: Callable[[], Any], repeats: int) -> list[float]:
    """Medians of calls taken in turn, so that a slow moment of the machine meets all of them."""
    for work in works:
        work()
    took: list[list[float]] = [[] for _work in works]
    for _ in range(repeats):
        for times, work in zip(took, works, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in took]


def kernel_against_reference(candles: Candles, *, repeats: int) -> dict[str, float]:
    """Seconds of both and their ratio, after asserting that they fill alike. Signals are ready for both."""
    signals = unit_signals(candles, BREAKOUT, EAGER)
    columns, entries = columns_of(candles, SETUP), signal_list(candles, signals, setup=SETUP)
    row = SETUP.row(interval_ns=candles.interval.nanoseconds, parameters=EAGER, rules=BREAKOUT.exit_rules(EAGER)).reshape(1, -1)
    said, kernel = shared(candles, columns, entries, setup=SETUP, funding=None), kernel_of(SETUP)
    fills, equity, results = Fills.room(len(entries.bar) * 3 + 2), np.empty(len(candles)), np.zeros((1, RESULTS))
    bare = room(len(candles))
    atr, enters = atr14(candles.high, candles.low, candles.close), (signals.entry == YES).astype(np.int8)
    money = (1.0, 1e8, 50_000.0, 0.0005, 0.0002, 0.05, 0.10, EAGER.stop_atr, EAGER.target_atr, EAGER.fakeout_atr, 3.0)
    rules = (EAGER.fakeout_bars, EAGER.weakening_adx, EAGER.weakening_ratio, EAGER.timeout_bars, EAGER.timeout_profit, 0.01, 0.5)
    prices = (candles.open_time, candles.open, candles.high, candles.low, candles.close)

    def ours() -> int:
        return int(kernel(columns.first, columns.last, *said, ONE_MEMBER, row, *fills.arrays(), equity, results))

    def theirs() -> int:
        return int(reference(*prices, enters, atr, signals.strength, *money, *rules, *bare))

    count = ours()
    assert count == theirs() > 100
    np.testing.assert_array_equal(fills.bar[:count], bare[0][:count])
    np.testing.assert_allclose(fills.price[:count], bare[1][:count], rtol=1e-12)
    np.testing.assert_array_equal(fills.lots[:count], bare[2][:count])
    np.testing.assert_allclose(equity, bare[3], rtol=1e-12)
    kernel_s, reference_s = in_turn_s(ours, theirs, repeats=repeats)
    held = float(results[0, R.BARS_HELD]) / len(candles)
    return {
        "kernel_s": kernel_s,
        "reference_s": reference_s,
        "ratio": kernel_s / reference_s,
        "ns_a_bar": kernel_s / len(candles) * 1e9,
        "fills": count,
        "held_share": held,
    }


def sweep_figures(candles: Candles, *, sets: int = 10_000) -> dict[str, float]:
    """Kernel seconds of many exit sets over one signal list on one and two threads, and a whole sweep with its signals."""
    setup = replace(SETUP, trail_atr=0.0, levels=())
    columns, entries = columns_of(candles, setup), signal_list(candles, unit_signals(candles, BREAKOUT, EAGER), setup=setup)
    random = np.random.default_rng(1)
    grid = [
        replace(EAGER, stop_atr=float(stop), target_atr=float(target), timeout_bars=int(bars))
        for stop, target, bars in zip(random.uniform(0.5, 4, sets), random.uniform(1, 8, sets), random.integers(4, 72, sets), strict=True)
    ]
    rows = np.array([setup.row(interval_ns=candles.interval.nanoseconds, parameters=one, rules=BREAKOUT.exit_rules(one)) for one in grid])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one, two = in_turn_s(
        lambda: sweep_rows(candles, columns, entries, rows, setup=setup, threads=1),
        lambda: sweep_rows(candles, columns, entries, rows, setup=setup, threads=2),
        repeats=5,
    )
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    whole = median_s(lambda: sweep(candles, BREAKOUT, grid, setup), repeats=3)
    return {"sets": sets, "one_thread_s": one, "two_threads_s": two, "speed_up": one / two, "grown_mib": grown_mib, "with_signals_s": whole}


def end_to_end(candles: Candles, *, repeats: int) -> float:
    """Seconds of signals, run, statistics and columns on bars already mapped."""
    return median_s(lambda: run(candles, BREAKOUT, EAGER, SETUP), repeats=repeats)


def zone_breakout() -> dict[str, dict[str, float]]:
    """The sources' own case, end to end."""
    strategy, figures = strategy_named("volume_zone_breakout"), {}
    for count, claimed in SOURCE_CLAIMS_S.items():
        candles = market(count, interval=Interval.HOUR_1)
        took = median_s(lambda candles=candles: run(candles, strategy, strategy.parameters(), SETUP), repeats=51)  # type: ignore[misc]
        figures[str(count)] = {"s": took, "times_faster": claimed / took}
    return figures


def measure() -> dict[str, Any]:
    """Every figure."""
    hourly, minutely = market(HOURLY, interval=Interval.HOUR_1), market(MINUTELY, interval=Interval.MINUTE_1)
    return {
        "cores": os.cpu_count(),
        "hourly": kernel_against_reference(hourly, repeats=101),
        "minute": kernel_against_reference(minutely, repeats=9),
        "end_to_end_hourly_s": end_to_end(hourly, repeats=51),
        "end_to_end_minute_s": end_to_end(minutely, repeats=7),
        "zone_breakout": zone_breakout(),
        "sweep": sweep_figures(hourly),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print(json.dumps(measure(), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
