"""Each strategy against its own words written out bar by bar in plain Python."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from backtests.candles.series import Candles
from backtests.strategies import (
    aggressive_bollinger,
    balanced_rsi_divergence,
    conservative_ema,
    ultra_aggressive_momentum,
    volume_long_candle,
    volume_zone_breakout,
)
from backtests.strategies.base import NO, UNKNOWN, YES
from tests import plain_indicators as plain
from tests.candle_factory import random_candles

Answers = list[int]
SEEDS = (1, 2, 3)


class Bars:
    """Columns as lists."""

    def __init__(self, candles: Candles) -> None:
        self.o, self.h, self.l, self.c, self.v = (getattr(candles, name).tolist() for name in ("open", "high", "low", "close", "volume"))

    def __len__(self) -> int:
        return len(self.c)

    def answer(self, first: int, rule: Callable[[int], bool]) -> Answers:
        """UNKNOWN before `first`, then the rule's word."""
        return [UNKNOWN if t < first else YES if rule(t) else NO for t in range(len(self))]


def gappy_candles(count: int, *, seed: int) -> Candles:
    """As `random_candles`, livelier, and not opening at the close before."""
    random = np.random.default_rng(seed + 100)
    base = random_candles(count, seed=seed)
    opens = base.close * (1 + random.normal(0, 0.02, count))
    return Candles(
        exchange=base.exchange,
        symbol=base.symbol,
        interval=base.interval,
        open_time=base.open_time,
        open=opens,
        high=np.maximum(base.high, opens),
        low=np.minimum(base.low, opens),
        close=base.close,
        volume=base.volume,
    )


def some(answers: Answers) -> bool:
    """A comparison with a twin that never says yes proves little."""
    return YES in answers and NO in answers


def slow_resistance(bars: Bars, t: int, *, count: int, bins: int, share: float, wicks: bool = True) -> float:
    """Volume by price of the bars before t, and the price above which `share` of it lies."""
    window = range(t - count, t)
    tops = {i: bars.h[i] if wicks else max(bars.o[i], bars.c[i]) for i in window}
    bottoms = {i: bars.l[i] if wicks else min(bars.o[i], bars.c[i]) for i in window}
    floor, ceiling = min(bottoms.values()), max(tops.values())
    step = (ceiling - floor) / bins
    edges = [(floor + b * step, floor + (b + 1) * step) for b in range(bins)]
    profile = [0.0] * bins
    for i in window:
        height = tops[i] - bottoms[i]
        for b, (lower, upper) in enumerate(edges):
            if height == 0:
                inside = lower <= bottoms[i] < upper or (b == bins - 1 and bottoms[i] >= upper)
                profile[b] += bars.v[i] if inside else 0.0
            else:
                profile[b] += bars.v[i] * max(0.0, min(tops[i], upper) - max(bottoms[i], lower)) / height
    above = 0.0
    for b in reversed(range(bins)):
        above += profile[b]
        if above >= share * sum(profile) * (1 - 1e-9):
            return edges[b][0]
    raise AssertionError("the whole volume is above the lowest edge")


@pytest.mark.parametrize("seed", [*SEEDS, *range(10, 20)])
@pytest.mark.parametrize(
    "values", [{}, {"include_wicks": False}, {"zone_bars": 60, "bins": 7, "top_share": 0.5}, {"zone_bars": 3, "buffer": 0.01, "bins": 100}]
)
def test_volume_zone_breakout(seed: int, values: dict[str, float]) -> None:
    candles = gappy_candles(250, seed=seed)
    bars, parameters = Bars(candles), volume_zone_breakout.VolumeZoneBreakoutParameters.of(values)
    count = parameters.zone_bars
    levels = [
        slow_resistance(bars, t, count=count, bins=parameters.bins, share=parameters.top_share, wicks=parameters.include_wicks)
        for t in range(count, len(bars))
    ]

    found = volume_zone_breakout.resistance(candles, parameters)
    np.testing.assert_allclose(found[count:], levels, rtol=1e-12)

    factor = 1 + parameters.buffer
    twin = bars.answer(count, lambda t: bars.c[t - 1] < levels[t - count] * factor <= bars.c[t])
    assert volume_zone_breakout.signals(candles, parameters).entry.tolist() == twin
    assert some(twin)


