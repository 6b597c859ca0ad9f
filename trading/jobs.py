"""What an operator asks of a schedule, for every face alike: when it runs next, and to run now."""

import json
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from dgbot.accounts import audit
from dgbot.base import display
from dgbot.core.errors import BadInput
from trading import steering
from trading.models import Bot
from trading.services import slots
from trading.services.schedules import CYCLES


def run_now(task: PeriodicTask, *, by: Any) -> str:
    """Queue one extra run; of a cycle schedule, one extra cycle of each running bot. Raises QueueAway when the broker is away."""
    if task.task == CYCLES:
        bots = list(Bot.objects.for_user(by).filter(schedule=task, is_running=True).order_by("pk").values_list("pk", flat=True))
        for bot_pk in bots:
            steering.run_now(bot_pk=bot_pk, by=by)
        text = ngettext("%(name)s: %(count)d extra cycle was queued.", "%(name)s: %(count)d extra cycles were queued.", len(bots))
        return text % {"name": task.name, "count": len(bots)}
    if task.task not in current_app.tasks:
        raise BadInput(_("%(task)s is no job of this platform, so nothing was queued.") % {"task": task.task})
    try:
        current_app.tasks[task.task].apply_async(
            args=json.loads(task.args or "[]"),
            kwargs=json.loads(task.kwargs or "{}"),
            headers={"periodic_task_name": task.name},
            retry=False,
        )
    except (OperationalError, OSError) as error:
        raise steering.QueueAway(
            _("The queue cannot be reached, so nothing was queued. Start Redis and the worker, then try again.")
        ) from error
    audit.record(actor=by, action="run job now", target=f"schedule:{task.pk}")
    return _("%(name)s: a run was queued.") % {"name": task.name}


def next_run(task: PeriodicTask, *, now: datetime) -> datetime | None:
    """When beat fires this schedule next; None when it is off or that cannot be told. An overdue one is due now."""
    if not task.enabled:
        return None
    if task.clocked is not None:
        return task.clocked.clocked_time  # type: ignore[no-any-return]  # django-celery-beat is not typed
    if task.interval is not None and task.task != CYCLES:
        return max(now, (task.last_run_at or now) + task.interval.schedule.run_every)
    if task.crontab is not None or task.interval is not None:
        return slots.upcoming(task, now=max(now, task.start_time or now))
    return None


def coming_runs(task: PeriodicTask, *, now: datetime, count: int = 5) -> list[datetime]:
    """Its next instants, at most `count`; none when it is off or they cannot be told."""
    found: list[datetime] = []
    at = next_run(task, now=now)
    while at is not None and len(found) < count:
        found.append(at)
        if task.clocked is not None:
            break
        is_spaced = task.interval is not None and task.task != CYCLES
        at = at + task.interval.schedule.run_every if is_spaced else next_run(task, now=at + timedelta(seconds=1))
    return found


def next_run_text(task: PeriodicTask) -> str:
    """How long until it fires next, in words."""
    if not task.enabled:
        return _("switched off")
    now = timezone.now()
    at = next_run(task, now=now)
    return _("unknown") if at is None else _("in %(age)s") % {"age": display.age(max(timedelta(0), at - now))}
