"""What time it is at an exchange, never said too late. Pure: the caller brings machine time.

Whatever an exchange stamps was stamped before it arrived, so stamp − arrival is never more than the true difference of the two
clocks: the greatest one seen is the best guess that is still safe.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

AHEAD = timedelta(seconds=5)  # a stamp further ahead than this is wrong, not fast


@dataclass
class ExchangeClock:
    """The exchange's time over a monotonic machine time, seconds. Unknown until it was asked."""

    _asked: float | None = None  # difference, seconds since the epoch minus monotonic
    _best: float | None = None  # of stamps since it was asked last

    def asked(self, told: datetime, *, at: float) -> None:
        """An answer to "what time is it". From now on only younger stamps refine it, so that a clock set back is followed."""
        self._asked = told.timestamp() - at
        self._best = None

    def stamped(self, stamp: datetime, *, at: float) -> bool:
        """A message stamped so, arrived at `at`. Returns whether the stamp can be believed."""
        if self._asked is None:
            return False
        difference = stamp.timestamp() - at
        if difference > self._asked + AHEAD.total_seconds():
            return False
        self._best = difference if self._best is None else max(self._best, difference)
        return True

    def at(self, monotonic: float) -> datetime | None:
        """The exchange's time at that machine time, aware UTC, or somewhat before; None while unknown."""
        if self._asked is None:
            return None
        difference = self._asked if self._best is None else max(self._asked, self._best)
        return datetime.fromtimestamp(monotonic + difference, tz=UTC)
