"""What candles must not be: each kind of fault with its count and its first offender."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import PRICE_COLUMNS
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class Problem:
    """`count` rows with one fault, of which row number `first` (from 0) is the first; `detail` tells its values."""

    kind: str
    count: int
    first: int
    detail: str = ""


def find_problems(
    times: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]], *, interval: Interval, now: datetime
) -> tuple[Problem, ...]:
    """Every fault of the rows, in a fixed order; none means legal candles, ascending, unique and closed at `now` (aware).

    times: (n,) ns since 1970 in the file's order. columns: open, high, low, close, volume, each (n,).
    """
    problems = []
    for kind, wrong, shown in _faults(times, columns, interval=interval, now=now):
        if wrong.any():
            first = int(np.argmax(wrong))
            detail = "".join(f", {name} {columns[name][first]:.15g}" for name in shown)
            problems.append(Problem(kind=kind, count=int(wrong.sum()), first=first, detail=detail))
    return tuple(problems)


Fault = tuple[str, NDArray[np.bool_], tuple[str, ...]]


def _faults(times: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]], *, interval: Interval, now: datetime) -> Iterator[Fault]:
    open_, high, low, close, volume = (columns[name] for name in (*PRICE_COLUMNS, "volume"))
    every = (*PRICE_COLUMNS, "volume")
    is_finite = np.asarray(np.isfinite(np.stack([open_, high, low, close, volume])).all(axis=0))
    has_prices = is_finite & (np.minimum(np.minimum(open_, close), np.minimum(low, high)) > 0)
    yield "not finite", ~is_finite, every
    yield "with a price that is not positive", is_finite & ~has_prices, PRICE_COLUMNS
    yield "with negative volume", is_finite & (volume < 0), ("volume",)
    yield "inconsistent", has_prices & ((low > np.minimum(open_, close)) | (high < np.maximum(open_, close))), PRICE_COLUMNS
    yield "off the grid of " + interval, times % interval.nanoseconds != 0, ()
    yield "out of order", np.diff(times, prepend=times[:1]) < 0, ()
    yield "duplicate", _repeats(times), ()
    yield "in the future or still forming", times > to_nanoseconds(now) - interval.nanoseconds, ()


def _repeats(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    if np.all(np.diff(times) > 0):
        return np.zeros(len(times), dtype=bool)
    _, first_of_each = np.unique(times, return_index=True)
    repeats = np.ones(len(times), dtype=bool)
    repeats[first_of_each] = False
    return repeats
