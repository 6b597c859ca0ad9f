"""Gaps between candles: known, counted, and never filled with invented ones."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class Gap:
    """`missing` candles without a row between two that have one; both open times are aware UTC."""

    after: datetime
    before: datetime
    missing: int


def find_gaps(open_time: NDArray[np.int64], *, interval: Interval) -> tuple[Gap, ...]:
    """Every gap of an ascending, on-grid (n,) int64 column of ns since 1970, oldest first."""
    missing = np.diff(open_time) // interval.nanoseconds - 1
    return tuple(
        Gap(after=from_nanoseconds(open_time[at]), before=from_nanoseconds(open_time[at + 1]), missing=int(missing[at]))
        for at in np.flatnonzero(missing > 0)
    )


def count_missing(gaps: tuple[Gap, ...]) -> int:
    """Candles without a row in all `gaps` together."""
    return sum(gap.missing for gap in gaps)
