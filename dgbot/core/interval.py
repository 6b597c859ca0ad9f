"""Candle intervals and their grid in UTC."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Interval(StrEnum):
    """How long one candle lasts. The value is the name used in files, tables and commands."""

    SECOND_1 = "1s"
    SECOND_5 = "5s"
    MINUTE_1 = "1m"
    MINUTE_3 = "3m"
    MINUTE_5 = "5m"
    MINUTE_10 = "10m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_4 = "4h"
    DAY_1 = "1d"

    @property
    def seconds(self) -> int:
        """Length of one candle, seconds."""
        return int(self[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[self[-1]]

    @property
    def length(self) -> timedelta:
        """Length of one candle."""
        return timedelta(seconds=self.seconds)

    @property
    def nanoseconds(self) -> int:
        """Length of one candle, nanoseconds: the unit of the archive."""
        return self.seconds * 1_000_000_000

    def open_of(self, instant: datetime) -> datetime:
        """Open time of the candle that holds `instant` (aware); the UTC day starts at 00:00 UTC, as Upbit's does."""
        whole = int(instant.timestamp() // self.seconds) * self.seconds
        return datetime.fromtimestamp(whole, tz=UTC)


def interval_of_seconds(seconds: int) -> Interval | None:
    """The interval that lasts `seconds`, or None when no exchange offers it."""
    return next((interval for interval in Interval if interval.seconds == seconds), None)
