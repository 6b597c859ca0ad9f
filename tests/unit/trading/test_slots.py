"""Slots of schedules against a walk back minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from hypothesis import given
from hypothesis import strategies as st

from trading.services import cycles, slots

MINUTE = timedelta(minutes=1)
SEOUL = ZoneInfo("Asia/Seoul")

instants = st.integers(0, 10 * 366 * 86_400).map(lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
crontabs = st.builds(
    lambda minute, hour, weekday: (minute, hour, weekday),
    st.sampled_from(["0", "*/15", "5,20", "*", "59", "0-3"]),
    st.sampled_from(["*", "*/4", "9", "0", "23", "8-10"]),
    st.sampled_from(["*", "*", "*", "1-5", "0", "6"]),
)


def by_crontab(minute: str, hour: str, weekday: str, *, day: str = "*", month: str = "*", zone: ZoneInfo = SEOUL) -> PeriodicTask:
    """A schedule as the admin makes it."""
    crontab = CrontabSchedule(minute=minute, hour=hour, day_of_week=weekday, day_of_month=day, month_of_year=month, timezone=zone)
    return PeriodicTask(name="test", crontab=crontab)


def numbers(field: str, *, top: int) -> set[int]:
    """What a crontab field names, read by hand."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, last = (0, top) if span == "*" else (int(span.split("-")[0]), int(span.split("-")[-1]))
        found |= set(range(first, last + 1, int(step or 1)))
    return found


def walk_back(minute: str, hour: str, weekday: str, *, now: datetime) -> datetime:
    """The obvious way: one minute after the other."""
    at = now.replace(second=0, microsecond=0)
    while True:
        local = at.astimezone(SEOUL)
        is_day = local.isoweekday() % 7 in numbers(weekday, top=6)
        if is_day and local.hour in numbers(hour, top=23) and local.minute in numbers(minute, top=59):
            return at
        at -= MINUTE


@given(fields=crontabs, now=instants)
def test_the_latest_slot_of_a_crontab_is_what_a_walk_back_finds(fields: tuple[str, str, str], now: datetime):
    found = slots.latest(by_crontab(*fields), now=now)

    expected = walk_back(*fields, now=now)
    assert found is not None and found.slot == expected and found.slot.tzinfo is not None
    assert found.period == expected - walk_back(*fields, now=expected - MINUTE)


@given(every=st.sampled_from([1, 5, 15, 60, 240, 1440]), now=instants)
def test_the_latest_slot_of_an_interval_lies_on_its_grid(every: int, now: datetime):
    task = PeriodicTask(name="test", interval=IntervalSchedule(every=every, period=IntervalSchedule.MINUTES))

    found = slots.latest(task, now=now)

    assert found is not None and found.period == every * MINUTE
    assert found.slot <= now < found.slot + found.period
    assert (found.slot - datetime(2024, 1, 1, tzinfo=UTC)) % found.period == timedelta(0)


def test_a_slot_is_named_from_its_very_instant_on():
    hourly = by_crontab("0", "*", "*")
    on_time = datetime(2026, 1, 1, 5, tzinfo=UTC)

    for now, expected in ((on_time, on_time), (on_time - timedelta(microseconds=1), on_time - timedelta(hours=1))):
        found = slots.latest(hourly, now=now)
        assert found is not None and found.slot == expected


def test_a_rare_schedule_is_found_within_a_year():
    found = slots.latest(by_crontab("0", "9", "*", day="29", month="2"), now=datetime(2024, 12, 31, tzinfo=UTC))

    assert found is not None and found.slot == datetime(2024, 2, 29, 0, tzinfo=UTC)


def test_what_has_no_grid_names_no_slot():
    assert (
        slots.latest(
            PeriodicTask(name="test", solar=SolarSchedule(event="sunset", latitude=0, longitude=0)), now=datetime(2026, 1, 1, tzinfo=UTC)
        )
        is None
    )


@pytest.mark.parametrize(
    ("period", "seconds"), [(timedelta(minutes=1), 60), (timedelta(minutes=15), 150), (timedelta(hours=1), 600), (timedelta(days=1), 600)]
)
def test_a_cycle_may_start_ten_minutes_or_a_sixth_of_its_period_late(period: timedelta, seconds: int):
    assert cycles.validity(period) == timedelta(seconds=seconds)
