"""Doors for Celery: ids in, one service call, safe to run twice."""

from datetime import datetime
from typing import Any

from celery import Task, shared_task

from trading import doorbell
from trading.models import ExchangeAccount
from trading.models.cycles import CycleTrigger
from trading.services import cycles, dispatch, snapshots
from trading.services.dispatch import Due
from trading.services.venues import venue_for


@shared_task
def run_cycle(bot_id: int, slot: str, trigger: str = CycleTrigger.SCHEDULE) -> None:
    """Run one slot of one bot. slot: ISO 8601 with offset."""
    _run(bot_id=bot_id, slots=[slot], trigger=trigger)


@shared_task
def run_cycles(bot_id: int, slots: list[str]) -> None:
    """Run several slots of one simulated bot, one after the other, value its account, and tidy up behind it."""
    _run(bot_id=bot_id, slots=slots, trigger=CycleTrigger.SCHEDULE)
    account = _account(bot_id)
    venue = venue_for(account)
    snapshots.take(account=account, venue=venue, now=venue.clock.now())  # simulated hours pass faster than the hourly job
    dispatch.move_anchor(bot_id=bot_id, venue=venue)
    dispatch.tidy_simulated(bot_id=bot_id)


@shared_task(bind=True)
def dispatch_schedule(self: Task, schedule: str = "") -> None:
    """Queue the newest slot of every running bot on the schedule that fired."""
    name = schedule or _schedule_of(self)
    for due in dispatch.by_schedule(task_name=name):
        _queue(due)


@shared_task
def tick_simulated() -> None:
    """Tick the simulated clocks and queue the hours that have closed."""
    for due in dispatch.simulated():
        run_cycles.delay(due.bot_id, [slot.isoformat() for slot in due.slots])


@shared_task
def sweep_cycles() -> None:
    """Queue what dead runners left behind, or close it."""
    for due in dispatch.unfinished():
        _queue(due)


@shared_task
def take_snapshots() -> None:
    """Value every account that trades here."""
    for account in ExchangeAccount.objects.filter(mode="simulated").select_related("simulated_market"):
        venue = venue_for(account)
        snapshots.take(account=account, venue=venue, now=venue.clock.now())


def _run(*, bot_id: int, slots: list[str], trigger: str) -> None:
    venue = venue_for(_account(bot_id))
    for slot in slots:
        instant = datetime.fromisoformat(slot)
        ran = cycles.run(bot_id=bot_id, slot=instant, venue=venue, trigger=trigger)
        if ran is None and not cycles.is_over(bot_id=bot_id, slot=instant):
            return  # somebody is at work on this slot; later ones must not overtake it, the next tick hands them out again
        if ran is not None and ran.order_pk is not None:
            doorbell.ring()


def _account(bot_id: int) -> ExchangeAccount:
    return ExchangeAccount.objects.select_related("simulated_market").get(bots=bot_id)


def _queue(due: Due) -> None:
    for slot in due.slots:
        run_cycle.delay(due.bot_id, slot.isoformat())


def _schedule_of(task: Any) -> str:
    """Name of the PeriodicTask that fired, which django-celery-beat writes into the headers."""
    name = (task.request.headers or {}).get("periodic_task_name") or getattr(task.request, "periodic_task_name", "")
    if not name:
        raise ValueError("dispatch_schedule must be fired by a schedule, or be given the schedule's name")
    return str(name)
