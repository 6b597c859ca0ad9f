"""Short candles grouped into longer ones on the UTC grid. Only whole, closed buckets come out, and what was missing is told."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.series import Candles
from backtests.candles.spans import NOTHING, Spans, covered_before, holds
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval


@dataclass(frozen=True)
class Resampled:
    """Longer candles, and the buckets that could not be made.

    left_out: open times (aware UTC) of buckets that held candles but lacked some without an explanation, oldest first.
    """

    candles: Candles
    left_out: tuple[datetime, ...]


def resample(candles: Candles, interval: Interval, *, until: datetime, confirmed: Spans = NOTHING, lenient: bool = False) -> Resampled:
    """`candles` as candles of `interval`: first open, highest high, lowest low, last close, sum of volume.

    A bucket is made when it has closed at `until` (aware) and each of its short candles is there or `confirmed` as never
    traded; `lenient` also makes buckets with unexplained holes and still lists them. A bucket of which no candle exists is not
    made, as exchanges do. Raises BadInput when `interval` is not a multiple of the candles' own.
    """
    short, long = candles.interval.nanoseconds, interval.nanoseconds
    if long % short:
        raise BadInput(f"{candles.interval} candles cannot be grouped into {interval} ones; choose a multiple of {candles.interval}.")
    opened = candles.open_time // long * long
    starts = np.flatnonzero(np.diff(opened, prepend=opened[:1] - 1)) if len(opened) else np.empty(0, dtype=np.int64)
    opens = opened[starts]
    is_whole = _missing(candles.open_time, opens, starts=starts, short=short, long=long, confirmed=confirmed) == 0
    is_closed = opens + long <= to_nanoseconds(until)
    made = is_closed & (is_whole | lenient)
    left_out = tuple(from_nanoseconds(at) for at in opens[is_closed & ~is_whole].tolist())
    return Resampled(candles=_grouped(candles, interval, opens=opens, starts=starts, made=made), left_out=left_out)


def _missing(
    open_time: NDArray[np.int64], opens: NDArray[np.int64], *, starts: NDArray[np.int64], short: int, long: int, confirmed: Spans
) -> NDArray[np.int64]:
    """Short candles of each bucket that are neither there nor confirmed as absent; a confirmed one that is there counts as there."""
    counts = np.diff(np.append(starts, len(open_time)).astype(np.int64))
    told = (covered_before(confirmed, opens + long) - covered_before(confirmed, opens)) // short
    both = np.concatenate([[0], np.cumsum(holds(confirmed, open_time))])
    return np.asarray(long // short - counts - told + both[starts + counts] - both[starts])


def _grouped(
    candles: Candles, interval: Interval, *, opens: NDArray[np.int64], starts: NDArray[np.int64], made: NDArray[np.bool_]
) -> Candles:
    ends = np.append(starts[1:], len(candles)) - 1
    columns: dict[str, Any] = {
        "open_time": opens[made],
        "open": candles.open[starts[made]],
        "high": _reduced(np.maximum, candles.high, starts)[made],
        "low": _reduced(np.minimum, candles.low, starts)[made],
        "close": candles.close[ends[made]] if len(starts) else candles.close[:0],
        "volume": _reduced(np.add, candles.volume, starts)[made],
    }
    return replace(candles, interval=interval, chain=None, **columns)


def _reduced(operation: np.ufunc, column: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(operation.reduceat(column, starts)) if len(starts) else column[:0]
