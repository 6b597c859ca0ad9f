"""Schedules of trading cycles, made and changed from five fields of a crontab. The same rules hold as for an edit in the admin."""

from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from trading.services.schedules import CYCLES

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


@transaction.atomic
def create(*, name: str, crontab: str, timezone: str, enabled: bool, description: str, by: Any) -> PeriodicTask:
    """A new schedule that bots may follow. Raises BadInput or Django's ValidationError for what cannot be."""
    if PeriodicTask.objects.filter(name=name).exists():
        raise BadInput(f"There is already a schedule named {name}; choose another name.")
    plan = _plan(crontab, timezone=timezone)
    task = PeriodicTask(name=name, task=CYCLES, crontab=plan, enabled=enabled, description=description)
    task.full_clean()
    task.save()
    audit.record(
        actor=by, action="create schedule", target=f"schedule:{task.pk}", diff={"crontab": ["", crontab], "timezone": ["", timezone]}
    )
    return task


@transaction.atomic
def change(*, task_pk: int, values: dict[str, Any], by: Any, reason: str) -> PeriodicTask:
    """Change a schedule; beat follows within seconds. values: of crontab, timezone, enabled, description. Raises as `create` does."""
    task = PeriodicTask.objects.select_for_update(of=("self",)).select_related("crontab").get(pk=task_pk)
    before = described(task)
    after = {**before, **values}
    if (after["crontab"], after["timezone"]) != (before["crontab"], before["timezone"]):
        if after["crontab"] is None:
            raise BadInput(f"{task.name} was not changed: it has no crontab yet; give one.")
        task.crontab, task.interval = _plan(after["crontab"], timezone=after["timezone"] or "Asia/Seoul"), None
    task.enabled, task.description = after["enabled"], after["description"]
    diff = {name: [before[name], value] for name, value in after.items() if value != before[name]}
    if diff:
        task.full_clean()
        task.save()
        audit.record(actor=by, action="change schedule", target=f"schedule:{task.pk}", reason=reason, diff=diff)
    return task


def described(task: PeriodicTask) -> dict[str, Any]:
    """What can be changed of it; crontab and timezone None for a schedule of another kind."""
    plan = task.crontab
    return {
        "crontab": None if plan is None else " ".join(str(getattr(plan, field)) for field in FIELDS),
        "timezone": None if plan is None else str(plan.timezone),
        "enabled": task.enabled,
        "description": task.description,
    }


def _plan(crontab: str, *, timezone: str) -> CrontabSchedule:
    parts = crontab.split()
    if len(parts) != len(FIELDS):
        raise BadInput(
            f"A crontab has the five fields minute, hour, day of month, month, day of week, such as “0 * * * *”; was {crontab!r}."
        )
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise BadInput(f"{timezone!r} is no time zone; one is Asia/Seoul.") from None
    given = {**dict(zip(FIELDS, parts, strict=True)), "timezone": zone}
    found = CrontabSchedule.objects.filter(**given).order_by("pk").first()
    if found is not None:
        return found
    plan = CrontabSchedule(**given)
    plan.full_clean()
    try:
        plan.schedule  # noqa: B018  building it is what checks ranges
    except ValueError as error:
        raise BadInput(f"The crontab {crontab!r} cannot be read: {error}.") from None
    plan.save()
    return plan
