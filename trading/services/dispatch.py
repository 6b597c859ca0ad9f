"""Dispatch: which cycles are due now. It only says so; the face that called it queues them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask

from dgbot.base.machine import is_dead, machine_now
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from trading.exchanges.venue import Venue
from trading.models import ACTIVE, Bot, Cycle, CycleStatus, PortfolioSnapshot, SimulatedMarket
from trading.services import cycles, simulated_clock, slots

SLOW_SPEED = Decimal(60)  # after the fast slots: one market hour a minute
KEPT_IDLE_CYCLES = 2000
KEPT_SNAPSHOTS = 5000
ANCHOR_EVERY = 1000  # slots; the candles' start moves on by as many candles


@dataclass(frozen=True)
class Due:
    """Slots of one bot, oldest first, to be run one after the other."""

    bot_id: int
    slots: tuple[datetime, ...]


def by_schedule(*, task_name: str) -> list[Due]:
    """The newest slot of every wanted bot on this schedule that has none yet; one that comes too late is recorded as missed."""
    return _owed(PeriodicTask.objects.select_related("crontab", "interval").get(name=task_name), now=machine_now())


def owed() -> list[Due]:
    """The same for every enabled schedule: slots whose message was lost, or whose bot was still waiting for its position."""
    wanted = Bot.objects.filter(is_running=True, tick_seconds=None).exclude(mode=Mode.SIMULATED.value).values("schedule")
    tasks = PeriodicTask.objects.filter(pk__in=wanted, enabled=True).select_related("crontab", "interval")
    now = machine_now()
    return [due for task in tasks for due in _owed(task, now=now)]


def missed_meanwhile(*, bot: Bot, slot: datetime) -> bool:
    """Whether a slot waited in the queue until it was too late; it is recorded as missed then. One that has begun goes on."""
    if Mode(bot.mode).is_recorded or bot.schedule is None or Cycle.objects.filter(bot=bot, slot=slot).exists():
        return False
    planned = slots.latest(bot.schedule, now=slot)
    late = machine_now() - slot
    if planned is None or late <= cycles.validity(planned.period):
        return False
    return cycles.record_missed(bot=bot, slot=slot, why=_too_late(late, planned.period))


def simulated() -> list[Due]:
    """Tick the simulated clocks and hand every running simulated bot its closed hours since its last cycle."""
    due = []
    for market in SimulatedMarket.objects.all():
        now = simulated_clock.checkpoint(market_pk=market.pk)
        _slow_down(market, now=now)
        for bot in _of_market(market):
            wanted = slots.simulated(bot, now=now, origin=market.origin)
            if wanted:
                due.append(Due(bot_id=bot.pk, slots=tuple(wanted)))
    return due


def unfinished() -> list[Due]:
    """Cycles whose runner died: those of market time that is recorded go on, others too if their slot is still valid."""
    now = machine_now()
    due = []
    for cycle in Cycle.objects.filter(status=CycleStatus.RUNNING, lease_expires_at__isnull=False).order_by("slot"):
        if cycle.lease_expires_at is None or (cycle.lease_expires_at >= now and not is_dead(cycle.runner)):
            continue
        if Mode(cycle.mode).is_recorded or machine_now() - cycle.slot <= cycles.LONGEST_VALIDITY:
            due.append(Due(bot_id=cycle.bot_id, slots=(cycle.slot,)))
        else:
            cycles.fail(cycle_pk=cycle.pk, runner_epoch=cycle.runner_epoch, why="failed: worker lost")
    return due


def tidy_simulated(*, bot_id: int) -> int:
    """Clear a simulated bot's old cycles that led to no order, and move its candles' start along. Returns cycles deleted."""
    bot = Bot.objects.get(pk=bot_id, mode=Mode.SIMULATED.value)
    snapshots = PortfolioSnapshot.objects.filter(account=bot.account_id)
    snapshots.filter(pk__in=snapshots.order_by("-created_at").values("pk")[KEPT_SNAPSHOTS:]).delete()
    newest = Cycle.objects.filter(bot=bot).order_by("-slot")
    kept_since = newest.values_list("slot", flat=True)[KEPT_IDLE_CYCLES : KEPT_IDLE_CYCLES + 1].first()
    if kept_since is None:
        return 0
    deleted = Cycle.objects.filter(bot=bot, slot__lte=kept_since, orders=None, status=CycleStatus.DONE).delete()[1]
    return deleted.get("trading.Cycle", 0)


def simulated_bots() -> list[int]:
    """Every bot on a simulated market, by primary key."""
    return list(Bot.objects.filter(mode=Mode.SIMULATED.value).order_by("pk").values_list("pk", flat=True))


def move_anchor(*, bot_id: int, venue: Venue) -> None:
    """Every ANCHOR_EVERY slots a simulated bot's candles start ANCHOR_EVERY later, so that they stay few."""
    bot = Bot.objects.select_related("account__simulated_market").get(pk=bot_id, mode=Mode.SIMULATED.value)
    interval, market = Interval(bot.interval), bot.account.simulated_market
    now = venue.clock.now()
    steps = 0 if market is None else (now - market.origin) // (interval.length * ANCHOR_EVERY)
    if steps < 1:
        return
    every = venue.history.closed(bot.symbol, interval, until=now, anchor_at=None)
    anchor_at = every.candle(steps * ANCHOR_EVERY).opened_at  # counted in candles, since an hour without a trade has none
    if bot.anchor_at is None or anchor_at > bot.anchor_at:
        Bot.objects.filter(pk=bot.pk).update(anchor_at=anchor_at)


