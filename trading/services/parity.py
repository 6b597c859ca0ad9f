"""Parity: the same hours through the engine, every trade matched with what the bot did, each difference with its cause. Kept per run."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import numpy as np
from django.db.models import F, Sum

from backtests import selectors as archive
from backtests.candles.series import Candles
from backtests.engine.layout import ENTRY, REASONS
from backtests.engine.running import Result
from backtests.engine.setup import SLIPPAGE
from backtests.strategies.base import NO, YES, Decisions
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.interval import Interval
from dgbot.core.money import parse_decimal
from dgbot.core.types import Mode
from trading.domain.parity import Compared, Fill, Tolerance, compare, trips_of
from trading.domain.stages import DecisionKind
from trading.models import Bot, Cycle, Decision, ParityRun, ParityVerdict, Position, Trade
from trading.models.bots import AnalystMode
from trading.selectors.limits import OWNERS_OF_LIMITS, effective, profile_of
from trading.services import config, engine_runs, slots
from trading.services.engine_runs import Terms
from trading.services.parity_evidence import Witness, withheld_by
from trading.services.venues import venue_for

MONEY = {"KRW": Decimal(1), "USDT": Decimal("0.01")}  # DESIGN §10
KEPT = 400  # runs of one bot: more than a year of nights


@dataclass(frozen=True)
class Report:
    """One comparison. start, end: bars opened in [start, end). notes: what the engine was told, or cannot do."""

    bot: Bot
    start: datetime
    end: datetime
    bars: int
    compared: Compared
    candles_hash: str
    notes: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every trade is the same."""
        return not self.compared.differences

    def as_row(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "bot": self.bot.pk,
            "symbol": self.bot.symbol,
            "mode": self.bot.mode,
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "bars": self.bars,
            "fills": len(self.compared.pairs),
            "equal": self.compared.equal,
            "kinds": self.compared.kinds,
            "differences": [one.as_row() for one in self.compared.differences],
            "candles_hash": self.candles_hash,
            "notes": list(self.notes),
        }


def bot_of(pk: int) -> Bot:
    """A bot with everything a comparison reads. Raises BadInput when there is none."""
    bot = Bot.objects.select_related(*OWNERS_OF_LIMITS, "account__simulated_market", "schedule__crontab", "schedule__interval")
    found = bot.filter(pk=pk).first()
    if found is None:
        raise BadInput(f"There is no bot {pk}.")
    return found


def check(bot: Bot, *, start: datetime | None = None, end: datetime | None = None, candles: Candles | None = None) -> Report:
    """Compare a bot's trades with the engine's. start, end: None takes all since it runs on its present anchor.

    candles: what to run on instead of those at hand, for a replay of files. The comparison begins where the bot held nothing.
    Raises BadInput or ExchangeUnavailable when it cannot be compared, with why.
    """
    _check_period(bot)
    span = _span(bot, start=start, end=end)
    series = _anchored(candles or candles_of(bot, until=span.end), anchor_at=span.anchor_at)
    end = min(span.end, series.last_closed_at) if series.last_closed_at else span.end
    settings = config.current()
    profile = profile_of(bot, settings=settings)
    terms = engine_runs.terms_of(bot, profile=profile, limits=effective(bot, profile=profile), settings=settings)
    withheld = withheld_by(bot.pk, judged=engine_runs.JUDGED)
    cash = engine_runs.allocation_of(bot) + _earned(bot, before=span.start)
    decisions = _decisions(bot) if bot.analyst_mode == AnalystMode.PROPOSE or bot.strategy == "ai" else None
    result = engine_runs.walk(terms, series, cash=cash, start=span.start, end=end, withheld=withheld, decisions=decisions)
    compared = compare(
        trips_of(_fills_of(result, series, lot_step=terms.grids[-1].rules.lot_step)),
        trips_of(_fills_by(bot, terms=terms, start=span.start, end=end)),
        evidence_of=Witness(terms, series),
        tolerance=_tolerance(terms, series.interval),
    )
    return Report(
        bot=bot,
        start=span.start,
        end=end,
        bars=len(result.equity),
        compared=compared,
        candles_hash=series.hash_at(len(series.closed_at(end))),
        notes=(*terms.notes, *_told(withheld, start=span.start, end=end)),
    )


