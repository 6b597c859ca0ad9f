"""Quiet hours: pure functions of the instant and the reader's wishes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from monitoring.notifications.kinds import Level

KEPT_FOR = {  # later it helps nobody: after a long outage nobody wants a week of yesterday's cycles
    Level.INFO: timedelta(hours=12),
    Level.WARNING: timedelta(days=2),
    Level.ERROR: timedelta(days=7),
    Level.CRITICAL: timedelta(days=7),
}


def quiet_until(now: datetime, *, hours: tuple[time, time] | None, zone: str) -> datetime | None:
    """When the quiet hours around `now` end, UTC; None when it is not quiet. hours: from and until in `zone`, over midnight if need be."""
    if hours is None or hours[0] == hours[1]:
        return None
    begin, end = hours
    local = now.astimezone(ZoneInfo(zone))
    is_quiet = begin <= local.time() < end if begin < end else (local.time() >= begin or local.time() < end)
    if not is_quiet:
        return None
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def held_until(now: datetime, *, level: Level, up_to: Level, hours: tuple[time, time] | None, zone: str) -> datetime | None:
    """When a message of this level may be sent; None: at once. Critical ones always may."""
    if level is Level.CRITICAL or level.rank > up_to.rank:
        return None
    return quiet_until(now, hours=hours, zone=zone)


def expires_at(now: datetime, *, level: Level, not_before: datetime | None) -> datetime:
    """Until when sending it helps."""
    return max(now, not_before or now) + KEPT_FOR[level]
