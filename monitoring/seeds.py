"""Monitoring's own schedules. Added if missing, never overwritten: the operator's edits win."""

import json
from typing import Any

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

BACK_UP = "Backup (daily)"
CLEAN_BACKUPS = "Remove old backups (weekly)"
WATCH = "Watch the platform"
WATCH_EVERY_S = 30
SUNDAY = "0"


def create_schedules() -> str | None:
    """The schedules that are missing, all in UTC."""
    made = [
        _every(WATCH, "monitoring.tasks.watch", seconds=WATCH_EVERY_S),
        _schedule(BACK_UP, "monitoring.tasks.back_up", hour=0),
        _schedule(CLEAN_BACKUPS, "monitoring.tasks.clean_backups", hour=1, day_of_week=SUNDAY),
    ]
    added = [name for name in made if name]
    return f"Schedules added: {', '.join(added)}." if added else None


def _every(name: str, task: str, *, seconds: int) -> str:
    """Create an interval's row if missing. One that could not run in time is not run late."""
    interval, _created = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    given = {"task": task, "kwargs": json.dumps({}), "interval": interval, "expire_seconds": seconds}
    _row, is_new = PeriodicTask.objects.get_or_create(name=name, defaults=given)
    return name if is_new else ""


def _schedule(name: str, task: str, *, hour: int, day_of_week: str = "*") -> str:
    """Create the row if missing; its name when it is new, else an empty text."""
    if PeriodicTask.objects.filter(name=name).exists():
        return ""
    PeriodicTask.objects.create(name=name, task=task, kwargs=json.dumps({}), crontab=_crontab(hour=hour, day_of_week=day_of_week))
    return name


def _crontab(*, hour: int, day_of_week: str) -> CrontabSchedule:
    given: dict[str, Any] = {"minute": "0", "hour": str(hour), "day_of_week": day_of_week, "timezone": "UTC"}
    given |= {"day_of_month": "*", "month_of_year": "*"}
    return CrontabSchedule.objects.filter(**given).order_by("pk").first() or CrontabSchedule.objects.create(**given)