def _of_market(market: SimulatedMarket) -> QuerySet[Bot]:
    """Its running bots, but for those the ticker watches."""
    return Bot.objects.filter(account__simulated_market=market, is_running=True, status__in=ACTIVE, tick_seconds=None)


def _owed(task: PeriodicTask, *, now: datetime) -> list[Due]:
    planned = slots.latest(task, now=now)
    if planned is None or planned.slot <= task.date_changed:  # what lies before the plan's last change is not its slot
        return []
    had = Cycle.objects.filter(slot=planned.slot).values("bot")
    wanted = Bot.objects.filter(schedule=task, is_running=True, tick_seconds=None).exclude(mode=Mode.SIMULATED.value).exclude(pk__in=had)
    late = now - planned.slot
    if late <= cycles.validity(planned.period) / 2:
        wanted = wanted.exclude(pk__in=_waiting_for_champion(planned.slot))
    bots = list(wanted.exclude(wanted_at__gte=planned.slot))
    if late <= cycles.validity(planned.period):
        return [Due(bot_id=bot.pk, slots=(planned.slot,)) for bot in bots if bot.status in ACTIVE]
    for bot in bots:
        cycles.record_missed(bot=bot, slot=planned.slot, why=_too_late(late, planned.period))
    return []


def _waiting_for_champion(slot: datetime) -> QuerySet[Bot, int]:
    """Shadows whose champion runs and has not finished this slot: they are given what it saw. After half the time they look themselves."""
    over = Cycle.objects.filter(slot=slot).exclude(status=CycleStatus.RUNNING).values("bot")
    at_work = Bot.objects.filter(shadow_of__is_running=True, shadow_of__status__in=ACTIVE).exclude(shadow_of__in=over)
    return at_work.values_list("pk", flat=True)


def _too_late(late: timedelta, period: timedelta) -> str:
    return f"It was {_whole(late)} late; later than {_whole(cycles.validity(period))} is missed."


def _whole(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))


def _slow_down(market: SimulatedMarket, *, now: datetime) -> None:
    """The first hours pass fast, to be watched; then, once, the market slows down. An operator's later edit holds."""
    first_hours = timedelta(hours=settings.SIMULATED_FAST_SLOTS)
    if market.elapsed < first_hours <= now - market.origin and market.speed > SLOW_SPEED:
        SimulatedMarket.objects.filter(pk=market.pk).update(speed=SLOW_SPEED)
