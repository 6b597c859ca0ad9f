"""What a run says: the same trades as the plain loop that is proven equal to the live path, columns that add up, one cache."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine import Grid, Setup, run, sweep, warm
from backtests.engine.layout import REASONS, R
from backtests.strategies.base import Parameters
from backtests.strategies.registry import STRATEGIES, strategy_named
from backtests.strategies.volatility_breakout import VolatilityBreakoutParameters
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.types import TradingRules
from tests.candle_factory import random_candles
from tests.replay import plain_loop
from tests.scale import scale
from trading.exchanges import upbit_rules
from trading.exchanges.simulated_market import SimulatedMarket

pytestmark = pytest.mark.timeout(600)  # the first run on a machine compiles

D = Decimal
ORIGIN = datetime(2023, 6, 1, tzinfo=UTC)
SETUP = Setup(grids=(Grid(upbit_rules.rules("KRW-BTC", ORIGIN)),))
# A grid so fine that prices around 100 are not distorted by it.
FINE = Grid(TradingRules("KRW-BTC", "BTC", "KRW", lot_step=D("0.00000001"), minimum_total=D(5000), tick_bands=((D(0), D("0.01")),)))
FINE_SETUP = Setup(grids=(FINE,))
BREAKOUT = strategy_named("volatility_breakout")


@pytest.mark.parametrize("seed", range(1, scale(sample=3, full=20)))
def test_a_run_trades_as_the_plain_loop_that_equals_the_live_path(seed: int) -> None:
    market = SimulatedMarket("KRW-BTC", seed, ORIGIN)
    candles = market.closed_candles(Interval.HOUR_1, ORIGIN + timedelta(hours=3000))
    cash = D(60_000) if seed % 2 else D(1_000_000)  # with little cash the breakers have something to do
    setup = replace(SETUP, cash=cash, start=ORIGIN, largest_amount=D(1_000_000), position_fraction=D(1))

    result = run(candles, BREAKOUT, VolatilityBreakoutParameters(), setup)

    bars = [
        plain_loop.Bar(candle.opened_at, candle.open, candle.high, candle.low, candle.close, float(candle.volume)) for candle in candles
    ]
    expected = plain_loop.run(bars, start=ORIGIN, end=bars[-1].at + timedelta(hours=1), cash=cash)
    assert fills_of(result, candles) == expected.fills
    assert len(expected.fills) >= 20, "a market that hardly trades proves nothing"
    worth = expected.cash + expected.coins * bars[-1].c
    assert abs(D(repr(float(result.equity[-1]))) - worth) < 1
    assert abs(D(repr(result.metrics.fees)) - expected.fees) < 1


def fills_of(result, candles: Candles) -> list[plain_loop.Fill]:
    """As the plain loop tells them. A stop or target fills where the loop stamps it: at the bar's opening."""
    return [
        (
            from_nanoseconds(candles.open_time[bar]).isoformat(),
            "buy" if side > 0 else "sell",
            f"{D(repr(float(price))).normalize():f}",
            str(lots),
        )
        for bar, side, price, lots in zip(result.fills.bar, result.fills.side, result.fills.price, result.fills.lots, strict=True)
    ]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_runs_and_its_columns_add_up(name: str) -> None:
    strategy = strategy_named(name)
    candles = random_candles(1500, seed=5)
    for is_perpetual in (False, True):
        setup = replace(FINE_SETUP, is_perpetual=is_perpetual, leverage=D(3) if is_perpetual else D(1), rsi_limit=None)

        result = run(candles, strategy, strategy.parameters(), setup)

        spent = (-result.fills.side * result.fills.price * (result.fills.lots / 1e8) - result.fills.fee).sum()
        held = float(result.statistics[R.HELD_LOTS]) / 1e8 * float(candles.close[-1])
        assert result.equity[-1] == pytest.approx(1_000_000 + spent + held, abs=1e-6)
        assert len(result.trades) == result.metrics.trades
        assert len(result.equity) == len(candles) and np.isfinite(result.equity).all()
        assert [marker["reason"] for marker in result.markers(candles)] == [REASONS[code] for code in result.fills.reason]
        if not is_perpetual:
            assert (result.trades.side == 1).all()


def test_a_sweep_says_of_each_set_what_its_run_says() -> None:
    candles = random_candles(3000, seed=7)
    sets: list[Parameters] = [
        VolatilityBreakoutParameters(stop_atr=stop, target_atr=target, squeeze_ratio=ratio, timeout_bars=bars)
        for stop in (0.7, 2.0)
        for target in (1.5, 4.0)
        for ratio in (0.9, 1.1)
        for bars in (5, 24)
    ]

    found = sweep(candles, BREAKOUT, sets, FINE_SETUP, threads=2)

    assert found.groups == 2
    for number, parameters in enumerate(sets):
        result = run(candles, BREAKOUT, parameters, FINE_SETUP)
        assert found.results[number].tolist() == result.statistics.tolist()
        assert found.metrics(number) == result.metrics
    assert len(found) == len({tuple(row) for row in found.results.tolist()}), "sets that all do the same prove nothing"


def test_distances_of_an_atr_exit_scale_with_their_parameters() -> None:
    candles = random_candles(300, seed=2)
    parameters = VolatilityBreakoutParameters(stop_atr=0.7, target_atr=3.3, fakeout_atr=1.9)

    said, unit = (
        BREAKOUT.signals(candles, parameters),
        BREAKOUT.signals(candles, replace(parameters, stop_atr=1.0, target_atr=1.0, fakeout_atr=1.0)),
    )

    for name, factor in (("stop_distance", 0.7), ("target_distance", 3.3), ("fakeout_distance", 1.9)):
        np.testing.assert_array_equal(getattr(said, name), factor * getattr(unit, name))


def test_a_gate_that_lets_nothing_through_leaves_the_cash_alone() -> None:
    candles = random_candles(800)

    result = run(candles, BREAKOUT, VolatilityBreakoutParameters(squeeze_ratio=2.0), FINE_SETUP, allowed=np.zeros(800, dtype=np.bool_))

    assert len(result.fills) == 0
    assert (result.equity == 1_000_000).all()
    assert result.metrics.sharpe is None and result.metrics.win_rate is None and result.metrics.calmar is None


def test_a_run_without_a_bar_to_trade_is_refused() -> None:
    with pytest.raises(BadInput, match="no candle"):
        run(random_candles(50), BREAKOUT, VolatilityBreakoutParameters(), replace(FINE_SETUP, start=datetime(2030, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cash": D(0)},
        {"fee_rate": D("NaN")},
        {"slippage": D(-1)},
        {"leverage": D(2)},
        {"grids": ()},
        {"trail_atr": float("nan")},
        {"depth": ((D(0), D(0)),)},
    ],
)
def test_a_setup_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        replace(FINE_SETUP, **wrong)  # type: ignore[arg-type]


def test_a_warm_cache_serves_a_new_process_without_compiling(tmp_path: Path) -> None:
    warm()  # fills the session's cache

    answer = subprocess.run(
        [sys.executable, "-c", "import json; from backtests.engine import warm; print(json.dumps(warm()))"],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )

    misses = json.loads(answer.stdout)
    assert set(misses.values()) == {0}
    assert {"spot", "perpetual", "curve", "volume_zone", "window_mean", "directional"} <= set(misses)


def test_what_watches_prices_and_sends_orders_loads_no_numba() -> None:
    code = (
        "import sys, django; django.setup(); import trading.services.gateway_loop, trading.services.guardian, backtests.engine;"
        "print('numba' in sys.modules)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "dgbot.settings"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == "False"
