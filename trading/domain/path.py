"""The order of prices inside one recorded bar, the same in replay and engine: open → adverse → favourable → close.

Between two of these the price passes every level in between, so a stop is seen at its own price and not at the low.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from dgbot.core.types import Candle

ADVERSE_AT, FAVOURABLE_AT = 1 / 3, 2 / 3  # where in the bar these points are stamped; only their order means something


@dataclass(frozen=True)
class Point:
    """One price inside a bar, quote currency, and when it is taken to have been."""

    price: Decimal
    at: datetime


def long_path(candle: Candle, *, length: timedelta, levels: Iterable[Decimal] = ()) -> Iterator[Point]:
    """The points of one bar for a long position: open, low, high, close, and each of `levels` where it is first passed."""
    waiting = sorted(set(levels))
    corners = (
        Point(candle.open, candle.opened_at),
        Point(candle.low, candle.opened_at + length * ADVERSE_AT),
        Point(candle.high, candle.opened_at + length * FAVOURABLE_AT),
        Point(candle.close, candle.opened_at + length),
    )
    yield corners[0]
    for before, corner in pairwise(corners):
        passed = [level for level in waiting if min(before.price, corner.price) < level < max(before.price, corner.price)]
        for level in sorted(passed, reverse=corner.price < before.price):
            waiting.remove(level)
            yield Point(level, corner.at)
        yield corner
