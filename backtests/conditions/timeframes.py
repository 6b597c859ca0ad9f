"""The trend on several timeframes, made from the same candles: bars of four hours are four hours long (W-35)."""

from dataclasses import dataclass
from datetime import datetime

from backtests.candles.resampling import resample
from backtests.candles.series import Candles
from backtests.indicators import sma
from dgbot.core.interval import Interval

FAST_BARS, SLOW_BARS = 20, 50
LONGER = (Interval.HOUR_1, Interval.HOUR_4, Interval.DAY_1)


@dataclass(frozen=True)
class Trend:
    """direction: up (close > SMA20 > SMA50), down (the mirror), mixed, or unknown with fewer than 50 bars."""

    interval: Interval
    direction: str
    bars: int


def trends(candles: Candles, *, now: datetime) -> tuple[Trend, ...]:
    """The candles' own timeframe and the longer ones that are multiples of it. now: aware; open buckets are left out."""
    own = candles.interval
    wanted = [own, *(one for one in LONGER if one.nanoseconds > own.nanoseconds and one.nanoseconds % own.nanoseconds == 0)]
    series = (candles if one is own else resample(candles, one, until=now, lenient=True).candles for one in wanted)
    return tuple(Trend(each.interval, direction(each), len(each)) for each in series)


def direction(candles: Candles) -> str:
    """Of one series at its newest bar."""
    if len(candles) < SLOW_BARS:
        return "unknown"
    close = float(candles.close[-1])
    fast, slow = float(sma(candles.close, FAST_BARS)[-1]), float(sma(candles.close, SLOW_BARS)[-1])
    if close > fast > slow:
        return "up"
    return "down" if close < fast < slow else "mixed"
