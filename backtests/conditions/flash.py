"""Flash crash: a fall within minutes that the day before makes implausible. Read from candles of one to five minutes.

Corrected from requirements §2.7: on daily bars the source asked for ten ATRs at once, which is a fall of 30–50 % (W-36).
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from dgbot.core.clock import to_nanoseconds

SPAN = timedelta(minutes=15)  # how fast a crash is
LOOKED_AT = timedelta(hours=1)  # how long it is remembered
DAY = timedelta(days=1)  # before the hour looked at: what is usual
LONGEST_BAR = timedelta(minutes=5)
COVERAGE = 0.8  # of the day's bars; thin markets have minutes without a trade


@dataclass(frozen=True)
class Flash:
    """The worst move over 15 minutes within the last hour; None unknown. worst: a fraction, −0.05 is −5 %. deviations: the same in
    standard deviations of a 15-minute move, told from single bars of the day before and scaled with √time."""

    worst: float | None = None
    deviations: float | None = None


def flash(candles: Candles, *, now: datetime) -> Flash:
    """At `now` (aware). Unknown when bars are longer than five minutes, the newest is older than the span, or the day has holes."""
    length = candles.interval.length
    if length > LONGEST_BAR:
        return Flash()
    newest, end = candles.closed_at(now), to_nanoseconds(now)
    if not len(newest) or end - int(newest.open_time[-1]) > _ns(SPAN + length):
        return Flash()
    start = end - _ns(LOOKED_AT + DAY)
    first = int(np.searchsorted(newest.open_time, start))
    opened, logs = newest.open_time[first:], np.log(newest.close[first:])
    if len(opened) < COVERAGE * ((LOOKED_AT + DAY) / length):
        return Flash()
    recent = int(np.searchsorted(opened, end - _ns(LOOKED_AT)))
    usual = float(np.std(np.diff(logs[:recent]), ddof=1))
    worst = _worst_move(opened, logs, recent, span_ns=_ns(SPAN))
    scale = usual * math.sqrt(SPAN / length)
    return Flash(worst=math.expm1(worst), deviations=worst / scale if scale > 0 else None)


def _worst_move(opened: NDArray[np.int64], logs: NDArray[np.float64], recent: int, *, span_ns: int) -> float:
    """The lowest log return to a close of the hour looked at from the highest close of the span before it; 0 when nothing fell."""
    begins = np.searchsorted(opened, opened - span_ns)
    return min((float(logs[at] - logs[begins[at] : at + 1].max()) for at in range(recent, len(logs))), default=0.0)


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
