"""Doors for Celery: ids in, one service call, safe to run twice."""

import logging
import time
from collections import Counter
from datetime import datetime
from typing import Any, cast

from celery import Task, shared_task

from dgbot.base.machine import machine_now
from dgbot.core.errors import BooksDisagree, DgbotError
from dgbot.core.protocols import Quotes
from dgbot.core.types import Mode
from trading import doorbell
from trading.models import Bot, ExchangeAccount
from trading.models.cycles import CycleTrigger
from trading.services import books_check, bots, cycles, dispatch, krw_rates, schedules, shadows, snapshots, venues
from trading.services.dispatch import Due
from trading.services.venues import venue_for

log = logging.getLogger(__name__)

START_AFTER_S = 2.0  # a candle that has just closed needs a moment to reach those who ask for it


@shared_task
def run_cycle(bot_id: int, slot: str, trigger: str = CycleTrigger.SCHEDULE) -> None:
    """Run one slot of one bot, and then have its shadows run theirs. slot: ISO 8601 with offset."""
    _run(bot_id=bot_id, slots=[slot], trigger=trigger)
    if cycles.is_over(bot_id=bot_id, slot=datetime.fromisoformat(slot)):
        for shadow in shadows.followers(bot_pk=bot_id):
            run_cycle.delay(shadow, slot, trigger)


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
def dispatch_schedule(self: Task, schedule: str = "") -> str:
    """Queue the newest slot of every running bot on the schedule that fired, once its candle has had a moment to close."""
    time.sleep(START_AFTER_S)
    due = dispatch.by_schedule(task_name=schedule or _schedule_of(self))
    return f"{_queue_all(due)} cycles queued"


@shared_task
def tick_simulated() -> str:
    """Tick the simulated clocks and queue the hours that have closed."""
    due = dispatch.simulated()
    for bot in due:
        run_cycles.delay(bot.bot_id, [slot.isoformat() for slot in bot.slots])
    return f"{sum(len(bot.slots) for bot in due)} cycles queued"


@shared_task
def sweep_cycles() -> str:
    """Queue what dead runners left behind, or close it; and every slot whose message was lost."""
    schedules.follow_schedule(reason="the schedule was edited in bulk")
    return f"{_queue_all([*dispatch.unfinished(), *dispatch.owed()])} cycles queued"


@shared_task
def take_snapshots() -> str:
    """Value every account but replays'; what cannot be told is recorded as unknown, with its cause."""
    taken, unknown = 0, 0
    for account in ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).select_related("simulated_market").order_by("pk"):
        try:
            venue = venue_for(account)
            snapshot = snapshots.take(account=account, venue=venue, now=venue.clock.now())
        except DgbotError as error:
            snapshot = snapshots.take_unknown(account=account, cause=str(error), now=machine_now())
        taken += 1
        unknown += snapshot.total_value_krw is None and snapshot.total_value_usd is None
    return f"{taken} accounts valued, {unknown} of them unknown"


@shared_task
def refresh_krw_rates() -> str:
    """Ask what other currencies are worth in KRW; while nobody can tell, nothing is opened in them."""
    return krw_rates.refresh_wanted(quotes=cast(Quotes, venues.live_quotes(krw_rates.SOURCE)))


@shared_task
def check_books() -> str:
    """Compute every derived figure anew and compare. What differs is logged as critical, which alarms; the task then fails."""
    found = books_check.differences()
    for one in found:
        log.critical("books disagree: %s", one)
    if found:
        raise BooksDisagree(f"{len(found)} figures do not follow from the append-only rows; the first: {found[0]}.")
    return "all figures follow from the append-only rows"


@shared_task
def compare_with_engine() -> str:
    """Compare every running bot's trades with the engine's, each on its own: one that cannot be compared says why and stops no other."""
    from trading.services import parity  # with engine and strategies, which no other task of this module needs

    runs = [parity.run(bot_pk) for bot_pk in parity.bots_to_compare()]
    counts = Counter(run.verdict for run in runs)
    defects = sum(run.kinds.get("defect", 0) for run in runs)
    if defects:
        log.error("parity: %s differences of %s bots are explained by nothing that is stored", defects, counts["differs"])
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no bot runs"


def _run(*, bot_id: int, slots: list[str], trigger: str) -> None:
    bot = Bot.objects.select_related("schedule__crontab", "schedule__interval").get(pk=bot_id)
    venue = venue_for(_account(bot_id))
    for slot in slots:
        instant = datetime.fromisoformat(slot)
        if trigger == CycleTrigger.SCHEDULE and dispatch.missed_meanwhile(bot=bot, slot=instant):
            continue
        ran = cycles.run(bot_id=bot_id, slot=instant, venue=venue, trigger=trigger)
        if ran is None and not cycles.is_over(bot_id=bot_id, slot=instant):
            return  # somebody is at work on this slot; later ones must not overtake it, the next tick hands them out again
        if ran is not None and ran.order_pk is not None:
            doorbell.ring()
    bots.show_life(bot)


def _account(bot_id: int) -> ExchangeAccount:
    return ExchangeAccount.objects.select_related("simulated_market").get(bots=bot_id)


def _queue_all(due: list[Due]) -> int:
    messages = {(item.bot_id, slot) for item in due for slot in item.slots}
    for bot_id, slot in sorted(messages):
        run_cycle.delay(bot_id, slot.isoformat())
    return len(messages)


def _schedule_of(task: Any) -> str:
    """Name of the PeriodicTask that fired, which django-celery-beat writes into the headers."""
    name = (task.request.headers or {}).get("periodic_task_name") or getattr(task.request, "periodic_task_name", "")
    if not name:
        raise ValueError("dispatch_schedule must be fired by a schedule, or be given the schedule's name")
    return str(name)
