"""Where a market stands at its newest close, in the five numbers people ask for first."""

from datetime import timedelta

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import Column, rsi14, sma
from dgbot.core.clock import to_nanoseconds

DAY = timedelta(days=1)


def newest(candles: Candles) -> dict[str, float | None]:
    """close, ma20, ma60: quote currency. rsi14: 0…100. change_24h: a fraction against the close one day before; None unknown."""
    if not len(candles):
        return {}
    close = candles.close
    told = {"close": close[-1], "rsi14": rsi14(close)[-1], "ma20": _last(sma(close, 20)), "ma60": _last(sma(close, 60))}
    known = {name: None if np.isnan(value) else float(value) for name, value in told.items()}
    return {**known, "change_24h": _change(candles)}


def _change(candles: Candles) -> float | None:
    """Unknown when the archive does not reach back a day."""
    assert candles.last_closed_at is not None
    day_before = to_nanoseconds(candles.last_closed_at - DAY)
    at = int(np.searchsorted(candles.open_time + candles.interval.nanoseconds, day_before, side="right")) - 1
    return float(candles.close[-1] / candles.close[at] - 1) if at >= 0 else None


def _last(column: Column) -> float:
    return float(column[-1])
