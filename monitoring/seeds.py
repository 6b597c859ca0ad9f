"""Monitoring's own schedules. Added if missing, never overwritten: the operator's edits win."""

import json
from typing import Any

from django_celery_beat.models import CrontabSchedule, PeriodicTask

BACK_UP = "Backup (daily)"
CLEAN_BACKUPS = "Remove old backups (weekly)"
SUNDAY = "0"


def create_schedules() -> str | None:
    """The schedules that are missing, all in UTC."""
    made = [
        _schedule(BACK_UP, "monitoring.tasks.back_up", hour=0),
        _schedule(CLEAN_BACKUPS, "monitoring.tasks.clean_backups", hour=1, day_of_week=SUNDAY),
    ]
    added = [name for name in made if name]
    return f"Schedules added: {', '.join(added)}." if added else None


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
