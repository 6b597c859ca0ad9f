"""Stretches of time as arrays: (n, 2) int64 nanoseconds since 1970, half-open [start, end), ascending and disjoint."""

import numpy as np
from numpy.typing import NDArray

from dgbot.core.interval import Interval

Spans = NDArray[np.int64]
NOTHING: Spans = np.empty((0, 2), dtype=np.int64)
NOTHING.flags.writeable = False


def spans_of(pairs: object) -> Spans:
    """Any (start, end) pairs in any order, overlapping or touching, as spans; empty pairs vanish."""
    spans = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    spans = spans[spans[:, 0] < spans[:, 1]]
    if len(spans) == 0:
        return NOTHING
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    is_first = np.concatenate([[True], spans[1:, 0] > reach[:-1]])
    starts = np.flatnonzero(is_first)
    return np.stack([spans[starts, 0], reach[np.append(starts[1:], len(spans)) - 1]], axis=1)


def united(left: Spans, right: Spans) -> Spans:
    """What lies in either."""
    return spans_of(np.concatenate([left, right]))


def without(spans: Spans, taken: Spans) -> Spans:
    """What lies in `spans` and not in `taken`."""
    if len(spans) == 0 or len(taken) == 0:
        return spans
    edges = np.unique(np.concatenate([spans.ravel(), taken.ravel()]))
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    return spans_of(pieces[holds(spans, pieces[:, 0]) & ~holds(taken, pieces[:, 0])])


def holds(spans: Spans, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool: whether each of the (n,) instants lies in a span."""
    if len(spans) == 0:
        return np.zeros(len(times), dtype=bool)
    at = np.searchsorted(spans[:, 0], times, side="right") - 1
    found: NDArray[np.bool_] = (at >= 0) & (times < spans[at, 1])
    return found


def covered_before(spans: Spans, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) int64: nanoseconds of `spans` that lie before each of the (n,) instants."""
    if len(spans) == 0:
        return np.zeros(len(times), dtype=np.int64)
    sums = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])])
    at = np.searchsorted(spans[:, 0], times, side="right")
    last = np.maximum(at - 1, 0)
    over = np.where(at > 0, np.maximum(spans[last, 1] - times, 0), 0)  # the part of the last span that lies behind the instant
    return np.asarray(sums[at] - over)


def slots_of(open_time: NDArray[np.int64], *, interval: Interval) -> Spans:
    """The time that candles opened at (n,) ascending, on-grid instants cover."""
    if len(open_time) == 0:
        return NOTHING
    breaks = np.flatnonzero(np.diff(open_time) != interval.nanoseconds)
    starts = open_time[np.concatenate([[0], breaks + 1])]
    ends = open_time[np.concatenate([breaks, [len(open_time) - 1]])] + interval.nanoseconds
    return np.stack([starts, ends], axis=1)
