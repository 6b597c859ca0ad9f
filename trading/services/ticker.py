"""The ticker: bots with a period under a minute, watched by one leased process.

    every tick_seconds  ──► look: RiskCheck alone, no rows
                              │ an exit is due, or the answer has changed ──► cycle "between candles"
    a bar closes        ──► cycle: the whole pipeline, one row per slot

Looks run in the caller's thread, a few together so that they share one reading, and spread over the period so that two
hundred bots do not wake at once; a ticker that falls behind finds more of them due, and so gets faster. Cycles run on a
thread of their own. A bot belongs to whoever holds its lease; every write carries the lease's epoch and is refused once
another process has taken the bot over.
"""

import heapq
import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections

from backtests.candles.series import Candles
from dgbot.core.errors import DgbotError, ExchangeUnavailable
from dgbot.core.interval import Interval
from trading.domain.stages import Action, Outcome
from trading.exchanges.streams import TradesLost
from trading.exchanges.venue import Venue
from trading.models import ACTIVE, Bot, ExchangeAccount, Position
from trading.services import cycles, leases
from trading.services.cycles import Held
from trading.services.live_series import LiveSeries

log = logging.getLogger(__name__)

TAKE_EVERY_S = 2.0  # how soon a bot that was started, stopped or left behind is noticed
COUNT_EVERY_S = 10.0
LATE_S = 0.5
EXIT_AGAIN_S = 30.0  # an exit that is still due after so long gets another cycle
POLL_EVERY_S = 0.2
MOST_AT_ONCE = 50  # looks in one transaction: it should not hold its leases long
TOGETHER_S = 0.25  # looks begin at multiples of it, so that a few of them share one reading
SPREAD = 0.618034  # looks of bots with neighbouring ids fall far apart within the period

COUNT = """
INSERT INTO tick_counts (bot_id, hour, looks, late, left_out, worst_lateness_ms)
SELECT bot_id, date_trunc('hour', clock_timestamp()), looks, late, left_out, worst_lateness_ms
FROM jsonb_to_recordset(%s) AS told (bot_id bigint, looks int, late int, left_out int, worst_lateness_ms int)
ON CONFLICT (bot_id, hour) DO UPDATE SET
    looks = tick_counts.looks + EXCLUDED.looks,
    late = tick_counts.late + EXCLUDED.late,
    left_out = tick_counts.left_out + EXCLUDED.left_out,
    worst_lateness_ms = greatest(tick_counts.worst_lateness_ms, EXCLUDED.worst_lateness_ms)
"""


LineKey = tuple[str, str, Interval]  # exchange and market, symbol, interval


@dataclass(frozen=True)
class Slot:
    """A cycle to be run. Between candles nothing has closed since the last decision."""

    at: datetime
    is_between_candles: bool


@dataclass
class Tally:
    """Looks since the last count was written."""

    looks: int = 0
    late: int = 0
    left_out: int = 0
    worst_lateness_ms: int = 0

    def add(self, *, lateness_s: float, left_out: int) -> None:
        """One look that began so late, after so many that were left out."""
        self.looks += 1
        self.late += lateness_s > LATE_S
        self.left_out += left_out
        self.worst_lateness_ms = max(self.worst_lateness_ms, round(lateness_s * 1000))


@dataclass
class Watched:
    """One bot of ours: its lease, its candles, what it last answered, and the slots that wait for it."""

    bot_id: int
    epoch: int
    tick_s: float
    venue: Venue
    candles: LiveSeries
    anchor_at: datetime
    planned: float  # time.monotonic() of the next look
    answer: tuple[str, ...] | None = None
    exit_asked_at: float = 0.0
    slots: deque[Slot] = field(default_factory=deque)
    is_running: bool = False
    tally: Tally = field(default_factory=Tally)

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> Candles:
        """See CandleHistory: the bars built here, from this bot's anchor."""
        return self.candles.candles(anchor_at or self.anchor_at).closed_at(until)


