"""Splits that do not leak, permutations that keep what they promise, samples that cover, and a gate that says each reason."""

from dataclasses import fields, replace

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.engine import run
from backtests.engine.layout import R
from backtests.engine.metrics import returns_of
from backtests.research.monte_carlo import resample_trades, trade_returns
from backtests.research.permutation import permutation_test, permuted
from backtests.research.promotion import Thresholds, best_of_looks, deflated_by, judge, quick_filter
from backtests.research.sampling import EXITS_PER_SIGNAL, neighbours, sobol_sets, space_of
from backtests.research.searching import best_of, search
from backtests.research.splits import Span, hold_out, purge_bars, traded, walk_forward
from backtests.research.stability import stability_of
from backtests.research.trials import Tally, sharpe_per_bar
from backtests.research.walking import sum_up, walk
from backtests.strategies.registry import STRATEGIES, strategy_named
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from tests.candle_factory import random_candles
from tests.noise import NoiseParameters, noise_strategy
from tests.unit.backtests.research.test_noise import FREE

NOISE = noise_strategy(1)
HOUR_NS = Interval.HOUR_1.nanoseconds
searchable = pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "ai"])


def spoiled_from(candles: Candles, bar: int) -> Candles:
    """Every price from `bar` on ten times as high."""
    factor = np.where(np.arange(len(candles)) < bar, 1.0, 10.0)
    return replace(candles, **{name: getattr(candles, name) * factor for name in ("open", "high", "low", "close")}, chain=None)


def test_the_hold_out_is_the_newest_part_and_the_purge_belongs_to_nobody() -> None:
    split = hold_out(Span(100, 1100), share=0.3, purge=50)

    assert (split.search, split.judge, split.purged) == (Span(100, 750), Span(800, 1100), 50)


def test_each_fold_is_judged_after_everything_it_was_searched_on() -> None:
    splits = walk_forward(Span(0, 2500), folds=4, purge=20)

    assert [split.judge for split in splits] == [Span(500, 1000), Span(1000, 1500), Span(1500, 2000), Span(2000, 2500)]
    assert all(split.search.first == 0 and split.purged == 20 for split in splits)


def test_too_few_candles_to_split_are_refused_with_what_would_help() -> None:
    with pytest.raises(BadInput, match="1000 candles are too few to search, purge 680 and judge: a part would hold 20"):
        hold_out(Span(0, 1000), share=0.3, purge=680)


def test_the_purge_is_the_longest_look_back_or_holding() -> None:
    strategy = strategy_named("volume_zone_breakout")
    sets = [strategy.parameters(zone_bars=bars) for bars in (10, 200)]

    assert purge_bars(strategy, sets, holding_bars=30) == strategy.look_back(sets[1]) >= 200
    assert purge_bars(strategy, sets, holding_bars=999) == 999


def test_no_later_candle_reaches_a_search() -> None:
    candles = random_candles(1500)
    sets = sobol_sets(NOISE, space_of(NOISE), seed=1, start=0, count=8)
    split = hold_out(traded(candles, FREE), share=0.3, purge=40)

    seen = search(candles, NOISE, sets, FREE, split.search)

    assert seen == search(spoiled_from(candles, split.search.last), NOISE, sets, FREE, split.search)
    assert seen != search(spoiled_from(candles, split.search.last - 1), NOISE, sets, FREE, split.search)


def test_a_walk_forward_joins_only_the_blocks_ahead() -> None:
    candles = random_candles(2000)
    sets = sobol_sets(NOISE, space_of(NOISE), seed=1, start=0, count=8)
    splits = walk_forward(traded(candles, FREE), folds=3, purge=40)

    folds = walk(candles, NOISE, sets, FREE, splits)
    told = sum_up(folds, cash=float(FREE.cash), interval_ns=HOUR_NS)

    assert (told.folds, told.bars) == (3, 1500)
    each = [fold.ahead.metrics.total_return for fold in folds if fold.ahead]
    assert told.total_return == pytest.approx(np.prod([1 + one for one in each]) - 1)
    assert told.trades == sum(fold.ahead.metrics.trades for fold in folds if fold.ahead)


