"""The indicators of requirements §2.1, each against a slow, obvious twin, against its own prefixes, and where it says nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backtests import indicators
from backtests.candles.series import Candles
from tests.candle_factory import make_candles, random_candles

CANDLES = random_candles(300)
NAN = math.nan
H, L, C, V = (getattr(CANDLES, name).tolist() for name in ("high", "low", "close", "volume"))
TYPICAL = [(high + low + close) / 3 for high, low, close in zip(H, L, C, strict=True)]

# name → (our columns, warm-up of each)
EVERY: dict[str, tuple[Callable[[Candles], Any], tuple[int, ...]]] = {
    "sma": (lambda c: indicators.sma(c.close, 20), (19,)),
    "ema": (lambda c: indicators.ema(c.close, 20), (19,)),
    "macd": (lambda c: indicators.macd(c.close), (33, 33, 33)),
    "bollinger_bands": (lambda c: indicators.bollinger_bands(c.close), (19, 19, 19)),
    "bollinger_width": (lambda c: indicators.bollinger_width(c.close), (19,)),
    "bollinger_position": (lambda c: indicators.bollinger_position(c.close), (19,)),
    "atr14": (lambda c: indicators.atr14(c.high, c.low, c.close), (14,)),
    "atr_fraction": (lambda c: indicators.atr_fraction(c.high, c.low, c.close, bars=5), (5,)),
    "rsi14": (lambda c: indicators.rsi14(c.close), (14,)),
    "rsi": (lambda c: indicators.rsi(c.close, bars=5), (5,)),
    "adx14": (lambda c: indicators.adx14(c.high, c.low, c.close), (27,)),
    "directional14": (lambda c: indicators.directional14(c.high, c.low, c.close), (14, 14)),
    "stochastic": (lambda c: indicators.stochastic(c.high, c.low, c.close), (13, 15)),
    "williams": (lambda c: indicators.williams(c.high, c.low, c.close), (13,)),
    "cci": (lambda c: indicators.cci(c.high, c.low, c.close), (19,)),
    "mfi": (lambda c: indicators.mfi(c.high, c.low, c.close, c.volume), (14,)),
    "roc": (lambda c: indicators.roc(c.close), (10,)),
    "keltner": (lambda c: indicators.keltner(c.high, c.low, c.close), (20, 19, 20)),
    "obv": (lambda c: indicators.obv(c.close, c.volume), (0,)),
    "volume_ratio": (lambda c: indicators.volume_ratio(c.volume), (20,)),
    "vwap": (lambda c: indicators.vwap(c.high, c.low, c.close, c.volume), (19,)),
    "donchian": (lambda c: indicators.donchian(c.high, c.low, 20), (19, 19)),
    "max_before": (lambda c: indicators.max_before(c.high, 20), (20,)),
    "min_before": (lambda c: indicators.min_before(c.low, 20), (20,)),
    "mean_before": (lambda c: indicators.mean_before(c.volume, 20), (20,)),
    "one bar": (lambda c: indicators.sma(c.close, 1), (0,)),
}
every_indicator = pytest.mark.parametrize("name", EVERY)


def columns_of(name: str, candles: Candles) -> tuple[np.ndarray, ...]:
    found = EVERY[name][0](candles)
    return found if isinstance(found, tuple) else (found,)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def slow(count: int, first: int, value: Callable[[int], float]) -> list[float]:
    return [NAN if t < first else value(t) for t in range(count)]


def slow_ema(values: list[float], bars: int, *, start: int | None = None) -> list[float]:
    """Seeded with the mean of `bars` values that end at `start`."""
    start = bars - 1 if start is None else start
    found = [NAN] * start + [mean(values[start - bars + 1 : start + 1])]
    for value in values[start + 1 :]:
        found.append(found[-1] + 2 / (bars + 1) * (value - found[-1]))
    return found


@every_indicator
def test_a_prefix_of_the_bars_gives_a_prefix_of_the_values(name: str) -> None:
    whole = columns_of(name, CANDLES)

    for count in (0, 1, 2, 3, 5, 9, 13, 14, 15, 16, 19, 20, 21, 26, 27, 28, 33, 34, 35, 60, 150, 299):
        for part, column in zip(columns_of(name, CANDLES.prefix(count)), whole, strict=True):
            np.testing.assert_array_equal(part, column[:count])


@every_indicator
def test_values_are_unknown_over_the_stated_warm_up_only(name: str) -> None:
    for column, warm_up in zip(columns_of(name, CANDLES), EVERY[name][1], strict=True):
        assert len(column) == len(CANDLES)
        assert np.isnan(column[:warm_up]).all()
        assert np.isfinite(column[warm_up:]).all()


@every_indicator
@pytest.mark.parametrize("price", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("volume", [0.0, 1e-8, 1e9])
def test_no_value_is_ever_infinite(name: str, price: float, volume: float) -> None:
    flat = make_candles(np.full(80, price), volume=np.full(80, volume))
    moving = make_candles(CANDLES.close * price, volume=np.full(300, volume))

    for candles in (flat, moving):
        for column in columns_of(name, candles):
            assert not np.isinf(column).any()


@pytest.mark.parametrize("name", ["bollinger_position", "rsi14", "adx14", "directional14", "stochastic", "williams", "cci", "mfi"])
def test_prices_that_never_move_leave_it_unknown(name: str) -> None:
    for column in columns_of(name, make_candles(np.full(100, 100.0))):
        assert np.isnan(column).all()


@pytest.mark.parametrize("name", ["volume_ratio", "vwap", "mfi"])
def test_hours_without_trades_leave_it_unknown(name: str) -> None:
    volume = CANDLES.volume.copy()
    volume[100:200] = 0

    for column in columns_of(name, make_candles(CANDLES.close, high=CANDLES.high, low=CANDLES.low, volume=volume)):
        assert np.isnan(column[120:200]).all()
        assert np.isfinite(column[220:]).all()


def test_ema_is_seeded_with_a_plain_mean() -> None:
    np.testing.assert_allclose(indicators.ema(CANDLES.close, 20), slow_ema(C, 20), rtol=1e-12)


def test_macd_is_the_difference_of_two_means_seeded_together() -> None:
    line = [fast - late for fast, late in zip(slow_ema(C, 12, start=25), slow_ema(C, 26), strict=True)]
    signal = [NAN] * 25 + slow_ema(line[25:], 9)

    found = indicators.macd(CANDLES.close)

    np.testing.assert_allclose(found[0][33:], line[33:], rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[1], signal, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[2], np.array(line) - np.array(signal), rtol=0, atol=1e-11)


def test_bollinger_bands_and_the_place_between_them() -> None:
    deviation = slow(300, 19, lambda t: math.sqrt(mean([(value - mean(C[t - 19 : t + 1])) ** 2 for value in C[t - 19 : t + 1]])))
    lower = slow(300, 19, lambda t: mean(C[t - 19 : t + 1]) - 2 * deviation[t])

    np.testing.assert_allclose(indicators.bollinger_bands(CANDLES.close)[2], lower, rtol=1e-10)
    place = slow(300, 19, lambda t: (C[t] - lower[t]) / (4 * deviation[t]))
    np.testing.assert_allclose(indicators.bollinger_position(CANDLES.close), place, rtol=1e-7, atol=1e-9)


def test_atr_fraction_is_of_the_close() -> None:
    found = indicators.atr_fraction(CANDLES.high, CANDLES.low, CANDLES.close)

    np.testing.assert_allclose(found * CANDLES.close, indicators.atr14(CANDLES.high, CANDLES.low, CANDLES.close), rtol=1e-12)


def test_directional_indicators_are_wilders() -> None:
    up = [0.0] + [H[t] - H[t - 1] for t in range(1, 300)]
    down = [0.0] + [L[t - 1] - L[t] for t in range(1, 300)]
    plus = [u if u > d and u > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    reach = [0.0] + [max(H[t], C[t - 1]) - min(L[t], C[t - 1]) for t in range(1, 300)]
    plus_sum, reach_sum, wanted = sum(plus[1:14]), sum(reach[1:14]), [NAN] * 14
    for t in range(14, 300):
        plus_sum, reach_sum = plus_sum * 13 / 14 + plus[t], reach_sum * 13 / 14 + reach[t]
        wanted.append(100 * plus_sum / reach_sum)

    plus_found, minus_found = indicators.directional14(CANDLES.high, CANDLES.low, CANDLES.close)

    np.testing.assert_allclose(plus_found, wanted, rtol=1e-10)
    dx = 100 * np.abs(plus_found - minus_found) / (plus_found + minus_found)
    np.testing.assert_allclose(indicators.adx14(CANDLES.high, CANDLES.low, CANDLES.close)[27], dx[14:28].mean(), rtol=1e-10)


def test_stochastic_and_williams_are_places_in_the_range() -> None:
    ceiling, floor = slow(300, 13, lambda t: max(H[t - 13 : t + 1])), slow(300, 13, lambda t: min(L[t - 13 : t + 1]))
    place = slow(300, 13, lambda t: 100 * (C[t] - floor[t]) / (ceiling[t] - floor[t]))

    fast, smooth = indicators.stochastic(CANDLES.high, CANDLES.low, CANDLES.close)

    np.testing.assert_allclose(fast, place, rtol=1e-10)
    np.testing.assert_allclose(smooth, slow(300, 15, lambda t: mean(place[t - 2 : t + 1])), rtol=1e-10)
    np.testing.assert_allclose(indicators.williams(CANDLES.high, CANDLES.low, CANDLES.close), np.array(place) - 100, atol=1e-10)


def test_cci_is_lamberts() -> None:
    def value(t: int) -> float:
        window = TYPICAL[t - 19 : t + 1]
        return (TYPICAL[t] - mean(window)) / (0.015 * mean([abs(one - mean(window)) for one in window]))

    np.testing.assert_allclose(indicators.cci(CANDLES.high, CANDLES.low, CANDLES.close), slow(300, 19, value), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e-10])
def test_mfi_is_the_share_of_money_that_flowed_in_at_any_scale(scale: float) -> None:
    def value(t: int) -> float:
        flows = dict.fromkeys((1, -1), 0.0)
        for i in range(t - 13, t + 1):
            if TYPICAL[i] != TYPICAL[i - 1]:
                flows[1 if TYPICAL[i] > TYPICAL[i - 1] else -1] += TYPICAL[i] * V[i]
        return 100 * flows[1] / (flows[1] + flows[-1])

    found = indicators.mfi(CANDLES.high, CANDLES.low, CANDLES.close, CANDLES.volume * scale)

    np.testing.assert_allclose(found, slow(300, 14, value), rtol=1e-10)


def test_roc_is_a_fraction() -> None:
    np.testing.assert_allclose(indicators.roc(CANDLES.close), slow(300, 10, lambda t: C[t] / C[t - 10] - 1), rtol=1e-10, atol=1e-14)


def test_keltner_channels_are_two_atr_of_twenty_bars_away() -> None:
    upper, middle, lower = indicators.keltner(CANDLES.high, CANDLES.low, CANDLES.close)
    reach = indicators.atr(CANDLES.high, CANDLES.low, CANDLES.close, bars=20)

    np.testing.assert_allclose(middle, indicators.sma(CANDLES.close, 20))
    np.testing.assert_allclose(upper - lower, 4 * reach, rtol=1e-9)


def test_obv_adds_each_volume_with_the_sign_of_its_change() -> None:
    wanted = [V[0]]
    for t in range(1, 300):
        wanted.append(wanted[-1] + V[t] * ((C[t] > C[t - 1]) - (C[t] < C[t - 1])))

    np.testing.assert_allclose(indicators.obv(CANDLES.close, CANDLES.volume), wanted, rtol=1e-10, atol=1e-9)


def test_volume_ratio_leaves_the_bar_itself_out() -> None:
    np.testing.assert_allclose(indicators.volume_ratio(CANDLES.volume), slow(300, 20, lambda t: V[t] / mean(V[t - 20 : t])), rtol=1e-10)


def test_vwap_weighs_typical_prices_with_volume() -> None:
    def value(t: int) -> float:
        return sum(TYPICAL[i] * V[i] for i in range(t - 19, t + 1)) / sum(V[t - 19 : t + 1])

    np.testing.assert_allclose(indicators.vwap(CANDLES.high, CANDLES.low, CANDLES.close, CANDLES.volume), slow(300, 19, value), rtol=1e-12)


def test_donchian_includes_the_bar_itself() -> None:
    ceiling, floor = indicators.donchian(CANDLES.high, CANDLES.low, 20)

    np.testing.assert_array_equal(ceiling, slow(300, 19, lambda t: max(H[t - 19 : t + 1])))
    np.testing.assert_array_equal(floor, slow(300, 19, lambda t: min(L[t - 19 : t + 1])))


def test_a_window_sum_keeps_nothing_of_older_bars() -> None:
    values = np.array([1e17, 1.0, 2.0, 3.0])

    assert indicators.window_sum(values, 2).tolist()[2:] == [3.0, 5.0]


@pytest.mark.parametrize("bars", [2, 20, 50, 200])
def test_what_an_exponential_mean_has_forgotten_weighs_under_a_thousandth(bars: int) -> None:
    look_back = indicators.ema_look_back(bars)
    old, new = np.ones(2000), np.zeros(look_back)

    assert 0 <= indicators.ema(np.concatenate([old, new]), bars)[-1] <= 0.001


def test_what_adx_has_forgotten_weighs_under_a_thousandth() -> None:
    left, right = random_candles(600, seed=1), random_candles(600, seed=2)
    cut = 600 - indicators.WILDER_LOOK_BACK
    factor = right.open[cut] / left.close[cut - 1]
    mixed = [np.concatenate([getattr(left, name)[:cut] * factor, getattr(right, name)[cut:]]) for name in ("high", "low", "close")]

    assert indicators.adx14(*mixed)[-1] == pytest.approx(indicators.adx14(right.high, right.low, right.close)[-1], abs=0.1)


@pytest.mark.parametrize("bad", [NAN, math.inf])
@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("max_before", "min_before", "mean_before", "volume_ratio")])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    close, volume = CANDLES.close.copy(), CANDLES.volume.copy()
    close[50] = bad
    volume[50] = bad
    high = close if name == "donchian" else CANDLES.high

    with pytest.raises(ValueError, match="finite"):
        columns_of(name, make_candles(close, high=high, low=CANDLES.low, volume=volume))