class Ticker:
    """Watches every bot whose lease it gets. venue_for: the venue of an account. ring: called when an order was planned."""

    def __init__(self, *, venue_for: Callable[[ExchangeAccount], Venue], ring: Callable[[], None]) -> None:
        self.venue_for, self.ring = venue_for, ring
        self.watched: dict[int, Watched] = {}
        self.lines: dict[LineKey, LiveSeries] = {}
        self.silent: dict[LineKey, str] = {}  # lines whose trades are unknown, and why
        self.looks: list[tuple[float, int]] = []  # heap of (planned, bot)
        self.beginning: dict[int, tuple[Bot, int]] = {}  # bots with their epochs, taken and not watched yet
        self.runner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cycles")
        self.lock = threading.Lock()  # of every bot's waiting slots
        self.take_at = self.poll_at = self.count_at = 0.0

    def turn(self) -> None:
        """Whatever is due now: take bots, poll trades, look, count."""
        if time.monotonic() >= self.take_at:
            self.take_at = time.monotonic() + TAKE_EVERY_S
            self.take()
        self.begin()
        if time.monotonic() >= self.poll_at:
            self.poll_at = time.monotonic() + POLL_EVERY_S
            self.poll()
        self.look()
        if time.monotonic() >= self.count_at:
            self.count_at = time.monotonic() + COUNT_EVERY_S
            self.count()

    def close(self) -> None:
        """Finish the cycle at work, write the counts, and give the bots back, so that a successor need not wait."""
        with self.lock:
            for watched in self.watched.values():
                watched.slots.clear()
        self.runner.submit(connections.close_all)
        self.runner.shutdown()
        self.count()
        leases.release_all(names=[cycles.lease_name(bot_id) for bot_id in self.watched])
        self.watched.clear()

    # --- Which bots ---
    def take(self) -> None:
        """Renew our leases, take what nobody holds, drop what we lost."""
        wanted = {
            bot.pk: bot
            for bot in Bot.objects.filter(tick_seconds__isnull=False, is_running=True, status__in=ACTIVE).select_related(
                "account__simulated_market"
            )
        }
        epochs = leases.acquire_all(names=[cycles.lease_name(bot_id) for bot_id in sorted(wanted)], seconds=settings.LEASE_S)
        held = {bot_id: epoch for bot_id in wanted if (epoch := epochs.get(cycles.lease_name(bot_id))) is not None}
        for bot_id in set(self.watched) - set(held):
            self._drop(bot_id, "it was stopped or taken over")
        self.beginning = {bot_id: (wanted[bot_id], epoch) for bot_id, epoch in held.items() if not self._is_watched(wanted[bot_id], epoch)}
        for line in self.lines.values():
            line.forget_all_but({one.anchor_at for one in self.watched.values() if one.candles is line})

    def begin(self) -> None:
        """Begin with one of the bots just taken: its history may take a while, and the others' looks must not wait."""
        if self.beginning:
            bot, epoch = self.beginning.pop(min(self.beginning))
            self._begin(bot, epoch=epoch)

    def _is_watched(self, bot: Bot, epoch: int) -> bool:
        mine = self.watched.get(bot.pk)
        return mine is not None and mine.epoch == epoch and mine.tick_s == bot.tick_seconds

    def _begin(self, bot: Bot, *, epoch: int) -> None:
        assert bot.tick_seconds is not None  # the query asks for it
        try:
            venue = self.venue_for(bot.account)
            line = self._line(bot, venue)
            anchor_at = line.watch_from(bot.anchor_at)
        except (DgbotError, ValueError) as error:
            log.warning("bot=%s is not watched yet: %s", bot.pk, error)
            self._drop(bot.pk, "its candles are unknown")
            leases.release(name=cycles.lease_name(bot.pk))
            return
        if anchor_at != bot.anchor_at:
            Bot.objects.filter(pk=bot.pk).update(anchor_at=anchor_at)
        period = float(bot.tick_seconds)
        planned = math.ceil((time.monotonic() + period * (bot.pk * SPREAD % 1)) / TOGETHER_S) * TOGETHER_S
        watched = Watched(bot.pk, epoch, period, venue=venue, candles=line, anchor_at=anchor_at, planned=planned)
        watched.venue = replace(venue, history=watched)
        self.watched[bot.pk] = watched
        heapq.heappush(self.looks, (planned, bot.pk))
        log.info("bot=%s is watched every %s s from epoch %s on", bot.pk, bot.tick_seconds, epoch)

    def _line(self, bot: Bot, venue: Venue) -> LiveSeries:
        market = bot.account.simulated_market_id
        key = (f"{bot.account.exchange}:{market or ''}", bot.symbol, Interval(bot.interval))
        if key not in self.lines:
            self.lines[key] = LiveSeries.begin(exchange=bot.account.exchange, symbol=bot.symbol, interval=key[2], venue=venue)
        return self.lines[key]

    def _drop(self, bot_id: int, why: str) -> None:
        if self.watched.pop(bot_id, None) is not None:
            log.info("bot=%s is not watched any more: %s", bot_id, why)

    # --- Candles ---
    def poll(self) -> None:
        """Take in new trades; every bar that closes is a slot of the bots that watch it."""
        for key, line in list(self.lines.items()):
            try:
                closed = line.poll()
            except TradesLost as error:
                self._begin_anew(key, str(error))
                continue
            except ExchangeUnavailable as error:
                self._complain(key, str(error))
                continue
            if self.silent.pop(key, None):
                log.info("%s: trades are known again", _words(key))
            for watched in [one for one in self.watched.values() if closed and one.candles is line]:
                self._run(watched, *(Slot(bar.opened_at + line.interval.length, is_between_candles=False) for bar in closed))

    def _complain(self, key: LineKey, why: str) -> None:
        """Once per incident, not five times a second."""
        if key not in self.silent:
            log.warning("%s: no bar closes while the trades are unknown: %s", _words(key), why)
        self.silent[key] = why

    def _begin_anew(self, key: LineKey, why: str) -> None:
        """Bars with trades missing are worth nothing: the bots keep their leases and begin again from candles."""
        log.error("%s: its bars begin anew from candles: %s", _words(key), why)
        line = self.lines.pop(key)
        for bot_id in [one.bot_id for one in self.watched.values() if one.candles is line]:
            self._drop(bot_id, "its candles begin anew")

    # --- Looks ---
    def look(self) -> None:
        """Every look that is due, the one planned first first."""
        while due := self._due():
            self._look(due)

    def _due(self) -> list[Watched]:
        """Whose look is due now, the one planned first first; their next looks are planned."""
        due: list[Watched] = []
        now = time.monotonic()
        while self.looks and self.looks[0][0] <= now and len(due) < MOST_AT_ONCE:
            planned, bot_id = heapq.heappop(self.looks)
            watched = self.watched.get(bot_id)
            if watched is None or watched.planned != planned:
                continue  # it was begun anew, or dropped
            left_out = int((now - planned) // watched.tick_s)
            watched.planned += watched.tick_s * (1 + left_out)
            heapq.heappush(self.looks, (watched.planned, bot_id))
            watched.tally.add(lateness_s=now - planned, left_out=left_out)
            due.append(watched)
        return due

    def _look(self, due: list[Watched]) -> None:
        """Look for all of them at once; where one of them fails, for each alone, so that the others go on."""
        try:
            outcomes = cycles.look([Held(one.bot_id, venue=one.venue, epoch=one.epoch) for one in due])
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            if len(due) == 1:
                log.exception("bot=%s could not look", due[0].bot_id)
            else:
                for watched in due:
                    self._look([watched])
            return
        for watched in due:
            outcome = outcomes.get(watched.bot_id)
            if outcome is None:
                self._drop(watched.bot_id, "it was stopped or taken over")
            elif self._says_something_new(watched, outcome):
                self._run(watched, Slot(watched.venue.clock.now(), is_between_candles=True))

    def _says_something_new(self, watched: Watched, outcome: Outcome) -> bool:
        before, watched.answer = watched.answer, (outcome.action.value, *sorted(reason.code for reason in outcome.reasons))
        if outcome.action is not Action.EXIT:
            return before is not None and before != watched.answer
        is_asked = before == watched.answer and time.monotonic() - watched.exit_asked_at < EXIT_AGAIN_S
        watched.exit_asked_at = watched.exit_asked_at if is_asked else time.monotonic()
        return not is_asked

    # --- Cycles ---
    def _run(self, watched: Watched, *slots: Slot) -> None:
        """Let slots wait for the runner, which works off all of a bot's before it leaves it."""
        with self.lock:
            watched.slots.extend(slots)
            if watched.is_running:
                return
            watched.is_running = True
        self.runner.submit(self._work_off, watched)

    def _work_off(self, watched: Watched) -> None:
        close_old_connections()
        while slot := self._next(watched):
            try:
                self._cycle(watched, slot)
            except (OperationalError, InterfaceError) as error:
                log.warning("bot=%s lost the database in a cycle; it goes on with the next slot: %s", watched.bot_id, error)
                connection.close()
            except Exception:
                log.exception("bot=%s cycle failed", watched.bot_id)  # its row says so, too; the next slot is another try

    def _next(self, watched: Watched) -> Slot | None:
        with self.lock:
            if watched.slots:
                return watched.slots.popleft()
            watched.is_running = False
            return None

    def _cycle(self, watched: Watched, slot: Slot) -> None:
        with self.lock:
            is_overtaken = any(not later.is_between_candles for later in watched.slots) and not slot.is_between_candles
        if is_overtaken:
            why = "A newer candle had closed before this cycle could begin; only the newest is decided on."
            cycles.record_missed(bot=Bot.objects.get(pk=watched.bot_id), slot=slot.at, why=why)
            return
        ran = cycles.run(
            bot_id=watched.bot_id,
            slot=slot.at,
            venue=watched.venue,
            held_epoch=watched.epoch,
            is_between_candles=slot.is_between_candles,
        )
        if ran is not None and ran.order_pk is not None:
            self.ring()
        if not slot.is_between_candles:
            self._move_anchor(watched)

    def _move_anchor(self, watched: Watched) -> None:
        """A series that has grown long starts later, so that memory stays flat; never under an open position."""
        anchor_at = watched.candles.move_anchor(watched.anchor_at)
        if anchor_at != watched.anchor_at and not Position.objects.open().filter(bot=watched.bot_id).exists():
            Bot.objects.filter(pk=watched.bot_id, anchor_at=watched.anchor_at).update(anchor_at=anchor_at)
            watched.anchor_at = anchor_at

    # --- Counts ---
    def count(self) -> None:
        """Write how many looks there were and how late the latest was."""
        told: list[dict[str, Any]] = []
        for watched in self.watched.values():
            tally, watched.tally = watched.tally, Tally()
            if tally.looks:
                told.append({"bot_id": watched.bot_id, **vars(tally)})
        if told:
            with connection.cursor() as cursor:
                cursor.execute(COUNT, [json.dumps(told)])


def _words(key: LineKey) -> str:
    return " ".join(map(str, key))
