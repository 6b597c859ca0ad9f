import itertools

import numpy as np
import pytest

from backtests import structure
from backtests.candles.series import Candles
from backtests.indicators import atr14, rsi14
from tests.candle_factory import make_candles, random_candles


def slow_swing_lows(candles: Candles, *, bars: int, prominence_atr: float) -> list[int]:
    low, high, reach = candles.low, candles.high, atr14(candles.high, candles.low, candles.close)
    found = []
    for p in range(bars, len(candles) - bars):
        left, right = slice(p - bars, p), slice(p + 1, p + bars + 1)
        stands_out = min(max(high[left]), max(high[right])) - low[p] >= prominence_atr * reach[p]
        if low[p] < min(low[left]) and low[p] <= min(low[right]) and (stands_out or prominence_atr == 0):
            found.append(p)
    return found


@pytest.mark.parametrize("bars", [1, 3, 8])
@pytest.mark.parametrize("prominence_atr", [0.0, 0.5, 2.0])
def test_swing_pivots_are_what_the_eye_sees(bars: int, prominence_atr: float) -> None:
    candles = random_candles(400)

    lows = structure.swing_lows(candles.high, candles.low, candles.close, bars=bars, prominence_atr=prominence_atr)
    mirrored = make_candles(200 - candles.close, high=200 - candles.low, low=200 - candles.high)
    highs = structure.swing_highs(mirrored.high, mirrored.low, mirrored.close, bars=bars, prominence_atr=prominence_atr)

    assert lows.tolist() == slow_swing_lows(candles, bars=bars, prominence_atr=prominence_atr)
    np.testing.assert_array_equal(highs, lows)


def test_a_pivot_is_known_only_after_its_confirmation() -> None:
    candles = random_candles(300)
    whole = structure.swing_lows(candles.high, candles.low, candles.close, bars=4)

    for count in range(301):
        part = candles.prefix(count)
        known = structure.swing_lows(part.high, part.low, part.close, bars=4)
        assert known.tolist() == [p for p in whole if p + 4 < count]


@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e6])
def test_pivots_do_not_depend_on_the_price_scale(factor: float) -> None:
    candles = random_candles(300)
    scaled = [column * factor for column in (candles.high, candles.low, candles.close)]

    found = structure.swing_lows(*scaled, bars=3, prominence_atr=1.0)

    np.testing.assert_array_equal(found, structure.swing_lows(candles.high, candles.low, candles.close, bars=3, prominence_atr=1.0))


def test_of_a_plateau_the_first_bar_is_the_pivot() -> None:
    high = np.array([1.0, 2.0, 3.0, 3.0, 3.0, 2.0, 1.0])

    assert structure.swing_highs(high, high - 1, high, bars=2).tolist() == [2]


def test_a_lower_low_on_more_strength_is_a_bullish_divergence() -> None:
    # A steep fall, a bounce, a slow fall to a lower low, and up again: the classic picture.
    steep, bounce = np.linspace(130, 100, 20), np.linspace(101, 112, 8)
    slow = np.linspace(111.5, 99, 30) + np.where(np.arange(30) % 2, 0.6, -0.6)
    candles = make_candles(np.concatenate([np.linspace(128, 130, 20), steep, bounce, slow, np.linspace(100, 108, 10)]))

    found = structure.bullish_divergences(candles.high, candles.low, candles.close, bars=3, longest_bars=60)

    strength = rsi14(candles.close)
    assert len(found.first) >= 1
    assert (candles.low[found.second] < candles.low[found.first]).all()
    np.testing.assert_array_equal(found.first_rsi, strength[found.first])
    assert (found.second_rsi - found.first_rsi >= 2).all()
    np.testing.assert_array_equal(found.known_at, found.second + 3)


def test_every_divergence_joins_neighbouring_pivots_between_which_price_and_strength_part() -> None:
    candles = random_candles(2000)
    strength = rsi14(candles.close)
    lows = slow_swing_lows(candles, bars=3, prominence_atr=0.5)
    wanted = [
        (first, second)
        for first, second in itertools.pairwise(lows)
        if second - first <= 60 and candles.low[second] < candles.low[first] and strength[second] >= strength[first] + 2
    ]

    found = structure.bullish_divergences(candles.high, candles.low, candles.close, bars=3, longest_bars=60)

    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == wanted
    assert len(wanted) > 10


def test_a_mirrored_market_diverges_the_other_way() -> None:
    candles = random_candles(1000)
    high, low, close = 300 - candles.low, 300 - candles.high, 300 - candles.close

    bullish = structure.bullish_divergences(candles.high, candles.low, candles.close, bars=3, longest_bars=60)
    bearish = structure.bearish_divergences(high, low, close, bars=3, longest_bars=60)

    np.testing.assert_array_equal(bearish.known_at, bullish.known_at)
    np.testing.assert_allclose(bearish.first_rsi, 100 - bullish.first_rsi)


def test_fibonacci_levels_of_a_rise_lie_under_its_high_and_of_a_fall_above_its_low() -> None:
    rise = structure.fibonacci_levels(swing_start=100, swing_end=200)
    fall = structure.fibonacci_levels(swing_start=200, swing_end=100)

    assert rise == pytest.approx({0.236: 176.4, 0.382: 161.8, 0.5: 150.0, 0.618: 138.2, 0.786: 121.4})
    assert fall == pytest.approx({0.236: 123.6, 0.382: 138.2, 0.5: 150.0, 0.618: 161.8, 0.786: 178.6})
