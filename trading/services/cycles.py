"""Cycles: claim the slot, walk the four stages, write each one's row. A crash is continued at the first stage without a row.

INSERT (bot, slot) ─→ running ─→ four stage rows ─→ done
    │ duplicate: quits while the runner's lease holds, then takes over
    └ too late: missed
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings as django_settings
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder, is_dead
from dgbot.core.crash import crash_point
from dgbot.core.money import parse_decimal
from dgbot.core.types import Mode
from risk.domain.reasons import Reason
from trading.domain.stages import STAGES, Action, Collected, Outcome, StageName
from trading.exchanges.venue import Venue
from trading.models import ACTIVE, Bot, BotStatus, Cycle, CycleStatus, Decision, Order, StageResult
from trading.models.cycles import CycleTrigger
from trading.selectors.limits import OWNERS_OF_LIMITS
from trading.services import bots, leases
from trading.services.stages import analysis, data_collection, execution, readings, risk_check
from trading.services.stages.context import Context
from trading.services.stages.execution import RiskExit
from trading.services.stages.readings import Readings
from trading.signals import cycle_finished, decision_made

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=60)
LONGEST_VALIDITY = timedelta(minutes=10)

CLAIM = """
INSERT INTO cycles (bot_id, slot, account_id, user_id, mode, trigger, status, outcome,
                    runner, runner_epoch, config_version_id, lease_expires_at)
