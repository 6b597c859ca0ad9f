"""Decisions resolved at their horizon from candles, as forecasts the scorecard judges."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from backtests.candles.series import Candles
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from trading.domain.scorecard import Forecast
from trading.models import Decision

CandlesOf = Callable[[str, str, Interval], Candles]  # exchange, symbol, interval
TRENDING_ADX = 25  # the source's edge between a trend and none
GROUPS = ("model", "prompt", "symbol", "regime")


@dataclass(frozen=True)
class Resolved:
    """Forecasts whose horizon has passed, and how many have not come to it, or cannot be told for want of candles."""

    forecasts: list[Forecast]
    pending: int
    unknown: int


def resolve(decisions: Iterable[Decision], candles_of: CandlesOf, *, now: datetime, by: str = "model") -> Resolved:
    """Each answered decision against the close at its horizon. now: aware, market time. by: one of GROUPS, what they are counted under.

    The horizon's close is that of the newest candle closed at it, which must be at most one candle older than the horizon.
    """
    forecasts, pending, unknown = [], 0, 0
    series: dict[tuple[str, str, str], Candles | None] = {}
    for decision in decisions:
        if decision.answer is None:
            continue
        if _horizon(decision) > now:
            pending += 1
            continue
        key = (decision.bot.account.exchange, decision.symbol, decision.bot.interval)
        if key not in series:
            series[key] = _candles(candles_of, key)
        found = _forecast(decision, series[key], group=group_of(decision, by))
        if found is None:
            unknown += 1
        else:
            forecasts.append(found)
    return Resolved(forecasts=forecasts, pending=pending, unknown=unknown)


def group_of(decision: Decision, by: str) -> str:
    """What a decision is counted under."""
    if by == "symbol" or decision.call is None:
        return decision.symbol
    if by == "regime":
        strength = (decision.market_data.get("readings") or {}).get("adx14")
        return "unknown" if strength is None else "trending" if strength >= TRENDING_ADX else "ranging"
    return decision.call.model if by == "model" else str(decision.call.prompt)


def _horizon(decision: Any) -> datetime:
    return decision.created_at + timedelta(hours=decision.answer["horizon_hours"])


def _candles(candles_of: CandlesOf, key: tuple[str, str, str]) -> Candles | None:
    try:
        return candles_of(key[0], key[1], Interval(key[2]))
    except (BadInput, ExchangeUnavailable):
        return None


def _forecast(decision: Any, candles: Candles | None, *, group: str) -> Forecast | None:
    if candles is None or len(candles) < 2:
        return None
    begin, end = _newest_at(candles, decision.created_at), _newest_at(candles, _horizon(decision))
    if begin is None or end is None or begin < 1 or end <= begin:
        return None
    stated = float(decision.answer["probability"])
    close = candles.close
    return Forecast(
        probability=stated if decision.answer["outcome"] == "higher" else 1 - stated,
        rose=bool(close[end] > close[begin]),
        rose_before=bool(close[begin] > close[begin - 1]),
        group=group,
    )


def _newest_at(candles: Candles, instant: datetime) -> int | None:
    """Index of the newest candle closed at `instant`; None when it is more than a candle old."""
    length, at = candles.interval.nanoseconds, to_nanoseconds(instant)
    index = int(np.searchsorted(candles.open_time, at - length, side="right")) - 1
    return None if index < 0 or at - (int(candles.open_time[index]) + length) >= length else index
