"""What may be left out of a file without asking, because it is certain: and a report of every row that was."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.interval import Interval

SMALL_SHARE = 0.5  # of the median volume: a newest candle under it may have been forming


class Reason(StrEnum):
    """Why rows were left out."""

    FORMING = "still forming"  # its interval holds the present: certainly not closed
    REPEATED = "repeated"  # the same candle twice, equal in every value
    NEWEST = "newest, left out as asked"


class Note(StrEnum):
    """What the operator should know of the file."""

    NEWEST_FIRST = "newest first"
    SHORTENED = "shortened volume"  # 4.96K: three digits of what was more
    NEWEST_IS_SMALL = "newest is small"  # perhaps it was forming when the file was written


@dataclass(frozen=True)
class Dropped:
    """`count` rows left out, the first of them opened at `first_opened_at` (aware UTC)."""

    reason: Reason
    count: int
    first_opened_at: datetime


@dataclass(frozen=True)
class Rows:
    """Times (n,) ns since 1970 and five columns (n,), with the way back to each row's place in the file."""

    times: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    place: Callable[[int], str]

    @property
    def is_descending(self) -> bool:
        """Whether every row is older than the one before."""
        return len(self.times) > 1 and bool(np.all(np.diff(self.times) < 0))

    def reversed(self) -> "Rows":
        """Oldest first."""
        return self._taken(np.arange(len(self.times))[::-1])

    def kept(self, which: NDArray[np.bool_]) -> "Rows":
        """Only the rows marked in (n,) `which`."""
        return self._taken(np.flatnonzero(which))

    def _taken(self, indices: NDArray[np.intp]) -> "Rows":
        columns = {name: np.ascontiguousarray(column[indices]) for name, column in self.columns.items()}
        place = self.place
        return Rows(times=np.ascontiguousarray(self.times[indices]), columns=columns, place=lambda index: place(int(indices[index])))


def tidy(rows: Rows, *, interval: Interval, now: datetime, drop_newest: bool) -> tuple[Rows, tuple[Dropped, ...]]:
    """`rows` without those that certainly are no closed candles of their own, and what was left out."""
    found = {
        Reason.REPEATED: _repeated(rows),
        Reason.FORMING: _forming(rows, interval=interval, now=now),
        Reason.NEWEST: _newest(rows) & drop_newest,
    }
    dropped = tuple(
        Dropped(reason=reason, count=int(wrong.sum()), first_opened_at=from_nanoseconds(rows.times[int(np.argmax(wrong))]))
        for reason, wrong in found.items()
        if wrong.any()
    )
    return (rows.kept(~np.logical_or.reduce(list(found.values()))) if dropped else rows), dropped


def is_newest_small(volume: NDArray[np.float64]) -> bool:
    """Whether the last of (n,) volumes is under SMALL_SHARE of the median: a hint and no proof."""
    return len(volume) > 3 and bool(volume[-1] < SMALL_SHARE * np.median(volume[:-1]))


def _repeated(rows: Rows) -> NDArray[np.bool_]:
    """Rows equal to the row right before them."""
    same = np.concatenate([[False], np.diff(rows.times) == 0]) if len(rows.times) else np.zeros(0, dtype=bool)
    if same.any():
        for column in rows.columns.values():
            same[1:] &= column[1:] == column[:-1]
    return np.asarray(same)


def _forming(rows: Rows, *, interval: Interval, now: datetime) -> NDArray[np.bool_]:
    at, step = to_nanoseconds(now), interval.nanoseconds
    forming: NDArray[np.bool_] = rows.times == at // step * step
    return forming


def _newest(rows: Rows) -> NDArray[np.bool_]:
    newest: NDArray[np.bool_] = rows.times == rows.times.max(initial=np.iinfo(np.int64).min)
    return newest
