"""What to ask an exchange for: the time that neither candles nor an answer "there is none" cover, cut into pages."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from backtests.candles.spans import NOTHING, Spans, holds, slots_of, spans_of, without
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.interval import Interval

SETTLES_AFTER = timedelta(minutes=10)  # a candle may be served late; until then its absence confirms nothing


@dataclass(frozen=True)
class Window:
    """One question to an exchange: candles opened in [start, end), aware UTC, on the grid."""

    start: datetime
    end: datetime


def missing_spans(open_time: NDArray[np.int64], *, interval: Interval, start: datetime, end: datetime, confirmed: Spans = NOTHING) -> Spans:
    """Time of [start, end), widened inward to the grid, without a candle and without a confirmation that there is none.

    open_time: (n,) ascending, on-grid ns since 1970. start, end: aware.
    """
    step = interval.nanoseconds
    first, last = -(-to_nanoseconds(start) // step) * step, to_nanoseconds(end) // step * step
    return without(without(spans_of([(first, last)]), slots_of(open_time, interval=interval)), confirmed)


def plan(
    open_time: NDArray[np.int64], *, interval: Interval, start: datetime, end: datetime, page: int, confirmed: Spans = NOTHING
) -> tuple[Window, ...]:
    """The fewest windows of at most `page` slots, oldest first, that hold every missing slot of [start, end).

    Several small gaps within one page become one window, so a window may also hold slots that are known already.
    Nothing is missing, or `end` is not after `start`: no window.
    """
    step, windows = interval.nanoseconds, []
    spans = missing_spans(open_time, interval=interval, start=start, end=end, confirmed=confirmed)
    reach, at = -(1 << 62), 0
    while at < len(spans):
        begin = max(int(spans[at, 0]), reach)
        limit = begin + page * step
        last = int(np.searchsorted(spans[:, 0], limit)) - 1  # the last span that begins inside the page
        reach = min(int(spans[last, 1]), limit)
        windows.append(Window(start=from_nanoseconds(begin), end=from_nanoseconds(reach)))
        at = last if spans[last, 1] > reach else last + 1
    return tuple(windows)


def confirmed_by(open_time: NDArray[np.int64], window: Window, *, interval: Interval, now: datetime) -> Spans:
    """What an answer with candles opened at `open_time` to `window` proves to be empty: its settled slots without a candle."""
    settled = from_nanoseconds(to_nanoseconds(now - SETTLES_AFTER) // interval.nanoseconds * interval.nanoseconds)
    return missing_spans(open_time, interval=interval, start=window.start, end=min(window.end, settled))


def inside(open_time: NDArray[np.int64], window: Window) -> NDArray[np.bool_]:
    """(n,) bool: which of the instants `window` asks for."""
    return holds(spans_of([(to_nanoseconds(window.start), to_nanoseconds(window.end))]), open_time)
