"""Two kinds of time. Market time is an argument and comes from a venue's clock; machine time is PostgreSQL's."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class SteppedClock:
    """A market clock that stands still until it is moved. Drives replays and tests."""

    instant: datetime

    def now(self) -> datetime:
        """The market time it was last moved to, aware, UTC."""
        return self.instant

    def move_to(self, instant: datetime) -> None:
        """Step forward. Raises ValueError when asked to go back."""
        if instant < self.instant:
            raise ValueError(f"the clock stands at {self.instant.isoformat()} and cannot go back to {instant.isoformat()}")
        self.instant = instant


class SystemClock:
    """Market time of paper and live: this machine's UTC clock."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        return datetime.now(tz=UTC)


def from_nanoseconds(nanoseconds: int) -> datetime:
    """The aware UTC time of int64 nanoseconds since 1970, the archive's unit. Sub-microsecond digits are cut."""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest // 1000)


def to_nanoseconds(instant: datetime) -> int:
    """Nanoseconds since 1970 of an aware time, exactly."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone")
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
