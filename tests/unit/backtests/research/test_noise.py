"""Strategies without any skill are searched, chosen and judged like every other; nearly none may be promoted."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine import Grid, Setup
from backtests.engine.metrics import deflated_sharpe, returns_of
from backtests.research.permutation import permuted
from backtests.research.promotion import Promotion, Thresholds, quick_filter
from backtests.research.sampling import sobol_sets, space_of
from backtests.research.searching import best_of, judge_chosen, search
from backtests.research.splits import hold_out, purge_bars, traded
from backtests.research.trials import Tally
from dgbot.core.types import TradingRules
from risk.domain.sizing import SizingMode, SizingPlan
from tests.candle_factory import make_candles
from tests.noise import noise_strategy
from tests.scale import scale

pytestmark = pytest.mark.timeout(600)

D = Decimal
RULES = TradingRules("KRW-BTC", "BTC", "KRW", lot_step=D("0.00000001"), minimum_total=D(1), tick_bands=((D(0), D("0.000001")),))
# Nothing is taken for trading and nothing limits it: the easiest world for luck, and so the hardest for the gate.
FREE = Setup(
    grids=(Grid(RULES),),
    fee_rate=D(0),
    slippage=D(0),
    stop_fraction=D("0.9"),
    target_fraction=D(9),
    spacing=timedelta(0),
    entries_per_day=1000,
    daily_loss_fraction=D("0.99"),
    weekly_loss_fraction=D("0.99"),
    sizing=SizingPlan(mode=SizingMode.EQUITY_FRACTION, equity_fraction=D("0.9")),
    largest_amount=D(10**12),
    position_fraction=D(1000),
    rsi_limit=None,
)
COSTLY = replace(FREE, fee_rate=D("0.0005"), slippage=D("0.0002"))
BARS, SETS = 4000, 12


@dataclass(frozen=True)
class Outcome:
    promotion: Promotion
    is_through_quick_filter: bool
    is_significant_uncounted: bool  # had only the chosen set been counted


def walk_of_prices(seed: int) -> Candles:
    """A fair market by the hour: no drift, returns with fat tails and clusters of volatility."""
    random = np.random.default_rng(seed)
    volatility = 0.005 * np.exp(0.5 * np.sin(np.cumsum(random.normal(0, 0.05, BARS))))
    close = 100 * np.exp(np.cumsum(random.standard_t(4, BARS) / 2**0.5 * volatility))
    opens = np.concatenate([close[:1], close[:-1]])
    return make_candles(
        close,
        high=np.maximum(opens, close) * (1 + random.exponential(0.001, BARS)),
        low=np.minimum(opens, close) * (1 - random.exponential(0.001, BARS)),
        volume=random.lognormal(0, 1, BARS),
    )


def market(number: int) -> Candles:
    """Every other market is a real walk shuffled: the same bars in another order."""
    walk = walk_of_prices(number // 2)
    return permuted(walk, seed=number) if number % 2 else walk


def researched(number: int) -> Outcome:
    strategy, candles, setup = noise_strategy(number), market(number), COSTLY if number % 8 == 7 else FREE
    sets = sobol_sets(strategy, space_of(strategy), seed=number, start=0, count=SETS)
    span = traded(candles, setup)
    split = hold_out(span, share=0.3, purge=purge_bars(strategy, sets, holding_bars=40))
    scored = search(candles, strategy, sets, setup, split.search)
    best = best_of(scored)
    assert best is not None
    tally = Tally.of(np.nan if one.sharpe is None else one.sharpe for one in scored)
    judged = judge_chosen(candles, strategy, best.parameters, setup, split, tally=tally, looks=1)
    alone = deflated_sharpe(returns_of(judged.searched.equity, cash=float(setup.cash)), trials=1, trial_sharpe_variance=0.0)
    return Outcome(
        promotion=judged.promotion,
        is_through_quick_filter=not quick_filter(judged.held_out.metrics, Thresholds()),
        is_significant_uncounted=alone is not None and alone >= Thresholds().confidence,
    )


def test_of_200_strategies_of_noise_at_most_5_percent_are_promoted() -> None:
    count = scale(sample=200, full=2000)  # two seconds; a tenth of the full proof
    outcomes = [researched(number) for number in range(count)]
    promoted = sum(one.promotion.allowed for one in outcomes)
    lucky = sum(one.is_through_quick_filter for one in outcomes)
    uncounted = sum(one.is_significant_uncounted for one in outcomes)
    counted = sum("deflated_sharpe" not in {reason.code for reason in one.promotion.reasons} for one in outcomes)

    assert promoted <= 0.05 * count
    assert lucky > 0.05 * count, "noise that never gets through the quick filter would prove nothing about the rest of the gate"
    assert uncounted > 0.10 * count, "a choice among many that never looks significant would prove nothing about the counter"
    assert counted <= 0.05 * count
