"""Each indicator against a slow, obvious twin after Wilder's and Bollinger's own words."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from backtests import indicators
from tests.candle_factory import random_candles

CANDLES = random_candles(300)
NAN = math.nan


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def slow_width(close: list[float], at: int) -> float:
    window = close[at - 19 : at + 1]
    deviation = math.sqrt(mean([(value - mean(window)) ** 2 for value in window]))
    return 4 * deviation / mean(window)


def smoothed(values: list[float], bars: int = 14) -> list[float]:
    """Wilder's average: the mean of the first `bars`, then one bars-th of the way to each new value."""
    averages = [mean(values[:bars])]
    for value in values[bars:]:
        averages.append((averages[-1] * (bars - 1) + value) / bars)
    return averages


def slow_true_range(high: list[float], low: list[float], close: list[float]) -> list[float]:
    return [max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])) for t in range(1, len(close))]


def slow_atr(high: list[float], low: list[float], close: list[float]) -> list[float]:
    return [NAN] * 14 + smoothed(slow_true_range(high, low, close))


def slow_rsi(close: list[float]) -> list[float]:
    moves = [later - before for before, later in pairwise(close)]
    gains, losses = smoothed([max(move, 0) for move in moves]), smoothed([max(-move, 0) for move in moves])
    return [NAN] * 14 + [100 * gain / (gain + loss) for gain, loss in zip(gains, losses, strict=True)]


def slow_adx(high: list[float], low: list[float], close: list[float]) -> list[float]:
    up = [high[t] - high[t - 1] for t in range(1, len(high))]
    down = [low[t - 1] - low[t] for t in range(1, len(low))]
    plus = [u if u > d and u > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    minus = [d if d > u and d > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    # Wilder sums 13 movements first, then keeps 13/14 of the sum and adds the next; the true range cancels out of DX.
    plus_sum, minus_sum, directions = sum(plus[:13]), sum(minus[:13]), []
    for t in range(13, len(plus)):
        plus_sum, minus_sum = plus_sum * 13 / 14 + plus[t], minus_sum * 13 / 14 + minus[t]
        directions.append(100 * abs(plus_sum - minus_sum) / (plus_sum + minus_sum))
    return [NAN] * 27 + smoothed(directions)


def columns() -> tuple[list[float], list[float], list[float]]:
    return CANDLES.high.tolist(), CANDLES.low.tolist(), CANDLES.close.tolist()


def test_sma_is_the_plain_mean() -> None:
    found = indicators.sma(CANDLES.close, 50)

    np.testing.assert_allclose(found[49:], [mean(CANDLES.close[t - 49 : t + 1].tolist()) for t in range(49, 300)], rtol=1e-12)
    assert np.isnan(found[:49]).all()


def test_bollinger_width_uses_population_deviation() -> None:
    found = indicators.bollinger_width(CANDLES.close)

    np.testing.assert_allclose(found[19:], [slow_width(CANDLES.close.tolist(), t) for t in range(19, 300)], rtol=1e-9)
    assert np.isnan(found[:19]).all()


def test_atr_is_wilders() -> None:
    np.testing.assert_allclose(indicators.atr14(CANDLES.high, CANDLES.low, CANDLES.close), slow_atr(*columns()), rtol=1e-12)


def test_rsi_is_wilders() -> None:
    np.testing.assert_allclose(indicators.rsi14(CANDLES.close), slow_rsi(CANDLES.close.tolist()), rtol=1e-12)


def test_adx_is_wilders() -> None:
    np.testing.assert_allclose(indicators.adx14(CANDLES.high, CANDLES.low, CANDLES.close), slow_adx(*columns()), rtol=1e-9)


def test_before_leaves_the_bar_itself_out() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 9.0])

    np.testing.assert_array_equal(indicators.max_before(values, 2), [NAN, NAN, 5, 4, 4])
    np.testing.assert_array_equal(indicators.min_before(values, 2), [NAN, NAN, 1, 1, 2])
    np.testing.assert_array_equal(indicators.mean_before(values, 2), [NAN, NAN, 3, 2.5, 3])


def test_unknowns_at_the_start_only_lengthen_the_warm_up() -> None:
    values = np.array([NAN, NAN, 5.0, 1.0, 4.0])

    np.testing.assert_array_equal(indicators.max_before(values, 2), [NAN, NAN, NAN, NAN, 5])
    np.testing.assert_array_equal(indicators.sma(values, 2), [NAN, NAN, NAN, 3, 2.5])


def test_constant_prices_have_no_rsi_and_no_adx() -> None:
    flat = np.full(100, 100.0)

    assert np.isnan(indicators.rsi14(flat)).all()
    assert np.isnan(indicators.adx14(flat, flat, flat)).all()
    assert (indicators.atr14(flat, flat, flat)[14:] == 0).all()
    assert (indicators.bollinger_width(flat)[19:] == 0).all()


def test_a_flat_start_does_not_count_as_weak_trend() -> None:
    flat, moving = [np.full(40, column[0]) for column in (CANDLES.high, CANDLES.low, CANDLES.close)], CANDLES.prefix(80)
    high, low, close = (np.concatenate([part, column]) for part, column in zip(flat, (moving.high, moving.low, moving.close), strict=True))

    found = indicators.adx14(high, low, close)

    np.testing.assert_allclose(found[40:], indicators.adx14(moving.high, moving.low, moving.close), rtol=1e-12)
    assert np.isnan(found[:67]).all()


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("call", [indicators.rsi14, lambda values: indicators.sma(values, 5), indicators.bollinger_width])
def test_numbers_that_are_not_finite_are_refused(call: Callable[[np.ndarray], np.ndarray], bad: float) -> None:
    values = CANDLES.close.copy()
    values[50] = bad

    with pytest.raises(ValueError, match="finite"):
        call(values)


@pytest.mark.parametrize("values", [np.arange(40), np.arange(40, dtype=np.float32), np.arange(80.0)[::2], np.ones((4, 4))])
def test_other_columns_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contiguous float64 column"):
        indicators.rsi14(values)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        indicators.atr14(CANDLES.high, CANDLES.low, CANDLES.close[1:])


@pytest.mark.parametrize("count", [0, 1, 2, 14, 15, 19, 20, 27, 28])
def test_short_series_are_unknown_up_to_their_warm_up(count: int) -> None:
    short = CANDLES.prefix(count)

    assert np.isfinite(indicators.rsi14(short.close)).sum() == max(0, count - 14)
    assert np.isfinite(indicators.atr14(short.high, short.low, short.close)).sum() == max(0, count - 14)
    assert np.isfinite(indicators.adx14(short.high, short.low, short.close)).sum() == max(0, count - 27)
    assert np.isfinite(indicators.bollinger_width(short.close)).sum() == max(0, count - 19)
    assert np.isfinite(indicators.max_before(short.close, 20)).sum() == max(0, count - 20)
