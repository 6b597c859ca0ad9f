"""Slots: the planned instants of cycles. A schedule names them; simulated bots have one at every full hour of market time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from django_celery_beat.models import PeriodicTask

from trading.models import Bot, Cycle, CycleStatus
from trading.services import venues
from trading.services.simulated_clock import hour_slots

MOST_AT_ONCE = 30  # closed hours handed to a simulated bot in one go
LONGEST_LOOK_BACK = timedelta(days=366)
MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True)
class Planned:
    """The latest instant a schedule names, and the time to the one before it."""

    slot: datetime
    period: timedelta


def latest(task: PeriodicTask, *, now: datetime) -> Planned | None:
    """The latest instant at or before `now` (aware) that the schedule names; None for kinds without a grid, or none in a year."""
    if task.crontab is not None:
        return _latest_of_crontab(task.crontab.schedule, zone=ZoneInfo(str(task.crontab.timezone)), now=now)
    if task.interval is not None:
        period = task.interval.schedule.run_every
        whole = int(now.timestamp() // period.total_seconds() * period.total_seconds())
        return Planned(slot=datetime.fromtimestamp(whole, tz=UTC), period=period)
    return None


def upcoming(task: PeriodicTask, *, now: datetime) -> datetime | None:
    """The first instant after `now` (aware) that the schedule names; None for kinds without a grid, or none in a year."""
    if task.crontab is not None:
        return _after(task.crontab.schedule, zone=ZoneInfo(str(task.crontab.timezone)), instant=now)
    if task.interval is not None:
        newest = latest(task, now=now)
        return None if newest is None else newest.slot + newest.period
    return None


def period_minutes(task: PeriodicTask) -> int | None:
    """Minutes between the instants of a schedule that names the same ones every day; None for any other schedule."""
    if task.crontab is not None:
        return _minutes_of_crontab(task.crontab.schedule)
    if task.interval is not None:
        seconds = task.interval.schedule.run_every.total_seconds()
        return int(seconds // 60) if seconds and seconds % 60 == 0 else None
    return None


def simulated(bot: Bot, *, now: datetime, origin: datetime) -> list[datetime]:
    """Every closed hour since the bot's last cycle, oldest first, at most MOST_AT_ONCE. now, origin: market time.

    A cycle that is unfinished comes first: no later one overtakes it.
    """
    unfinished = Cycle.objects.filter(bot=bot, status=CycleStatus.RUNNING).order_by("slot").values_list("slot", flat=True).first()
    last = Cycle.objects.filter(bot=bot).order_by("-slot").values_list("slot", flat=True).first()
    after = last if last is not None else origin - timedelta(hours=1)
    if unfinished is not None:
        after = unfinished - timedelta(hours=1)
    return hour_slots(after=after, until=now, most=MOST_AT_ONCE)


def operator_slot(*, bot: Bot) -> datetime:
    """An extra slot, right now in market time, for "run now". Raises VenueUnavailable for a mode that cannot trade here."""
    return venues.venue_for(bot.account).clock.now()


def _latest_of_crontab(schedule: Any, *, zone: ZoneInfo, now: datetime) -> Planned | None:
    newest = _before(schedule, zone=zone, instant=now)
    previous = None if newest is None else _before(schedule, zone=zone, instant=newest - timedelta(seconds=1))
    if newest is None:
        return None
    return Planned(slot=newest, period=LONGEST_LOOK_BACK if previous is None else newest - previous)


def _minutes_of_crontab(schedule: Any) -> int | None:
    if len(schedule.day_of_month) < 31 or len(schedule.month_of_year) < 12 or len(schedule.day_of_week) < 7:
        return None
    instants = [hour * 60 + minute for hour in sorted(schedule.hour) for minute in sorted(schedule.minute)]
    steps = {later - earlier for earlier, later in pairwise([*instants, instants[0] + MINUTES_A_DAY])}
    return steps.pop() if len(steps) == 1 else None


def _after(schedule: Any, *, zone: ZoneInfo, instant: datetime) -> datetime | None:
    """The first match after `instant`."""
    local = instant.astimezone(zone)
    for days in range(LONGEST_LOOK_BACK.days + 1):
        day = (local + timedelta(days=days)).date()
        if not (day.month in schedule.month_of_year and day.day in schedule.day_of_month and day.isoweekday() % 7 in schedule.day_of_week):
            continue
        for hour in sorted(schedule.hour):
            for minute in sorted(schedule.minute):
                match = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                if match > instant:
                    return match
    return None


def _before(schedule: Any, *, zone: ZoneInfo, instant: datetime) -> datetime | None:
    """The newest match at or before `instant`, by Celery's own sets of minutes, hours and days."""
    local = instant.astimezone(zone)
    for days in range(LONGEST_LOOK_BACK.days + 1):
        day = (local - timedelta(days=days)).date()
        if not (day.month in schedule.month_of_year and day.day in schedule.day_of_month and day.isoweekday() % 7 in schedule.day_of_week):
            continue
        for hour in sorted(schedule.hour, reverse=True):
            for minute in sorted(schedule.minute, reverse=True):
                match = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                if match <= instant:
                    return match
    return None
