"""Metrics against a reference library, where the definitions agree, and unknown where there is nothing to tell."""

import math
from dataclasses import replace

import empyrical
import numpy as np
import pytest

from backtests.engine import run
from backtests.engine.layout import RESULTS, R
from backtests.engine.metrics import deflated_sharpe, expected_best_sharpe, measure, returns_of
from backtests.strategies.registry import strategy_named
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles
from tests.unit.backtests.test_engine_runs import FINE_SETUP

pytestmark = pytest.mark.timeout(600)  # the first run on a machine compiles

HOUR = Interval.HOUR_1.nanoseconds
HOURS_A_YEAR = 365 * 24
CLOSE = {"rel": 1e-9, "abs": 1e-12}


@pytest.mark.parametrize("seed", range(1, 6))
def test_metrics_are_those_of_the_reference_library(seed: int) -> None:
    strategy = strategy_named("volume_long_candle")
    setup = replace(FINE_SETUP, rsi_limit=None, daily_loss_fraction=0, weekly_loss_fraction=0)  # type: ignore[arg-type]
    result = run(random_candles(4000, seed=seed), strategy, strategy.parameters(), setup)
    returns = returns_of(result.equity, cash=1_000_000)

    found = result.metrics

    assert found.trades
    assert found.total_return == pytest.approx(empyrical.cum_returns_final(returns), **CLOSE)
    assert found.annual_return == pytest.approx(empyrical.annual_return(returns, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.volatility == pytest.approx(empyrical.annual_volatility(returns, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.sortino == pytest.approx(empyrical.sortino_ratio(returns, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.max_drawdown == pytest.approx(-empyrical.max_drawdown(returns), **CLOSE)
    assert found.calmar == pytest.approx(empyrical.calmar_ratio(returns, annualization=HOURS_A_YEAR), **CLOSE)


def test_a_wandering_curve_is_measured_as_the_reference_library_does() -> None:
    from backtests.engine.kernel import measure_curve

    returns = np.random.default_rng(3).normal(0.0001, 0.01, 5000)
    equity, results = 1e6 * np.cumprod(1 + returns), np.zeros(RESULTS)
    measure_curve(0, len(equity), equity, 1e6, results)
    results[R.FINAL_EQUITY], results[R.BARS] = equity[-1], len(equity)

    found = measure(results, cash=1e6, interval_ns=HOUR)

    told = returns_of(equity, cash=1e6)
    assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(told, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.sortino == pytest.approx(empyrical.sortino_ratio(told, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.calmar == pytest.approx(empyrical.calmar_ratio(told, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.volatility == pytest.approx(empyrical.annual_volatility(told, annualization=HOURS_A_YEAR), **CLOSE)
    assert found.max_drawdown == pytest.approx(-empyrical.max_drawdown(told), **CLOSE)


def test_what_cannot_be_told_is_unknown_and_never_zero() -> None:
    results = np.zeros(RESULTS)
    results[R.FINAL_EQUITY], results[R.BARS] = 1e6, 100

    found = measure(results, cash=1e6, interval_ns=HOUR)

    assert found.total_return == 0
    unknown = (
        "sharpe",
        "sortino",
        "calmar",
        "win_rate",
        "profit_factor",
        "expectancy",
        "average_win",
        "average_loss",
        "average_holding_bars",
    )
    assert all(getattr(found, name) is None for name in unknown)


def test_a_ruined_account_has_no_annual_return() -> None:
    results = np.zeros(RESULTS)
    results[R.FINAL_EQUITY], results[R.BARS] = -5.0, 100

    assert measure(results, cash=1e6, interval_ns=HOUR).annual_return is None


def test_the_more_was_tried_the_less_a_sharpe_ratio_proves() -> None:
    returns = np.random.default_rng(1).normal(0.0008, 0.01, 2000)

    proofs = [deflated_sharpe(returns, trials=trials, trial_sharpe_variance=0.0005) for trials in (1, 10, 1000)]

    assert all(proof is not None for proof in proofs)
    assert proofs == sorted(proofs, reverse=True)  # type: ignore[type-var]
    assert proofs[0] > 0.99  # type: ignore[operator]
    assert proofs[2] < 0.9  # type: ignore[operator]


def test_the_deflated_sharpe_ratio_of_the_paper() -> None:
    """Bailey & López de Prado 2014, numerical example: SR 2.5 a year over 1,250 days, 100 trials with variance 1/2 a year."""
    daily = 2.5 / math.sqrt(250)

    benchmark = expected_best_sharpe(trials=100, variance=0.5 / 250)
    z = (daily - benchmark) * math.sqrt(1249) / math.sqrt(1 + 3 * daily + (10 - 1) / 4 * daily**2)

    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    assert 0.5 * (1 + math.erf(z / math.sqrt(2))) == pytest.approx(0.9004, abs=5e-4)


@pytest.mark.parametrize("wrong", [{"trials": 0, "trial_sharpe_variance": 0.1}, {"trials": 2, "trial_sharpe_variance": math.nan}])
def test_trials_are_counted_from_one(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="trials"):
        deflated_sharpe(np.zeros(10), **wrong)  # type: ignore[arg-type]


def test_returns_without_variance_prove_nothing() -> None:
    assert deflated_sharpe(np.zeros(100), trials=1, trial_sharpe_variance=0.0) is None