def test_a_zone_knows_nothing_of_the_bars_before_it() -> None:
    """The source kept its first grid for ever: later volume outside of it was lost (W-85)."""
    candles, parameters = random_candles(400), volume_zone_breakout.VolumeZoneBreakoutParameters()
    late = Bars(candles)

    found = volume_zone_breakout.resistance(candles, parameters)

    for t in range(390, 400):
        assert found[t] == pytest.approx(slow_resistance(late, t, count=10, bins=20, share=0.2), rel=1e-12)
        assert min(late.l[t - 10 : t]) <= found[t] <= max(late.h[t - 10 : t])


@pytest.mark.parametrize(("drift", "most"), [(0.005, 0.05), (-0.005, 0.0)])
def test_a_steady_walk_is_no_row_of_breakouts(drift: float, most: float) -> None:
    """The source signalled at every bar of a steady rise (W-86)."""
    close = 100 * np.exp(drift * np.arange(300))
    candles = random_candles(300)
    steady = Candles(
        exchange="upbit",
        symbol="KRW-BTC",
        interval=candles.interval,
        open_time=candles.open_time,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones(300),
    )

    entry = volume_zone_breakout.signals(steady, volume_zone_breakout.VolumeZoneBreakoutParameters()).entry

    assert np.mean(entry == YES) <= most


@pytest.mark.parametrize("seed", SEEDS)
def test_volume_long_candle(seed: int) -> None:
    candles = gappy_candles(600, seed=seed)
    bars = Bars(candles)

    def rule(t: int) -> bool:
        body, upper, lower = (bars.c[t] - bars.o[t]) / bars.o[t], (bars.h[t] - bars.c[t]) / bars.o[t], (bars.o[t] - bars.l[t]) / bars.o[t]
        return body >= 0.02 and upper < 0.04 and lower < 0.04 and bars.v[t] >= 1.5 * plain.mean_before(bars.v, t, 20)

    twin = bars.answer(20, rule)

    assert volume_long_candle.signals(candles, volume_long_candle.VolumeLongCandleParameters()).entry.tolist() == twin
    assert some(twin)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("entry_score", [0.2, 0.7, 0.9, 1.1])
def test_ultra_aggressive_momentum(seed: int, entry_score: float) -> None:
    candles = random_candles(400, seed=seed)
    bars = Bars(candles)

    def score(t: int, side: int) -> float:
        fast, slow = plain.mean(bars.c[t - 2 : t + 1]), plain.mean(bars.c[t - 6 : t + 1])
        change = bars.c[t] / bars.c[t - 1] - 1
        runs = side * (bars.c[t] - bars.c[t - 1]) > 0 and side * (bars.c[t - 1] - bars.c[t - 2]) > 0
        evidence = ((0.4, side * (fast - slow) > 0), (0.3, runs), (0.2, side * change > 0.001), (0.2, side * (bars.c[t] - fast) > 0))
        return round(sum(weight for weight, holds in evidence if holds), 6)

    long = bars.answer(6, lambda t: score(t, 1) >= entry_score and score(t, 1) > score(t, -1))
    short = bars.answer(6, lambda t: score(t, -1) >= entry_score and score(t, -1) > score(t, 1))

    found = ultra_aggressive_momentum.signals(candles, ultra_aggressive_momentum.UltraAggressiveMomentumParameters(entry_score=entry_score))

    assert found.entry.tolist() == long
    assert found.short_entry.tolist() == short
    assert found.exit.tolist() == short
    assert found.short_exit.tolist() == long
    assert some(long) and some(short)


