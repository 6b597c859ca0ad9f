"""The default schedule and the setting `trading_interval_minutes`: one truth, whichever of the two is saved.

The setting's change points the schedule at a crontab of that period; an edit of the schedule, of its crontab or of its interval
writes the setting. What names no period an hour or a day can be divided into is refused before it is saved.
"""

import zoneinfo
from typing import Any

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from dgbot.core.errors import BadInput
from trading.domain.config import PERIODS
from trading.models import BotConfig
from trading.services import config, slots

HOURLY = "Trading cycle (hourly)"  # its name stays, whatever its period
SETTING = "trading_interval_minutes"
CYCLES = "trading.tasks.dispatch_schedule"
SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")


def crontab_of(minutes: int) -> CrontabSchedule:
    """The crontab, Asia/Seoul, that fires every so many minutes from midnight on. minutes: one of PERIODS."""
    minute = "0" if minutes >= 60 else f"*/{minutes}"
    hour = {True: "*", False: f"*/{minutes // 60}"}[minutes <= 60]
    if minutes == slots.MINUTES_A_DAY:
        hour = "0"
    given = {"minute": minute, "hour": hour, "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": SEOUL}
    return CrontabSchedule.objects.filter(**given).order_by("pk").first() or CrontabSchedule.objects.create(**given)


def check(task: PeriodicTask) -> None:
    """Raise BadInput when cycles cannot follow this schedule. Any other job's is left alone."""
    if task.task == CYCLES and task.crontab is None and task.interval is None:
        raise BadInput(f"{task.name} was not saved: cycles need a crontab or an interval, since their slots lie on a grid.")
    if task.name != HOURLY:
        return
    if task.task != CYCLES:
        raise BadInput(f"{task.name} was not saved: it starts the trading cycles, so its task must stay {CYCLES}.")
    minutes = slots.period_minutes(task)
    if minutes not in PERIODS:
        what = "does not name the same instants every day" if minutes is None else f"runs every {minutes} minutes"
        raise BadInput(
            f"{task.name} was not saved: its schedule {what}, and its period must divide an hour or a day,"
            f" one of {', '.join(map(str, PERIODS))} minutes."
        )


def check_plan(plan: CrontabSchedule | IntervalSchedule) -> None:
    """Raise BadInput when this edit of a crontab or an interval would break the default schedule, if that follows it."""
    field = "crontab" if isinstance(plan, CrontabSchedule) else "interval"
    task = PeriodicTask.objects.filter(name=HOURLY, **{f"{field}_id": plan.pk}).first() if plan.pk else None
    if task is not None:
        setattr(task, field, plan)
        check(task)


@transaction.atomic
def follow_schedule(*, by: Any = "schedule", reason: str = "the schedule was edited") -> bool:
    """Write the default schedule's period into the setting. Returns whether that was news."""
    task = PeriodicTask.objects.select_related("crontab", "interval").filter(name=HOURLY).first()
    minutes = None if task is None else slots.period_minutes(task)
    row = BotConfig.objects.filter(key=SETTING).first()
    if row is None or minutes not in PERIODS or row.value == {"minutes": minutes}:
        return False
    config.change(key=SETTING, value={"minutes": minutes}, by=by, reason=reason)
    return True


def follow_setting(minutes: int) -> None:
    """Point the default schedule at the setting's period, unless it already has it. Raises BadInput when it is missing."""
    task = PeriodicTask.objects.select_for_update(of=("self",)).select_related("crontab", "interval").filter(name=HOURLY).first()
    if task is None:
        raise BadInput(f"{SETTING} was not changed: the schedule {HOURLY!r} is missing; run `manage.py prepare`.")
    if slots.period_minutes(task) == minutes:
        return
    task.crontab, task.interval, task.solar, task.clocked = crontab_of(minutes), None, None, None
    task.save()


def connect() -> None:
    """Have every save of a schedule checked, and the setting follow it. Called once, from the app's `ready`."""
    from django.db.models.signals import post_save, pre_save

    config.on_change(SETTING, lambda value: follow_setting(value["minutes"]))
    pre_save.connect(_check_task, sender=PeriodicTask, dispatch_uid="schedules.check")
    post_save.connect(_follow, sender=PeriodicTask, dispatch_uid="schedules.follow")
    for model in (CrontabSchedule, IntervalSchedule):
        pre_save.connect(_check_plan, sender=model, dispatch_uid=f"schedules.check.{model.__name__}")
        post_save.connect(_follow_plan, sender=model, dispatch_uid=f"schedules.follow.{model.__name__}")


def _check_task(instance: PeriodicTask, **_: Any) -> None:
    check(instance)


def _check_plan(instance: Any, **_: Any) -> None:
    check_plan(instance)


def _follow(instance: PeriodicTask, **_: Any) -> None:
    if instance.name == HOURLY:
        follow_schedule()


def _follow_plan(**_: Any) -> None:
    follow_schedule()