def run(bot_pk: int, *, start: datetime | None = None, end: datetime | None = None, candles: Candles | None = None) -> ParityRun:
    """Compare and keep what came of it, also when it could not be compared. Raises BadInput for a bot that is not there."""
    bot, began = bot_of(bot_pk), time.monotonic()
    try:
        report = check(bot, start=start, end=end, candles=candles)
    except (DgbotError, ValueError, LookupError) as error:
        kept = _kept(bot, began=began, verdict=ParityVerdict.IMPOSSIBLE, reason=str(error))
    else:
        verdict = ParityVerdict.EQUAL if report.is_equal else ParityVerdict.DIFFERS
        kept = _kept(bot, began=began, verdict=verdict, report=report)
    surplus = ParityRun.objects.filter(bot=bot).order_by("-pk").values_list("pk", flat=True)[KEPT:]
    ParityRun.objects.filter(pk__in=list(surplus)).delete()
    return kept


def bots_to_compare() -> list[int]:
    """Bots of the nightly comparison: those that run, on markets whose candles are at hand."""
    modes = (Mode.SIMULATED.value, Mode.PAPER.value, Mode.LIVE.value)
    return list(Bot.objects.filter(is_running=True, mode__in=modes).order_by("pk").values_list("pk", flat=True))


def candles_of(bot: Bot, *, until: datetime) -> Candles:
    """Candles a bot's decisions were made on, as they are at hand. Raises BadInput with how to get them."""
    interval = Interval(bot.interval)
    if bot.mode == Mode.SIMULATED:
        return venue_for(bot.account).history.closed(bot.symbol, interval, until=until, anchor_at=None)
    try:
        return archive.candles_of(exchange=bot.account.exchange, symbol=bot.symbol, interval=interval)
    except BadInput as error:
        if bot.mode == Mode.REPLAY:
            raise BadInput(f"{error} The files of a replay may also be said with --candles.") from None
        raise


@dataclass(frozen=True)
class _Span:
    start: datetime
    end: datetime
    anchor_at: datetime


def _span(bot: Bot, *, start: datetime | None, end: datetime | None) -> _Span:
    """From the first slot on the present anchor at which nothing was held, to the last slot."""
    length = Interval(bot.interval).length
    newest = Decision.objects.filter(bot=bot, anchor_at__isnull=False).order_by("-pk").first()
    if newest is None or newest.anchor_at is None:
        raise BadInput(f"{bot.name} has decided nothing on candles yet; run it first.")
    other = Decision.objects.filter(bot=bot, anchor_at__isnull=False).exclude(anchor_at=newest.anchor_at).order_by("-pk").first()
    cycles = Cycle.objects.filter(bot=bot)
    since = cycles.filter(pk__gt=other.cycle_id) if other is not None else cycles
    if start is not None:
        since = since.filter(slot__gte=start + length)
    first, last = (
        since.order_by("slot").values_list("slot", flat=True).first(),
        cycles.order_by("-slot").values_list("slot", flat=True).first(),
    )
    if first is None or last is None:
        raise BadInput(f"No cycle of {bot.name} ran in that span.")
    first = _flat_from(bot, first, length=length)
    until = last if end is None else min(last, end)
    if first - length >= until:
        raise BadInput(f"{bot.name} held something all the time until {until:%Y-%m-%d %H:%M} UTC; a comparison begins with nothing.")
    return _Span(start=first - length, end=until, anchor_at=newest.anchor_at)


def _flat_from(bot: Bot, slot: datetime, *, length: timedelta) -> datetime:
    """The first slot from this one on at whose bar's open nothing was held."""
    while True:
        held = Position.objects.filter(bot=bot, opened_at__lt=slot - length).exclude(closed_at__lte=slot - length).order_by("-pk").first()
        if held is None:
            return slot
        if held.closed_at is None:
            raise BadInput(f"{bot.name} has held position {held.pk} since before that span; a comparison begins with nothing.")
        slot = Interval(bot.interval).open_of(held.closed_at) + 2 * length


def _check_period(bot: Bot) -> None:
    minutes = None if bot.schedule is None else slots.period_minutes(bot.schedule)
    own = Interval(bot.interval).length // timedelta(minutes=1)
    if bot.mode != Mode.SIMULATED and bot.tick_seconds is None and minutes is not None and minutes != own:
        raise BadInput(f"{bot.name} decides every {minutes} minutes on {bot.interval} candles; the engine decides at each close.")


def _anchored(candles: Candles, *, anchor_at: datetime) -> Candles:
    try:
        return candles.from_anchor(anchor_at)
    except ValueError as error:
        raise BadInput(f"{error}: the series was replaced since; download it from there on.") from None


def _earned(bot: Bot, *, before: datetime) -> Decimal:
    sums = Position.objects.filter(bot=bot, closed_at__lte=before).aggregate(earned=Sum(F("sold_total") - F("bought_total") - F("fees")))
    return sums["earned"] or Decimal(0)