@pytest.mark.parametrize("seed", SEEDS)
def test_conservative_ema(seed: int) -> None:
    candles = random_candles(1500, seed=seed)
    bars = Bars(candles)
    fast, slow, strength = plain.ema(bars.c, 20), plain.ema(bars.c, 50), plain.rsi(bars.c)

    def rule(t: int, side: int) -> bool:
        crosses = side * (fast[t] - slow[t]) > 0 >= side * (fast[t - 1] - slow[t - 1])
        return crosses and side * (strength[t] - 50) > 0 and bars.v[t] > 1.5 * plain.mean_before(bars.v, t, 30)

    found = conservative_ema.signals(candles, conservative_ema.ConservativeEmaParameters())

    assert found.entry.tolist() == bars.answer(59, lambda t: rule(t, 1))
    assert found.short_entry.tolist() == bars.answer(59, lambda t: rule(t, -1))
    assert some(found.entry.tolist()) and some(found.short_entry.tolist())
    np.testing.assert_allclose(found.stop_distance, 0.04 * candles.close)
    np.testing.assert_allclose(found.target_distance, 0.08 * candles.close)


@pytest.mark.parametrize("seed", SEEDS)
def test_aggressive_bollinger(seed: int) -> None:
    candles = random_candles(2500, seed=seed)
    bars = Bars(candles)
    strength = plain.adx(bars.h, bars.l)

    def rule(t: int, side: int) -> bool:
        edges = [plain.bands(bars.c, at)[(1 + side) // 2] for at in (t - 1, t)]
        crosses = side * (bars.c[t] - edges[1]) > 0 >= side * (bars.c[t - 1] - edges[0])
        agrees = side * (bars.c[t] - bars.o[t]) > 0
        return crosses and agrees and strength[t] > 25 and bars.v[t] > 2 * plain.mean_before(bars.v, t, 20)

    found = aggressive_bollinger.signals(candles, aggressive_bollinger.AggressiveBollingerParameters())

    assert found.entry.tolist() == bars.answer(49, lambda t: rule(t, 1))
    assert found.short_entry.tolist() == bars.answer(49, lambda t: rule(t, -1))
    assert some(found.entry.tolist()) and some(found.short_entry.tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_balanced_rsi_divergence(seed: int) -> None:
    candles = random_candles(2000, seed=seed)
    bars = Bars(candles)
    trend, strength, histogram = plain.ema(bars.c, 60), plain.rsi(bars.c), plain.macd_histogram(bars.c)
    reach = plain.atr(bars.h, bars.l, bars.c)

    def pivots(side: int) -> Answers:
        price, other = (bars.l, bars.h) if side == 1 else ([-value for value in bars.h], [-value for value in bars.l])
        found = []
        for p in range(3, len(bars) - 3):
            left, right = range(p - 3, p), range(p + 1, p + 4)
            stands_out = min(max(other[i] for i in left), max(other[i] for i in right)) - price[p] >= 0.5 * reach[p]
            if all(price[p] < price[i] for i in left) and all(price[p] <= price[i] for i in right) and stands_out:
                found.append(p)
        return found

    def known(side: int) -> set[int]:
        places, price = pivots(side), bars.l if side == 1 else bars.h
        return {
            second + 3
            for first, second in itertools.pairwise(places)
            if second - first <= 60
            and side * (price[second] - price[first]) < 0
            and side * (strength[second] - strength[first]) >= 2
            and side * (strength[first] - 50) < -5  # under 45 at a low, over 55 at a high
        }

    events = {side: known(side) for side in (1, -1)}

    def rule(t: int, side: int) -> bool:
        diverged = any(at in events[side] for at in range(t - 9, t + 1))
        turned = side * histogram[t] > 0 and any(side * histogram[at] <= 0 for at in range(t - 10, t))
        return diverged and turned and side * (bars.c[t] - trend[t]) > 0

    parameters = balanced_rsi_divergence.BalancedRsiDivergenceParameters(stretched=45.0, trend_bars=60)
    found = balanced_rsi_divergence.signals(candles, parameters)

    assert found.entry.tolist() == bars.answer(59, lambda t: rule(t, 1))
    assert found.short_entry.tolist() == bars.answer(59, lambda t: rule(t, -1))
    assert some(found.entry.tolist()) and some(found.short_entry.tolist())
    assert found.exit.tolist() == bars.answer(14, lambda t: strength[t] >= 55)
    assert found.short_exit.tolist() == bars.answer(14, lambda t: strength[t] <= 45)
