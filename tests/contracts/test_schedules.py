"""Schedules: every edit is noticed, plan and setting are one truth, no slot is lost between them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from dgbot.base.machine import machine_now
from dgbot.beat import AlignedInterval, Entry, LockedScheduler
from dgbot.celery import app
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from tests import factories
from trading import seeds
from trading.models import Bot, BotConfig, BotStatus, ConfigVersion, Cycle
from trading.services import config, cycles, dispatch, schedules, slots
from trading.services.schedules import CYCLES, HOURLY

pytestmark = pytest.mark.django_db(databases=["default", "venue"])


@pytest.fixture
def hourly() -> PeriodicTask:
    """The default schedule, as `prepare` makes it."""
    seeds.create_settings()
    seeds.create_schedules()
    return PeriodicTask.objects.get(name=HOURLY)


def mark() -> datetime:
    return PeriodicTasks.last_change()


def in_setting() -> object:
    return BotConfig.objects.get(key="trading_interval_minutes").value["minutes"]


def aged(task: PeriodicTask, *, by: timedelta = timedelta(days=1)) -> PeriodicTask:
    """The same schedule, its plan unchanged for a while."""
    with factories.triggers_off():
        PeriodicTask.objects.filter(pk=task.pk).update(date_changed=machine_now() - by, last_run_at=machine_now() - by)
    return PeriodicTask.objects.get(pk=task.pk)


# --- Every change is noticed ---


@pytest.mark.parametrize(
    "edit",
    [
        lambda task: PeriodicTask.objects.filter(pk=task.pk).update(enabled=False),
        lambda task: PeriodicTask.objects.filter(pk=task.pk).update(kwargs='{"a": 1}'),
        lambda task: CrontabSchedule.objects.filter(pk=task.crontab_id).update(minute="7"),
        lambda task: PeriodicTask.objects.filter(pk=task.pk).delete(),
        lambda task: PeriodicTask.objects.filter(pk=task.pk)._raw_delete("default"),
    ],
    ids=["switched off", "other arguments", "other crontab", "deleted", "deleted in SQL"],
)
def test_a_bulk_edit_moves_the_mark_that_beat_watches(hourly: PeriodicTask, edit) -> None:
    before = mark()

    edit(hourly)

    assert mark() > before


def test_writing_a_run_down_is_no_change(hourly: PeriodicTask) -> None:
    before, planned_at = mark(), hourly.date_changed

    PeriodicTask.objects.filter(pk=hourly.pk).update(last_run_at=machine_now(), total_run_count=5)

    hourly.refresh_from_db()
    assert (mark(), hourly.date_changed) == (before, planned_at)


@pytest.mark.parametrize("how", ["enabled", "crontab"])
def test_a_changed_plan_counts_from_its_own_instant(hourly: PeriodicTask, how: str) -> None:
    aged(hourly)
    before = machine_now()

    if how == "enabled":
        PeriodicTask.objects.filter(pk=hourly.pk).update(enabled=False)
    else:
        CrontabSchedule.objects.filter(pk=hourly.crontab_id).update(minute=str((before.minute - 3) % 60))

    hourly.refresh_from_db()
    assert hourly.date_changed > before and hourly.last_run_at > before  # an instant three minutes ago is not due


def test_beat_never_writes_an_operators_edit_back(hourly: PeriodicTask) -> None:
    entry = Entry(hourly, app=app)
    fired = next(entry)
    PeriodicTask.objects.filter(pk=hourly.pk).update(enabled=False, description="edited meanwhile")

    fired.save()
    fired._disable(fired.model)

    hourly.refresh_from_db()
    assert (hourly.enabled, hourly.description) == (False, "edited meanwhile")


def test_beat_looks_at_a_daily_job_whose_hour_is_long_past(hourly: PeriodicTask) -> None:
    for hour in range(24):
        crontab = CrontabSchedule.objects.create(minute="0", hour=str(hour), timezone="Asia/Seoul")
        PeriodicTask.objects.create(name=f"daily {hour}", task="x", crontab=crontab)

    seen = LockedScheduler.enabled_models_qs(object())

    assert seen.filter(name__startswith="daily").count() == 24


@pytest.mark.parametrize("hours", [3, 30])
def test_a_daily_job_missed_by_hours_is_due_once_and_then_no_more(hours: int) -> None:
    late = machine_now() - timedelta(hours=hours)
    crontab = CrontabSchedule.objects.create(
        minute=str((late.minute + 1) % 60), hour=str((late + timedelta(minutes=1)).hour), timezone="UTC"
    )
    task = aged(PeriodicTask.objects.create(name="daily", task="x", crontab=crontab), by=timedelta(hours=hours, minutes=5))

    entry = Entry(task, app=app)
    first = entry.is_due()
    second = next(entry).is_due()

    assert (first.is_due, second.is_due) == (True, False)


def test_an_interval_that_drives_cycles_keeps_to_full_periods() -> None:
    now = datetime(2026, 1, 1, 14, 23, tzinfo=UTC)
    every = AlignedInterval(run_every=timedelta(minutes=30), nowfun=lambda: now, app=app)

    assert every.is_due(now - timedelta(minutes=1)) == (False, 7 * 60)
    assert every.is_due(now - timedelta(minutes=30)) == (True, 7 * 60)


# --- One truth ---


def test_the_setting_moves_the_schedule(hourly: PeriodicTask) -> None:
    config.change(key="trading_interval_minutes", value={"minutes": 15}, by=factories.user(), reason="faster")

    hourly.refresh_from_db()
    assert (slots.period_minutes(hourly), hourly.crontab.minute) == (15, "*/15")


@pytest.mark.parametrize(("minute", "hour", "minutes"), [("*/20", "*", 20), ("7", "*", 60), ("5", "*/4", 240), ("0", "9", 1440)])
def test_an_edit_of_the_crontab_moves_the_setting(hourly: PeriodicTask, minute: str, hour: str, minutes: int) -> None:
    crontab = hourly.crontab
    crontab.minute, crontab.hour = minute, hour
    crontab.save()

    assert in_setting() == minutes
    hourly.refresh_from_db()
    assert (hourly.crontab.minute, hourly.crontab.hour) == (minute, hour)  # and stays as the operator wrote it


def test_an_interval_on_the_default_schedule_moves_the_setting(hourly: PeriodicTask) -> None:
    hourly.crontab, hourly.interval = None, IntervalSchedule.objects.create(every=30, period=IntervalSchedule.MINUTES)
    hourly.save()

    assert in_setting() == 30
    assert ConfigVersion.objects.latest("pk").reason == "the schedule was edited"


def test_a_bulk_edit_is_followed_by_the_next_sweep(hourly: PeriodicTask) -> None:
    CrontabSchedule.objects.filter(pk=hourly.crontab_id).update(minute="*/10")
    assert in_setting() == 60

    assert schedules.follow_schedule() and in_setting() == 10


@pytest.mark.parametrize(
    ("minute", "hour", "weekday", "says"),
    [
        ("*/7", "*", "*", "same instants"),
        ("0,10", "*", "*", "same instants"),
        ("0", "*", "1-5", "same instants"),
        ("0", "*/5", "*", "same"),
    ],
)
def test_a_period_that_divides_nothing_is_refused_with_the_list(
    hourly: PeriodicTask, minute: str, hour: str, weekday: str, says: str
) -> None:
    hourly.crontab = CrontabSchedule.objects.create(minute=minute, hour=hour, day_of_week=weekday, timezone="Asia/Seoul")

    with pytest.raises(BadInput, match=r"same instants.*one of 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120"):
        hourly.save()

    assert in_setting() == 60


def test_the_shared_crontab_of_the_default_schedule_cannot_be_bent_either(hourly: PeriodicTask) -> None:
    crontab = hourly.crontab
    crontab.minute = "*/7"

    with pytest.raises(BadInput, match="divide an hour or a day"):
        crontab.save()


def test_an_interval_of_45_minutes_is_refused(hourly: PeriodicTask) -> None:
    hourly.crontab, hourly.interval = None, IntervalSchedule.objects.create(every=45, period=IntervalSchedule.MINUTES)

    with pytest.raises(BadInput, match="runs every 45 minutes"):
        hourly.save()


def test_cycles_need_a_grid() -> None:
    with pytest.raises(BadInput, match="need a crontab or an interval"):
        schedules.check(PeriodicTask(name="sun", task=CYCLES))


# --- No slot is lost ---


def on_minute(minutes_ago: int, **columns) -> tuple[Bot, PeriodicTask]:
    """A paper bot whose hourly slot was that many minutes ago."""
    at = machine_now() - timedelta(minutes=minutes_ago)
    crontab = CrontabSchedule.objects.create(minute=str(at.minute), timezone=ZoneInfo("Asia/Seoul"))
    task = aged(PeriodicTask.objects.create(name=f"{minutes_ago} ago {at}", task=CYCLES, crontab=crontab))
    return factories.bot(mode=Mode.PAPER, schedule=task, **columns), task


def test_a_slot_whose_message_was_lost_is_owed_until_it_has_a_row() -> None:
    bot, _task = on_minute(2)

    (due,) = dispatch.owed()
    assert due.bot_id == bot.pk and dispatch.owed() == [due]

    cycles.record_missed(bot=bot, slot=due.slots[0], why="test")
    assert dispatch.owed() == []


def test_a_bot_that_waits_for_its_gateway_gets_its_slot_later_or_a_missed_row() -> None:
    young, _task = on_minute(2)
    old, _task = on_minute(20)
    Bot.objects.update(status=BotStatus.REQUESTED)

    assert dispatch.owed() == []
    Bot.objects.update(status=BotStatus.RUNNING)

    assert [due.bot_id for due in dispatch.owed()] == [young.pk]
    assert [cycle.bot_id for cycle in Cycle.objects.filter(status="missed")] == [old.pk]


def test_slots_from_before_a_bot_was_started_are_not_its_own() -> None:
    bot, task = on_minute(20)
    Bot.objects.update(wanted_at=machine_now() - timedelta(minutes=10))

    assert dispatch.by_schedule(task_name=task.name) == [] and not Cycle.objects.exists()
    assert bot.is_running


def test_slots_from_before_the_plan_changed_are_nobodys() -> None:
    _bot, task = on_minute(20)
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=True)

    assert dispatch.owed() == [] and not Cycle.objects.exists()


def test_a_slot_that_waited_too_long_in_the_queue_is_missed_and_not_run() -> None:
    bot, task = on_minute(20)
    bot = Bot.objects.select_related("schedule__crontab", "schedule__interval").get(pk=bot.pk)
    planned = slots.latest(task, now=machine_now())

    assert dispatch.missed_meanwhile(bot=bot, slot=planned.slot)
    assert not dispatch.missed_meanwhile(bot=bot, slot=planned.slot)  # it has its row

    cycle = Cycle.objects.get()
    assert cycle.status == "missed" and "later than 0:10:00 is missed" in cycle.outcome


def test_three_hours_without_beat_leave_one_missed_slot_and_not_three() -> None:
    _bot, task = on_minute(20)

    dispatch.by_schedule(task_name=task.name)
    dispatch.owed()

    assert Cycle.objects.count() == 1


def test_upcoming_is_the_first_slot_after_now() -> None:
    _bot, task = on_minute(20)
    now = machine_now()

    following = slots.upcoming(task, now=now)

    assert following > now and slots.latest(task, now=following).slot == following
    assert slots.latest(task, now=following - timedelta(seconds=1)).slot < now


def test_the_mark_is_one_row(hourly: PeriodicTask) -> None:
    PeriodicTask.objects.update(enabled=False)

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_celery_beat_periodictasks")
        assert cursor.fetchone() == (1,)
