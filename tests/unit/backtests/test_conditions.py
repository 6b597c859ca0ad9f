"""Market conditions against slow, obvious calculations and cases made by hand."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from backtests import indicators
from backtests.candles.series import Candles
from backtests.conditions import bars, levels, score
from backtests.conditions.book import read
from backtests.conditions.divergence import divergence, pivots
from backtests.conditions.flash import flash
from backtests.conditions.patterns import BARS, PATTERNS, patterns
from backtests.conditions.relation import beta, correlation, correlation_change, relation
from backtests.conditions.timeframes import trends
from dgbot.core.interval import Interval
from dgbot.core.types import Level, OrderBook
from tests.candle_factory import START, make_candles, random_candles

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)


# --- BTC ---


def test_beta_is_covariance_over_variance_with_the_same_divisor() -> None:
    random = np.random.default_rng(1)
    btc = random.normal(0, 0.01, 200)
    own = 1.7 * btc + random.normal(0, 0.002, 200)

    mean_own, mean_btc = sum(own) / 200, sum(btc) / 200
    plain = sum((a - mean_own) * (b - mean_btc) for a, b in zip(own, btc, strict=True)) / sum((b - mean_btc) ** 2 for b in btc)
    assert beta(own, btc) == pytest.approx(plain, rel=1e-12)
    assert beta(2.5 * btc, btc) == pytest.approx(2.5, rel=1e-12), "the source's mix of n and n − 1 was 3.4 % too large at 30 returns"


def test_what_cannot_be_related_is_unknown() -> None:
    moves = np.random.default_rng(2).normal(0, 0.01, 60)

    assert beta(moves[:29], moves[:29]) is None
    assert beta(moves, np.zeros(60)) is None
    assert correlation(np.zeros(60), moves) is None
    assert correlation_change(moves, moves, recent=20) is None, "a correlation of one has no standard error"


def test_the_residual_is_what_beta_leaves_of_the_newest_day() -> None:
    btc = random_candles(24 * 40, seed=3)
    own = replace(btc, close=btc.close**1.5, symbol="KRW-ETH", chain=None)
    fallen = replace(own, close=np.append(own.close[:-1], own.close[-1] * 0.95), chain=None)

    seen = relation(fallen, btc)
    day = fallen.close[-1] / fallen.close[-25] - 1, btc.close[-1] / btc.close[-25] - 1
    assert seen.beta == pytest.approx(1.5, abs=0.03)
    assert seen.btc_return == pytest.approx(day[1])
    assert seen.residual == pytest.approx(day[0] - seen.beta * day[1])


def test_an_abrupt_change_of_correlation_shows_and_a_steady_one_does_not() -> None:
    random = np.random.default_rng(4)
    btc = random.normal(0, 0.01, 720)
    steady = 0.8 * btc + random.normal(0, 0.006, 720)
    broken = steady.copy()
    broken[-120:] = random.normal(0, 0.01, 120)

    assert correlation_change(steady, btc, recent=120) < 3
    assert correlation_change(broken, btc, recent=120) > 6
    now, before = np.corrcoef(broken[-120:], btc[-120:])[0, 1], np.corrcoef(broken[:-120], btc[:-120])[0, 1]
    by_hand = abs(math.atanh(now) - math.atanh(before)) / math.sqrt(1 / 117 + 1 / 597)
    assert correlation_change(broken, btc, recent=120) == pytest.approx(by_hand)


def test_markets_that_do_not_end_together_or_lack_bars_have_no_relation() -> None:
    btc = random_candles(24 * 40)

    assert relation(btc.prefix(len(btc) - 1), btc).beta is None
    half = replace(btc, **{name: getattr(btc, name)[::2] for name in ("open_time", "open", "high", "low", "close", "volume")}, chain=None)
    assert relation(half, replace(btc.prefix(len(btc) - 1), chain=None)).beta is None, "half of the window's bars are missing"


# --- Flash crash ---


def test_a_fall_within_minutes_is_a_crash_and_the_same_fall_over_hours_is_not() -> None:
    quiet = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.0005, 310)))
    sudden, slow = quiet.copy(), quiet.copy()
    sudden[-4:] *= 0.95
    slow[-120:] *= np.linspace(1, 0.95, 120)

    seen, calm = flash(minutes(sudden), now=end_of(sudden)), flash(minutes(slow), now=end_of(slow))
    assert seen.worst == pytest.approx(-0.05, abs=0.003) and seen.deviations < -20
    assert calm.worst > -0.01


def test_the_worst_move_is_that_of_a_plain_search() -> None:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(6).normal(0, 0.002, 310)))
    logs = np.log(close)

    plain = min(logs[at] - max(logs[at - 3 : at + 1]) for at in range(len(logs) - 12, len(logs)))
    assert flash(minutes(close), now=end_of(close)).worst == pytest.approx(math.expm1(plain))


def test_a_flash_crash_is_unknown_on_long_stale_or_missing_bars() -> None:
    close = np.full(310, 100.0)

    assert flash(make_candles(close), now=end_of(close)).worst is None
    assert flash(minutes(close), now=end_of(close) + timedelta(hours=1)).worst is None
    assert flash(minutes(close[:100]), now=end_of(close[:100])).worst is None
    assert flash(minutes(close), now=end_of(close)).deviations is None, "without any movement nothing is unusual"


def minutes(close: np.ndarray) -> Candles:
    return make_candles(close, interval=Interval.MINUTE_5)


def end_of(close: np.ndarray) -> datetime:
    return START + len(close) * timedelta(minutes=5)


# --- Divergence ---


def test_a_higher_high_on_falling_momentum_is_a_bearish_divergence() -> None:
    seen = divergence(two_tops(second=104.0, slow=True))

    assert seen.bearish > 5 and seen.bullish == 0
    mirrored = divergence(mirror(two_tops(second=104.0, slow=True)))
    assert mirrored.bullish > 5 and mirrored.bearish == 0


def test_equal_and_lower_highs_are_no_divergence() -> None:
    assert divergence(two_tops(second=102.0, slow=True)).bearish == 0


def test_a_divergence_is_the_same_at_every_price() -> None:
    cheap, dear = two_tops(second=104.0, slow=True, scale=0.01), two_tops(second=104.0, slow=True, scale=1e6)

    assert divergence(cheap).bearish == pytest.approx(divergence(dear).bearish)


def test_a_pivot_is_known_only_after_its_right_side() -> None:
    hill = np.array([1.0, 2, 3, 4, 5, 4, 3, 2])

    assert pivots(hill, prominence=np.ones(8)) == [4]
    assert pivots(hill[:7], prominence=np.ones(7)) == []
    assert pivots(hill, prominence=np.full(8, 3.5)) == [], "it must stand out"


def test_a_short_series_has_an_unknown_divergence() -> None:
    assert divergence(random_candles(59)).bearish is None


def two_tops(*, second: float, slow: bool, scale: float = 1.0) -> Candles:
    """A steep climb to 102.5, a deep valley, then a climb to `second` in small steps."""
    steps = [*np.linspace(100, 100.5, 60), *np.linspace(100.5, 102.5, 6), *np.linspace(102.5, 100, 10)]
    steps += [*(np.linspace(100, second, 26) + 0.35 * (-1) ** np.arange(26)), *np.linspace(second - 0.5, second - 2.5, 6)]
    close = scale * np.array(steps)
    return make_candles(close, high=close * 1.0005, low=close * 0.9995)


def mirror(candles: Candles) -> Candles:
    """Upside down around 100: highs become lows."""
    return make_candles(200 - candles.close, high=200 - candles.low, low=200 - candles.high)


# --- Levels, patterns, timeframes, book ---


def test_fibonacci_levels_lie_inside_the_swing_counted_from_its_end() -> None:
    rise = make_candles(np.concatenate([np.full(20, 100.0), np.linspace(100, 200, 100)]))
    fall = make_candles(np.concatenate([np.full(20, 200.0), np.linspace(200, 100, 100)]))

    assert levels.swing(rise).retracements == pytest.approx({0.236: 176.4, 0.382: 161.8, 0.5: 150.0, 0.618: 138.2})
    assert levels.swing(fall).retracements == pytest.approx({0.236: 123.6, 0.382: 138.2, 0.5: 150.0, 0.618: 161.8})
    assert levels.swing(rise.prefix(100)) is None


def test_turns_at_one_price_make_a_strong_level() -> None:
    wave = 100 + 5 * np.sin(np.arange(240) * 2 * np.pi / 30)
    seen = levels.levels(make_candles(wave, high=wave + 0.2, low=wave - 0.2))

    assert seen.resistance[0].price == pytest.approx(105.2, abs=0.1) and seen.resistance[0].strength == "strong"
    assert seen.support[0].price == pytest.approx(94.8, abs=0.1) and seen.support[0].strength == "strong"
    assert levels.levels(random_candles(119)) is None


def test_patterns_have_all_the_history_that_any_of_them_needs() -> None:
    from talib import abstract

    assert max(abstract.Function(name).lookback for name in PATTERNS) < BARS
    assert patterns(random_candles(BARS - 1)) is None
    opened, close = np.full(BARS, 100.0), np.full(BARS, 101.0)
    opened[-2:], close[-2:] = [102.0, 97.0], [98.0, 103.0]  # a fall, then a rise that swallows it
    drawn = replace(make_candles(close, high=np.maximum(opened, close) + 0.1, low=np.minimum(opened, close) - 0.1), open=opened, chain=None)
    assert patterns(drawn)["engulfing"] == 1


def test_a_four_hour_trend_is_told_from_bars_of_four_hours() -> None:
    rising = make_candles(np.linspace(100, 200, 4 * 60))

    told = {one.interval: (one.direction, one.bars) for one in trends(rising, now=START + timedelta(hours=240))}
    assert told == {Interval.HOUR_1: ("up", 240), Interval.HOUR_4: ("up", 60), Interval.DAY_1: ("unknown", 10)}


def test_a_book_tells_spread_imbalance_and_walls() -> None:
    bids = tuple(Level(D(100 - step), D(1)) for step in range(20))
    asks = tuple(Level(D(101 + step), D(9 if step == 7 else 1)) for step in range(20))

    seen = read(OrderBook("KRW-BTC", bids, asks, known_at=NOW))
    assert seen.spread_bps == D(1) / D("100.5") * 10_000
    value = sum(level.price * level.amount for level in bids[:10]), sum(level.price * level.amount for level in asks[:10])
    assert seen.imbalance == (value[0] - value[1]) / (value[0] + value[1]) < 0
    assert [(wall.side, wall.price) for wall in seen.walls] == [("ask", D(108))]


def test_a_short_book_has_no_walls_and_an_assumed_one_says_nothing() -> None:
    short = OrderBook("KRW-BTC", (Level(D(100), D(1)),), (Level(D(101), D(1)),), known_at=NOW)

    assert read(short).walls is None and read(short).spread_bps is not None
    assert read(replace(short, is_assumed=True)).spread_bps is None and read(None).imbalance is None


# --- Score, readings of a bar ---


def test_the_score_adds_up_what_each_indicator_says() -> None:
    seen = score.newest_values(random_candles(300, seed=8))
    bullish = {**seen, "sma5": 3.0, "sma20": 2.0, "sma60": 1.0, "close": 2.5, "ema12": 2.0, "ema26": 1.0, "macd": 1.0, "macd_signal": 0.5}
    bullish |= {
        "macd_histogram": 0.5,
        "adx14": 30.0,
        "plus": 30.0,
        "minus": 10.0,
        "rsi14": 25.0,
        "stochastic_k": 10.0,
        "stochastic_d": 15.0,
    }
    bullish |= {
        "mfi14": 10.0,
        "williams14": -90.0,
        "bollinger_upper": 9.0,
        "bollinger_middle": 6.0,
        "bollinger_lower": 3.0,
        "cci20": -150.0,
    }
    bullish |= {"obv_change": 0.2}

    told = score.score_of(bullish)
    assert told.total == 1 + 1 + 0.5 + 1 + 1.5 + 0.5 + 0.5 + 2 + 1.5 + 1 + 1 + 2 + 1 + 1
    assert (told.says, told.confidence) == ("strong buy", "high")


def test_a_legitimate_zero_counts_and_an_unknown_one_is_told() -> None:
    values = score.newest_values(random_candles(300, seed=8))

    assert score.score_of({**values, "macd_histogram": 0.0}).points["MACD histogram"] == 0
    told = score.score_of({**values, "cci20": math.nan})
    assert told.total is None and told.unknown == ("CCI",) and told.says == "unknown"
    assert score.score(random_candles(100)).total is None


def test_the_newest_readings_are_those_of_the_columns() -> None:
    candles = random_candles(300)
    seen = bars.newest(candles)

    atr = indicators.atr14(candles.high, candles.low, candles.close)
    assert seen["atr_expansion"] == pytest.approx(atr[-1] / atr[-51:-1].mean())
    assert seen["volume_ratio"] == pytest.approx(candles.volume[-1] / candles.volume[-21:-1].mean())
    assert all(value is None for value in bars.newest(candles.prefix(10)).values()) and bars.newest(candles.prefix(0)) == {}