def _decisions(bot: Bot) -> Decisions:
    """What an analyst that proposes answered, as the engine replays it."""
    rows = list(Decision.objects.filter(bot=bot, anchor_at__isnull=False).order_by("cycle__slot").select_related("cycle"))
    plans = [row.proposal.get("plan") or {} for row in rows]
    return Decisions(
        decided_at=np.array([to_nanoseconds(row.cycle.slot) for row in rows], dtype=np.int64),
        entry=np.array([YES if row.decision == DecisionKind.BUY else NO for row in rows], dtype=np.int8),
        exit=np.array([YES if row.decision == DecisionKind.SELL else NO for row in rows], dtype=np.int8),
        confidence=np.array([np.nan if row.confidence is None else float(row.confidence) for row in rows]),
        stop_distance=np.array([_distance(plan, "stop_distance") for plan in plans]),
        target_distance=np.array([_distance(plan, "target_distance") for plan in plans]),
    )


def _distance(plan: dict[str, Any], name: str) -> float:
    return np.nan if plan.get(name) is None else float(parse_decimal(plan[name], name=name))


def _tolerance(terms: Terms, interval: Interval) -> Tolerance:
    rules = terms.grids[-1].rules
    return Tolerance(money=MONEY.get(rules.quote, MONEY["USDT"]), lot_step=rules.lot_step, slippage=SLIPPAGE, bar=interval.length)


def _fills_of(result: Result, candles: Candles, *, lot_step: Decimal) -> list[Fill]:
    """What the engine did."""
    fills = result.fills
    return [
        Fill(
            opened_at=from_nanoseconds(int(candles.open_time[bar])),
            side="buy" if reason == ENTRY else "sell",
            reason=REASONS[reason],
            lots=int(lots),
            total=Decimal(repr(float(price))) * int(lots) * lot_step,
            fee=Decimal(repr(float(fee))),
        )
        for bar, reason, price, lots, fee in zip(fills.bar, fills.reason, fills.price, fills.lots, fills.fee, strict=True)
    ]


def _fills_by(bot: Bot, *, terms: Terms, start: datetime, end: datetime) -> list[Fill]:
    """What the bot did: all executions of an order are one fill, in the bar of the first."""
    rows = Trade.objects.filter(bot=bot, created_at__gte=start, created_at__lt=end, reverses=None).order_by("created_at", "pk")
    rules, interval = terms.grids[-1].rules, Interval(bot.interval)
    found = []
    for order, group in groupby(rows, key=lambda trade: trade.order_id or f"trade {trade.pk}"):
        trades = list(group)
        first = trades[0]
        found.append(
            Fill(
                opened_at=interval.open_of(first.created_at),
                side=first.side,
                reason=first.exit_reason or first.purpose,
                lots=int(sum(trade.amount for trade in trades) / rules.lot_step),
                total=sum((trade.total for trade in trades), Decimal(0)),
                fee=sum((_fee(trade, quote=rules.quote) for trade in trades), Decimal(0)),
                at=first.created_at,
                order=order if isinstance(order, int) else None,
                levels=len(trades),
            )
        )
    return found


def _fee(trade: Trade, *, quote: str) -> Decimal:
    """In quote currency."""
    return trade.fee if trade.fee_currency == quote else trade.fee * trade.price


def _told(withheld: dict[datetime, tuple[str, ...]], *, start: datetime, end: datetime) -> list[str]:
    gates = Counter(gate for slot, names in withheld.items() if start <= slot < end for gate in names)
    if not gates:
        return []
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in gates.most_common())
    return [f"What the engine cannot judge was told to it bar by bar: entries stopped by {counts}."]


def _kept(bot: Bot, *, began: float, verdict: ParityVerdict, reason: str = "", report: Report | None = None) -> ParityRun:
    compared = None if report is None else report.compared
    return ParityRun.objects.create(
        bot=bot,
        account_id=bot.account_id,
        user_id=bot.user_id,
        mode=bot.mode,
        verdict=verdict,
        reason=reason,
        start_at=None if report is None else report.start,
        end_at=None if report is None else report.end,
        bars=0 if report is None else report.bars,
        fills=0 if compared is None else len(compared.pairs),
        equal=0 if compared is None else compared.equal,
        kinds={} if compared is None else compared.kinds,
        differences=[] if compared is None else [one.as_row() for one in compared.differences],
        notes=[] if report is None else list(report.notes),
        candles_hash="" if report is None else report.candles_hash,
        duration_ms=int((time.monotonic() - began) * 1000),
    )
