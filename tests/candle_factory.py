"""Candles for tests: short, legal, and with only what matters to the test said."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_candles(
    close: Sequence[float] | NDArray[np.float64],
    *,
    high: Sequence[float] | NDArray[np.float64] | None = None,
    low: Sequence[float] | NDArray[np.float64] | None = None,
    volume: Sequence[float] | NDArray[np.float64] | None = None,
    interval: Interval = Interval.HOUR_1,
    start: datetime = START,
) -> Candles:
    """Candles that open at the close before; without `high` and `low` they have no wicks, without `volume` it is 1."""
    closes = np.asarray(close, dtype=np.float64)
    opens = np.concatenate([closes[:1], closes[:-1]])
    return Candles(
        exchange="upbit",
        symbol="KRW-BTC",
        interval=interval,
        open_time=to_nanoseconds(start) + np.arange(len(closes), dtype=np.int64) * interval.nanoseconds,
        open=opens,
        high=np.maximum(opens, closes) if high is None else np.asarray(high, dtype=np.float64),
        low=np.minimum(opens, closes) if low is None else np.asarray(low, dtype=np.float64),
        close=closes,
        volume=np.ones(len(closes)) if volume is None else np.asarray(volume, dtype=np.float64),
    )


def random_candles(count: int, *, seed: int = 1, start: datetime = START) -> Candles:
    """A seeded random walk around 100 with wicks and uneven volume."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) * (1 + random.exponential(0.003, count))
    low = np.minimum(opens, close) * (1 - random.exponential(0.003, count))
    return make_candles(close, high=high, low=low, volume=random.lognormal(0, 1, count), start=start)