def test_a_permuted_market_has_the_same_bars_drift_and_ends_in_another_order() -> None:
    candles = random_candles(800)
    other = permuted(candles, seed=5)

    np.testing.assert_array_equal(other.open_time, candles.open_time)
    assert other.close[-1] == pytest.approx(candles.close[-1], rel=1e-9)
    for moves in (lambda one: np.log(one.close / one.open)[1:], lambda one: np.log(one.open[1:] / one.close[:-1])):
        np.testing.assert_allclose(np.sort(moves(other)), np.sort(moves(candles)), atol=1e-9)
        if np.ptp(moves(candles)) > 1e-9:
            assert not np.allclose(moves(other), moves(candles))
    np.testing.assert_array_equal(np.sort(other.volume), np.sort(candles.volume))
    assert (other.high >= np.maximum(other.open, other.close)).all() and (other.low <= np.minimum(other.open, other.close)).all()
    np.testing.assert_array_equal(permuted(candles, seed=5).close, other.close)


def test_a_permutation_test_tells_order_from_no_order() -> None:
    def persistence(candles: Candles) -> float:
        moves = np.diff(np.log(candles.close))
        return float(np.corrcoef(moves[:-1], moves[1:])[0, 1])

    random = np.random.default_rng(1)
    noise = random.normal(0, 0.01, 500)
    trending = np.convolve(noise, [1, 0.6, 0.3], mode="same")
    drawn = random_candles(500)
    scaled = 100 * np.exp(np.cumsum(trending))
    opens = np.concatenate([scaled[:1], scaled[:-1]])
    market = replace(drawn, open=opens, close=scaled, high=np.maximum(opens, scaled), low=np.minimum(opens, scaled), chain=None)

    assert permutation_test(persistence, market, permutations=99, seed=1).p_value == 0.01
    assert (permutation_test(persistence, drawn, permutations=99, seed=1).p_value or 0) > 0.05
    assert permutation_test(lambda _candles: None, drawn, permutations=3, seed=1).p_value is None


def test_resampled_trades_lie_around_what_they_are_drawn_from() -> None:
    returns = np.array([0.02, -0.01] * 50)
    drawn = resample_trades(returns, draws=2000, seed=1)

    assert drawn is not None and drawn == resample_trades(returns, draws=2000, seed=1)
    assert drawn.total_return.low < drawn.total_return.median < drawn.total_return.high
    assert drawn.total_return.median == pytest.approx((1.02 * 0.99) ** 50 - 1, abs=0.05)
    assert 0 < drawn.max_drawdown.low < drawn.max_drawdown.high < 1
    assert drawn.loss_probability < 0.01
    assert resample_trades(np.empty(0), draws=10, seed=1) is None
    certain = resample_trades(np.array([-0.1]), draws=5, seed=1)
    assert certain is not None and certain.max_drawdown.low == pytest.approx(0.1), "a first loss is a drawdown from the cash"


def test_trade_returns_compound_to_what_the_run_earned() -> None:
    candles = random_candles(1500)
    results = (run(candles, NOISE, NoiseParameters(coin=coin), FREE) for coin in range(10))
    result = next(one for one in results if one.statistics[R.HELD_LOTS] == 0)  # or the profit of what is still held were missing

    total = np.prod(1 + trade_returns(result, cash=float(FREE.cash))) - 1
    assert total == pytest.approx(result.metrics.total_return, rel=1e-6)
    assert len(result.trades) > 20


@searchable
def test_samples_are_legal_reproducible_however_cut_and_reach_every_corner(name: str) -> None:
    strategy = strategy_named(name)
    space = space_of(strategy)

    sets = sobol_sets(strategy, space, seed=7, start=0, count=256)

    assert sets == [
        *sobol_sets(strategy, space, seed=7, start=0, count=100),
        *sobol_sets(strategy, space, seed=7, start=100, count=156),
    ]
    assert sets != sobol_sets(strategy, space, seed=8, start=0, count=256)
    for one in fields(strategy.parameters):
        values = np.array([float(getattr(each, one.name)) for each in sets])
        low, high = space[one.name].low, space[one.name].high
        places = np.log(values / low) / np.log(high / low) if space[one.name].is_wide else (values - low) / (high - low)
        slots = 1 if name == "volatility_breakout" else 10  # its signals are drawn a sixteenth as densely
        assert places.min() < 0.5 < places.max() + 1e-9
        assert places.min() <= 1 / slots or one.type is int
    for each in neighbours(sets[0], space):
        each.validate()
        assert sum(getattr(each, one.name) != getattr(sets[0], one.name) for one in fields(sets[0])) == 1


@searchable
def test_no_set_of_a_space_looks_back_further_than_its_corners(name: str) -> None:
    strategy = strategy_named(name)
    space = space_of(strategy)
    corners = [strategy.parameters.of({each: getattr(one, end) for each, one in space.items()}) for end in ("low", "high")]

    longest = purge_bars(strategy, sobol_sets(strategy, space, seed=1, start=0, count=512))

    assert longest <= purge_bars(strategy, corners), "a search purges by its corners"