VALUES (%(bot)s, %(slot)s, %(account)s, %(user)s, %(mode)s, %(trigger)s, 'running', '',
        %(runner)s, 1, %(version)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (bot_id, slot) DO UPDATE SET
    runner = EXCLUDED.runner, runner_epoch = cycles.runner_epoch + 1, lease_expires_at = EXCLUDED.lease_expires_at
WHERE cycles.status = 'running' AND cycles.lease_expires_at < clock_timestamp()
RETURNING *
"""


# The rows are written only while cycle and bot are still this runner's, and they stay his until the rows are committed.
WRITE = """
WITH held AS MATERIALIZED (  -- locked before the cycle, as `run` does
    SELECT FROM leases WHERE name = %(lease)s AND epoch = %(lease_epoch)s FOR SHARE
), ours AS (
    SELECT id FROM cycles
    WHERE EXISTS (SELECT FROM held) AND id = %(cycle)s AND runner_epoch = %(epoch)s AND status = 'running' FOR UPDATE
)
INSERT INTO stage_results (cycle_id, stage, action, reasons, data, duration_ms, created_at)
SELECT ours.id, told.* FROM ours, jsonb_to_recordset(%(rows)s)
    AS told (stage text, action text, reasons jsonb, data jsonb, duration_ms int, created_at timestamptz)
"""


class TakenOver(Exception):
    """Another runner took the cycle over while this one slept: nothing of this stage is written."""


@dataclass(frozen=True)
class Held:
    """A bot whose lease the caller holds and keeps, with its epoch."""

    bot_id: int
    venue: Venue
    epoch: int


@dataclass(frozen=True)
class Ran:
    """What a call of `run` did: the finished cycle in one sentence, and the order it planned if any."""

    cycle_pk: int
    outcome: str
    order_pk: int | None


def lease_name(bot_id: int) -> str:
    """Name of the lease that lets a runner work for this bot."""
    return f"bot:{bot_id}"


def run(
    *,
    bot_id: int,
    slot: datetime,
    venue: Venue,
    trigger: str = CycleTrigger.SCHEDULE,
    held_epoch: int | None = None,
    is_between_candles: bool = False,
) -> Ran | None:
    """Run the pipeline for (bot, slot) at most once; None when another runner has or had it.

    slot: the planned instant, market time. Call it again after a crash with the same arguments: it goes on.
    held_epoch: of a lease on the bot that the caller holds and keeps; None takes one for this cycle.
    is_between_candles: nothing has closed since the last decision, so only RiskCheck and exits run.
    """
    name = lease_name(bot_id)
    crash_point("slot wanted")
    with transaction.atomic():  # lease and slot in one commit
        epoch = leases.acquire(name=name, seconds=django_settings.CYCLE_LEASE_S) if held_epoch is None else held_epoch
        if epoch is None or (held_epoch is not None and not leases.is_current(name=name, epoch=epoch)):
            return None
        context = _begin(bot_id=bot_id, slot=slot, venue=venue, trigger=trigger, epoch=epoch)
        crash_point("slot inserted")
    crash_point("slot committed")
    try:
        if context is None:
            return None
        context.is_between_candles = is_between_candles
        return _walk(context)
    finally:
        if held_epoch is None and venue.mode is not Mode.REPLAY:  # a replay keeps its bot to the end
            leases.release(name=name)


def look(held: Sequence[Held]) -> dict[int, Outcome]:
    """RiskCheck alone, for the time between two candles: equity is observed, nothing else is written. Outcomes by bot.

    A bot that is stopped, or whose lease somebody else holds by now, is left out. Many at once share what they read.
    """
    with transaction.atomic():
        names = {lease_name(one.bot_id): one for one in held}
        ours = leases.current_among({name: one.epoch for name, one in names.items()})
        mine = {names[name].bot_id: names[name] for name in ours}
        running = list(Bot.objects.select_related(*OWNERS_OF_LIMITS).filter(pk__in=mine, is_running=True).order_by("account", "pk"))
        if not running:
            return {}
        known = readings.read(running)
        return {bot.pk: _look(bot, held=mine[bot.pk], known=known) for bot in running}


def _look(bot: Bot, *, held: Held, known: Readings) -> Outcome:
    return risk_check.check(
        Context(cycle=Cycle(bot=bot), bot=bot, venue=held.venue, readings=known, now=held.venue.clock.now(), lease_epoch=held.epoch)
    )


def is_over(*, bot_id: int, slot: datetime) -> bool:
    """Whether this slot has been run, failed or missed."""
    return Cycle.objects.filter(bot_id=bot_id, slot=slot).exclude(status=CycleStatus.RUNNING).exists()


def validity(period: timedelta) -> timedelta:
    """How late a cycle may start: ten minutes or a sixth of the period, whichever is less, but no less than the grace."""
    return max(GRACE, min(LONGEST_VALIDITY, period / 6))


def record_missed(*, bot: Bot, slot: datetime, why: str) -> bool:
    """Write down that a slot was not run. Returns whether it was news."""
    _cycle, is_new = Cycle.objects.get_or_create(
        bot=bot,
        slot=slot,
        defaults={
            "account_id": bot.account_id,
            "user_id": bot.user_id,
            "mode": bot.mode,
            "status": CycleStatus.MISSED,
            "outcome": why,
            "runner": holder(),
            "finished_at": Now(),
        },
    )
    return is_new


def fail(*, cycle_pk: int, runner_epoch: int, why: str) -> None:
    """Close a cycle that cannot go on, unless another runner has taken it over from the one of `runner_epoch`."""
    unfinished = Cycle.objects.filter(pk=cycle_pk, runner_epoch=runner_epoch, status=CycleStatus.RUNNING)
    with transaction.atomic():
        if unfinished.update(status=CycleStatus.FAILED, outcome=why, finished_at=ClockTimestamp(), lease_expires_at=None):
            bots.note_end(bot_id=Cycle.objects.values_list("bot_id", flat=True).get(pk=cycle_pk), failure=why)
            transaction.on_commit(lambda: cycle_finished.send_robust(sender=Cycle, pk=cycle_pk))


def _begin(*, bot_id: int, slot: datetime, venue: Venue, trigger: str, epoch: int) -> Context | None:
    bot = Bot.objects.select_related(*OWNERS_OF_LIMITS).get(pk=bot_id)
    if trigger == CycleTrigger.SCHEDULE and not _may_begin(bot) and not Cycle.objects.filter(bot=bot, slot=slot).exists():
        return None  # stopped since, or its position is not known yet: no cycle begins, but one that has begun is brought to its end
    known = readings.read([bot])
    cycle = _claim(bot=bot, slot=slot, trigger=trigger, version=known.settings.version)
    if cycle is None:
        return None
    return Context(cycle=cycle, bot=bot, venue=venue, readings=known, now=max(slot, venue.clock.now()), lease_epoch=epoch)


def _may_begin(bot: Bot) -> bool:
    return bot.is_running and bot.status in ACTIVE


def _claim(*, bot: Bot, slot: datetime, trigger: str, version: int | None) -> Cycle | None:
    """Insert the slot, or take it over from a runner whose lease has ended; None when neither."""
    values = {
        "bot": bot.pk,
        "slot": slot,
        "account": bot.account_id,
        "user": bot.user_id,
        "mode": bot.mode,
        "trigger": trigger,
        "runner": holder(),
        "version": version,
        "seconds": django_settings.CYCLE_LEASE_S,
    }
    cycle = next(iter(Cycle.objects.raw(CLAIM, values)), None)
    if cycle is None and _free_from_the_dead(bot=bot, slot=slot):
        cycle = next(iter(Cycle.objects.raw(CLAIM, values)), None)
    return cycle


def _free_from_the_dead(*, bot: Bot, slot: datetime) -> bool:
    """End the lease of a runner that has certainly died; whether there was one."""
    left = Cycle.objects.filter(bot=bot, slot=slot, status=CycleStatus.RUNNING).values_list("pk", "runner", "runner_epoch").first()
    if left is None or not is_dead(left[1]):
        return False
    return bool(Cycle.objects.filter(pk=left[0], runner_epoch=left[2]).update(lease_expires_at=ClockTimestamp() - timedelta(seconds=1)))


def _walk(context: Context) -> Ran | None:
    try:
        return _Pipeline(context).walk()
    except TakenOver:
        log.warning("cycle=%s bot=%s was taken over by another runner", context.cycle.pk, context.bot.pk)
        return None
    except OperationalError:
        raise  # the database is away: the lease runs out and a successor goes on
    except Exception as error:
        fail(cycle_pk=context.cycle.pk, runner_epoch=context.cycle.runner_epoch, why=f"{type(error).__name__}: {error}")
        raise


class _Pipeline:
    """One walk through the stages. A row that exists is read, never written again; the last row ends the cycle with it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        is_taken_over = context.cycle.runner_epoch > 1
        self.done = {row.stage: row for row in StageResult.objects.filter(cycle=context.cycle)} if is_taken_over else {}
        self.unwritten: list[dict[str, Any]] = []  # rows of skipped stages, committed with the next stage that runs
        self.exit: RiskExit | None = None  # RiskCheck's own: Execution follows at once
        self.collected: Collected | None = None
        self.prepared: analysis.Prepared | None = None
        self.decision: Decision | None = None
        self.order: Order | None = None

    def walk(self) -> Ran:
        """Go through the stages until one ends the cycle."""
        for stage in STAGES:
            if self.exit is not None and stage in (StageName.DATA_COLLECTION, StageName.ANALYSIS):
                self._skip(stage)
                continue
            outcome = self._restored(stage) if stage in self.done else self._run(stage)
            if self._ends_cycle(stage, outcome):
                return Ran(cycle_pk=self.context.cycle.pk, outcome=_sentence(outcome), order_pk=self.order.pk if self.order else None)
        raise AssertionError("Execution always ends the cycle")

    def _run(self, stage: StageName) -> Outcome:
        """Run one stage and commit its row together with what it decided."""
        work: dict[StageName, Callable[[], Outcome]] = {
            StageName.RISK_CHECK: self._risk_check,
            StageName.DATA_COLLECTION: self._data_collection,
            StageName.ANALYSIS: self._analysis,
            StageName.EXECUTION: self._execution,
        }
        started = time.monotonic()
        self._look(stage)
        with transaction.atomic():
            outcome = work[stage]()
            self.unwritten.append(self._row(stage, outcome, seconds=time.monotonic() - started))
            if self._ends_cycle(stage, outcome):
                for later in STAGES[STAGES.index(stage) + 1 :]:
                    self._skip(later)
                self._write()
                self._close(outcome)
            else:
                self._write()
        if stage is StageName.ANALYSIS:
            crash_point("decision committed")
        elif self.order is not None:
            crash_point("order committed")
        return outcome

    def _look(self, stage: StageName) -> None:
        """What a stage asks of the outside world, before its transaction begins: no network call holds one open."""
        if stage is StageName.DATA_COLLECTION:
            self.collected = data_collection.collect(self.context)
        elif stage is StageName.ANALYSIS:
            assert self.collected is not None  # the stage before it read or restored it
            self.prepared = analysis.prepare(self.context, self.collected)

    def _restored(self, stage: StageName) -> Outcome:
        """What a predecessor found, from its row; inputs are read again, decisions never asked again."""
        row = self.done[stage]
        if stage is StageName.RISK_CHECK:
            self._remember_exit(row.data)
        elif stage is StageName.DATA_COLLECTION:
            self.collected = data_collection.collect(self.context)
        elif stage is StageName.ANALYSIS:
            self.decision = Decision.objects.get(cycle=self.context.cycle)
        return Outcome(Action(row.action), tuple(Reason(**reason) for reason in row.reasons), row.data)

    def _risk_check(self) -> Outcome:
        check = risk_check.check if self.context.is_between_candles else risk_check.check_at_close
        outcome = check(self.context)
        self._remember_exit(outcome.data)
        return outcome

    def _remember_exit(self, data: dict[str, Any]) -> None:
        if data.get("exit_reason"):
            self.exit = RiskExit(reason=str(data["exit_reason"]), price=parse_decimal(data["price"], name="price"))

    def _data_collection(self) -> Outcome:
        assert self.collected is not None
        return data_collection.outcome(self.collected, slot=self.context.cycle.slot)

    def _analysis(self) -> Outcome:
        assert self.collected is not None and self.prepared is not None
        decision, outcome = analysis.decide(self.context, self.collected, self.prepared)
        self.decision = decision
        transaction.on_commit(lambda: decision_made.send_robust(sender=Decision, pk=decision.pk))
        return outcome

    def _execution(self) -> Outcome:
        self.order, outcome = execution.execute(self.context, decision=self.decision, risk_exit=self.exit, collected=self.collected)
        return outcome

    def _ends_cycle(self, stage: StageName, outcome: Outcome) -> bool:
        """Execution ends every cycle; RiskCheck and DataCollection end it when they stop or have nothing to pass on."""
        if stage is StageName.EXECUTION:
            return True
        if stage is StageName.RISK_CHECK and self.context.is_between_candles:
            return outcome.action is not Action.EXIT
        return stage is not StageName.ANALYSIS and outcome.action in (Action.STOP, Action.SKIP)

    def _skip(self, stage: StageName) -> None:
        if stage not in self.done:
            skipped = BETWEEN_CANDLES if self.context.is_between_candles else NOT_REACHED
            self.unwritten.append(self._row(stage, skipped, seconds=0))

    def _row(self, stage: StageName, outcome: Outcome, *, seconds: float) -> dict[str, Any]:
        return {
            "stage": stage,
            "action": outcome.action,
            "reasons": [reason.as_row() for reason in outcome.reasons],
            "data": outcome.data,
            "duration_ms": round(seconds * 1000),
            "created_at": self.context.now.isoformat(),
        }

    def _write(self) -> None:
        """Write the rows that are due. Raises TakenOver when another runner has the cycle by now."""
        cycle = self.context.cycle
        with connection.cursor() as cursor:
            values: dict[str, Any] = {"cycle": cycle.pk, "epoch": cycle.runner_epoch, "lease": lease_name(cycle.bot_id)}
            cursor.execute(WRITE, {**values, "lease_epoch": self.context.lease_epoch, "rows": json.dumps(self.unwritten)})
            if cursor.rowcount == 0:
                raise TakenOver
        self.unwritten = []

    def _close(self, outcome: Outcome) -> None:
        """The cycle ends here: its sentence, its lease given back."""
        cycle = self.context.cycle
        Cycle.objects.filter(pk=cycle.pk).update(
            status=CycleStatus.DONE, outcome=_sentence(outcome), finished_at=ClockTimestamp(), lease_expires_at=None
        )
        if self.context.bot.status == BotStatus.FAILED:
            bots.note_end(bot_id=cycle.bot_id)
        transaction.on_commit(lambda: cycle_finished.send_robust(sender=Cycle, pk=cycle.pk))


BETWEEN_CANDLES = Outcome(Action.SKIP, (Reason("between_candles", "Between two candles only RiskCheck and exits run."),))
NOT_REACHED = Outcome(Action.SKIP, (Reason("not_reached", "An earlier stage ended the cycle."),))


def _sentence(outcome: Outcome) -> str:
    return outcome.summary or outcome.action.value
