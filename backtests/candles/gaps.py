"""Gaps between candles: counted, told apart by whether the exchange confirmed them, and never filled with invented candles."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from backtests.candles.spans import NOTHING, Spans, covered_before
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class Gap:
    """`missing` candles without a row between two that have one; both open times are aware UTC.

    `confirmed` of them the exchange itself says it does not have, because nobody traded; the rest is unexplained.
    """

    after: datetime
    before: datetime
    missing: int
    confirmed: int = 0

    @property
    def unexplained(self) -> int:
        """Candles that nobody accounts for."""
        return self.missing - self.confirmed


def find_gaps(open_time: NDArray[np.int64], *, interval: Interval, confirmed: Spans = NOTHING) -> tuple[Gap, ...]:
    """Every gap of an ascending, on-grid (n,) int64 column of ns since 1970, oldest first.

    confirmed: time for which the exchange said that it has no candles.
    """
    missing = np.diff(open_time) // interval.nanoseconds - 1
    holes = np.flatnonzero(missing > 0)
    from_, until = open_time[holes] + interval.nanoseconds, open_time[holes + 1]
    told = (covered_before(confirmed, until) - covered_before(confirmed, from_)) // interval.nanoseconds
    return tuple(
        Gap(after=from_nanoseconds(open_time[at]), before=from_nanoseconds(end), missing=int(missing[at]), confirmed=int(known))
        for at, end, known in zip(holes.tolist(), until.tolist(), told.tolist(), strict=True)
    )


def count_missing(gaps: tuple[Gap, ...]) -> int:
    """Candles without a row in all `gaps` together."""
    return sum(gap.missing for gap in gaps)


def count_confirmed(gaps: tuple[Gap, ...]) -> int:
    """Those among them that the exchange confirmed."""
    return sum(gap.confirmed for gap in gaps)