def test_sets_of_exits_share_their_signals_and_fixed_parameters_stay() -> None:
    strategy = strategy_named("volatility_breakout")
    sets = sobol_sets(strategy, space_of(strategy, {"trend_bars": (60, 60)}), seed=1, start=0, count=64)

    assert len({each.squeeze_ratio for each in sets}) == 64 / EXITS_PER_SIGNAL
    assert len({each.stop_atr for each in sets}) == 64
    assert {each.trend_bars for each in sets} == {60}
    with pytest.raises(BadInput, match=r"trend_bars cannot be searched in 0…60"):
        space_of(strategy, {"trend_bars": (0, 60)})
    with pytest.raises(BadInput, match="'trend' is not known"):
        space_of(strategy, {"trend": (0, 60)})


def test_every_failed_condition_of_the_gate_is_a_reason_with_value_limit_and_remedy() -> None:
    candles = random_candles(1500)
    result = run(candles, NOISE, NoiseParameters(coin=3, every=60), FREE)
    poor = replace(result.metrics, total_return=-0.3, win_rate=None, profit_factor=0.9, sharpe=-1.0, max_drawdown=0.31, trades=12)

    told = judge(poor, np.zeros(50), bars=400, interval_ns=HOUR_NS, tally=Tally(count=500, sharpe_variance=1e-4), looks=3)

    assert not told.allowed
    codes = ["return", "win_rate", "profit_factor", "sharpe", "max_drawdown", "trades", "looks"]
    assert [reason.code for reason in told.reasons] == [*(f"hold_out_{code}" for code in codes), "deflated_sharpe"]
    for reason in told.reasons:
        assert reason.value and reason.limit and reason.remedy
        assert reason.message.endswith(f"; {reason.remedy}.")
    assert told.reasons[0].message.startswith("The return on the hold-out is -30.00 %, under the limit of 3.00 %;")
    assert "best of worthless trials, 500 in all, is unknown" in told.reasons[-1].message


def test_a_skilled_strategy_passes_and_more_trials_deflate_it() -> None:
    random = np.random.default_rng(1)
    returns = random.normal(0.0003, 0.005, 9000)
    result = run(random_candles(1500), NOISE, NoiseParameters(coin=3), FREE)
    good = replace(result.metrics, total_return=0.2, win_rate=0.5, profit_factor=None, sharpe=2.0, max_drawdown=0.1, trades=40)

    def asked(count: int, looks: int = 1) -> list[str]:
        tally = Tally(count=count, sharpe_variance=4e-4)
        return [one.code for one in judge(good, returns, bars=3000, interval_ns=HOUR_NS, tally=tally, looks=looks).reasons]

    assert asked(10) == []
    assert deflated_by(returns, Tally(10, 1.0)) == deflated_by(returns, Tally(10, 1 / (len(returns) - 1))), "luck makes no more of it"
    assert asked(10**6) == ["deflated_sharpe"]
    assert asked(10, looks=10**3) == ["hold_out_looks"]
    assert best_of_looks(1, bars=3000, interval_ns=HOUR_NS) == 0
    assert quick_filter(replace(good, profit_factor=None, trades=0), Thresholds())[0].code == "hold_out_profit_factor"


def test_the_sharpe_of_a_sweep_row_is_that_of_its_returns() -> None:
    result = run(random_candles(1500), NOISE, NoiseParameters(coin=3), FREE)
    returns = returns_of(result.equity, cash=float(FREE.cash))

    assert sharpe_per_bar(result.statistics.reshape(1, -1))[0] == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert np.isnan(
        sharpe_per_bar(run(random_candles(50), NOISE, NoiseParameters(every=60, coin=1), FREE).statistics.reshape(1, -1) * 0)[0]
    )


def test_stability_says_what_the_neighbours_keep() -> None:
    candles = random_candles(1500)
    sets = sobol_sets(NOISE, space_of(NOISE), seed=1, start=0, count=16)
    scored = search(candles, NOISE, sets, FREE, traded(candles, FREE))
    best = best_of(scored)

    assert best is not None
    told = stability_of(best, scored)
    assert told.neighbours == 16
    assert told.profitable == np.mean([one.metrics.total_return > 0 for one in scored])
    assert told.kept is None or told.kept <= 1
    assert stability_of(best, []).kept is None
