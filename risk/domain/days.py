"""Trading days: calendar days in one configured time zone."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

WEEK_DAYS = 7  # "the week" is the last seven trading days, today included


def trading_day(instant: datetime, *, zone: str) -> date:
    """Calendar day of an aware instant in `zone`, an IANA name."""
    return instant.astimezone(ZoneInfo(zone)).date()


def week_start(day: date) -> date:
    """First of the seven trading days that end with `day`."""
    return day - timedelta(days=WEEK_DAYS - 1)
