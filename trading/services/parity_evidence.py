"""What is stored about the moment of a trade, or of one that was not made: order, cycle, decision, settings.

Asked only where bot and engine differ, so a year without a difference costs no statement here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from backtests.candles.series import Candles
from dgbot.accounts.models import AuditEntry
from dgbot.core.clock import from_nanoseconds, to_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.money import parse_decimal, plain
from dgbot.core.types import Mode
from risk.models import RiskProfile
from trading.domain.lifecycle import Status
from trading.domain.parity import Evidence, Fill, Pair
from trading.domain.stages import DecisionKind, StageName
from trading.models import ConfigVersion, Cycle, CycleStatus, Decision, Order, StageResult
from trading.services import by_hand, kill_enforcement
from trading.services.engine_runs import Terms
from trading.services.stages.inputs import OF_BOT

HANDS = frozenset({by_hand.EXIT_REASON, kill_enforcement.EXIT_REASON})
SWITCHES = frozenset({"paused", "bot_status", "target_symbols", "kill_switch", "safe_mode"})  # a person's, or released by one
WITHOUT_DATA = frozenset({"unknown", "price_unknown", "candles_unknown", "feed_stale", "balance_unknown", "book_unknown", "book_unusable"})
LEFT_BY_EXCHANGE = frozenset({Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.ABSENT})
NOT_OF_TRADING = frozenset({"id", "name", "user_id", "updated_at"})
OF_ACCOUNTING = ("analyst", "filter_mode", "mode", "name", "symbol")  # of a bot's recorded columns, those that move no trade of the engine


@dataclass
class Witness:
    """Tells the evidence of a pair of one bot's history. candles: those the engine ran on."""

    terms: Terms
    candles: Candles

    def __call__(self, pair: Pair) -> Evidence:
        """Everything known about the moment; see `Evidence`."""
        slot = self._slot(pair)
        cycle = self._cycle(slot)
        order = self._order(pair, cycle)
        decision = None if cycle is None else Decision.objects.filter(cycle=cycle).first()
        low, high = self._span(pair.fill.opened_at)
        return Evidence(
            by_hand=self._by_hand(pair, order, cycle, slot=slot),
            data=self._data(pair, decision, cycle, knows_bar=low is not None),
            settings=self._settings(pair, decision, order),
            late=_late(order, cycle, slot=slot) if pair.actual is None else "",
            unfilled=_unfilled(order, is_done=pair.actual is not None),
            failed=_failed(cycle),
            reference=self._reference(pair, decision),
            low=low,
            high=high,
            fee_rate=self.terms.fee_rate,
        )

    def _slot(self, pair: Pair) -> datetime:
        """The close at which the fill was decided, or the last one before it."""
        place = self._place(pair.fill.opened_at)
        if place == 0:
            return pair.fill.opened_at
        return from_nanoseconds(int(self.candles.open_time[place - 1]) + self.candles.interval.nanoseconds)

    def _place(self, opened_at: datetime) -> int:
        return int(np.searchsorted(self.candles.open_time, to_nanoseconds(opened_at)))

    def _span(self, opened_at: datetime) -> tuple[Decimal | None, Decimal | None]:
        place = self._place(opened_at)
        if place == len(self.candles) or self.candles.open_time[place] != to_nanoseconds(opened_at):
            return None, None
        candle = self.candles.candle(place)
        return candle.low, candle.high

    def _cycle(self, slot: datetime) -> Cycle | None:
        return Cycle.objects.filter(bot=self.terms.bot, slot=slot).first()

    def _order(self, pair: Pair, cycle: Cycle | None) -> Order | None:
        """The bot's order of this fill; of a fill that is missing, the one its cycle planned."""
        if pair.actual is not None:
            return Order.objects.select_related("cycle").filter(pk=pair.actual.order).first()
        if cycle is None or pair.expected is None:
            return None
        return Order.objects.select_related("cycle").filter(cycle=cycle, side=pair.expected.side).order_by("-pk").first()

    def _by_hand(self, pair: Pair, order: Order | None, cycle: Cycle | None, *, slot: datetime) -> str:
        if pair.actual is not None:
            return _hand_of(pair.actual, order)
        if cycle is None:
            return f"No cycle ran at {slot:%Y-%m-%d %H:%M} UTC: the bot was not running, or not let to."
        closed = _closed_by_hand(self.terms.bot.pk, pair)
        return closed or next((message for code, message in _said(cycle, StageName.RISK_CHECK) if code in SWITCHES), "")

    def _data(self, pair: Pair, decision: Decision | None, cycle: Cycle | None, *, knows_bar: bool) -> str:
        if not knows_bar:
            return f"There is no candle of {pair.fill.opened_at:%Y-%m-%d %H:%M} UTC at hand now; download the series again."
        if cycle is not None and pair.actual is None:
            unknown = [message for stage in (StageName.RISK_CHECK, StageName.DATA_COLLECTION) for code, message in _said(cycle, stage)
                       if code in WITHOUT_DATA]  # fmt: skip
            if unknown:
                return unknown[0]
            if decision is not None and decision.decision == DecisionKind.ABSTAIN:
                return decision.reason
        if decision is None or decision.anchor_at is None:
            return ""
        return self._other_candles(decision)

    def _other_candles(self, decision: Decision) -> str:
        used = f"Decision {decision.pk} used {decision.candle_count:,} candles, hash {decision.candles_hash[:12]}…"
        if decision.anchor_at != self.candles.first_opened_at:
            return f"{used}, from {decision.anchor_at:%Y-%m-%d %H:%M} UTC on; the engine's begin at another one."
        known = self.candles.closed_at(decision.cycle.slot)
        if len(known) == decision.candle_count and known.hash_at(len(known)) == decision.candles_hash:
            return ""
        return (
            f"{used}; at hand now are {len(known):,} up to then, hash {known.hash_at(len(known))[:12]}…: they came late or were corrected."
        )

    def _settings(self, pair: Pair, decision: Decision | None, order: Order | None) -> str:
        """What was in force then and is not now."""
        entry = None if order is None or order.position is None else order.position
        changed = [
            *_changed(_bot_then(decision), _bot_now(self.terms)),
            *_changed(_profile_then(decision), _columns(self.terms.profile)),
            *_changed(_limits_then(order, entry), self.terms.limits.as_row()),
            *_changed_since(decision, order, terms=self.terms),
        ]
        return "" if not changed else f"It was decided under other settings: {'; '.join(dict.fromkeys(changed))}."

    def _reference(self, pair: Pair, decision: Decision | None) -> Decimal | None:
        """Best price when it was decided; a recorded market has none between a close and the next open."""
        if decision is None or Mode(self.terms.bot.mode).is_recorded:
            return None
        told = decision.market_data.get("best_ask" if pair.fill.side == "buy" else "best_bid")
        return None if told is None else parse_decimal(told, name="best price")


def _hand_of(fill: Fill, order: Order | None) -> str:
    if fill.reason in HANDS:
        return f"Order {fill.order} was given by hand or by the kill switch: {fill.reason}."
    if order is None:
        return "" if fill.order is not None else "It was taken over by hand: no order of the platform made it."
    return ""


def _closed_by_hand(bot_pk: int, pair: Pair) -> str:
    """A sale the engine makes and the bot had no more to sell."""
    assert pair.expected is not None
    if pair.expected.side == "buy":
        return ""
    sold = Order.objects.filter(bot_id=bot_pk, exit_reason__in=HANDS, created_at__lte=pair.expected.opened_at).order_by("-pk").first()
    held_since = Order.objects.filter(bot_id=bot_pk, purpose="entry", created_at__lte=pair.expected.opened_at).order_by("-pk").first()
    if sold is None or (held_since is not None and held_since.created_at > sold.created_at):
        return ""
    return f"It had been sold before by hand or by the kill switch, with order {sold.pk}."


def _late(order: Order | None, cycle: Cycle | None, *, slot: datetime) -> str:
    if cycle is not None and cycle.status == CycleStatus.MISSED:
        return f"The cycle of {slot:%Y-%m-%d %H:%M} UTC was missed: {cycle.outcome}"
    if order is not None and order.status == Status.LAPSED:
        return f"Order {order.pk} lapsed before it could be sent: {order.error_message or 'its time was over'}."
    return ""


def _unfilled(order: Order | None, *, is_done: bool) -> str:
    if order is None:
        return ""
    wanted = order.amount if order.quote_amount is None else None
    short = wanted is not None and order.filled_amount < wanted
    if order.status in LEFT_BY_EXCHANGE and (not is_done or short or order.quote_amount is not None):
        told = f": {order.error_message}" if order.error_message else ""
        return f"Order {order.pk} ended {order.status} with {plain(order.filled_amount)} filled{told}."
    if order.status == Status.DENIED and not is_done:
        return f"Order {order.pk} was not let out: {order.error_message}."
    return ""


def _failed(cycle: Cycle | None) -> str:
    if cycle is None or cycle.status != CycleStatus.FAILED:
        return ""
    return f"The cycle of {cycle.slot:%Y-%m-%d %H:%M} UTC failed: {cycle.outcome}"


def _said(cycle: Cycle, stage: StageName) -> list[tuple[str, str]]:
    """(code, message) of every reason a stage gave."""
    rows = StageResult.objects.filter(cycle=cycle, stage=stage.value).values_list("reasons", flat=True)
    return [(reason["code"], reason["message"]) for reasons in rows for reason in reasons if isinstance(reason, dict)]


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"{name} {then[name]}, now {now[name]}" for name in then if name in now and then[name] != now[name]]


def _bot_then(decision: Decision | None) -> Mapping[str, Any]:
    told = {} if decision is None else decision.inputs.get("bot", {})
    return {name: value for name, value in told.items() if name not in OF_ACCOUNTING}


def _bot_now(terms: Terms) -> Mapping[str, Any]:
    return {name: getattr(terms.bot, name) for name in OF_BOT}


def _profile_then(decision: Decision | None) -> Mapping[str, Any]:
    told = {} if decision is None else decision.inputs.get("profile", {})
    return {name: value for name, value in told.items() if name not in NOT_OF_TRADING and not name.startswith("filter_")}


def _columns(profile: RiskProfile) -> Mapping[str, Any]:
    return {field.attname: field.value_to_string(profile) for field in profile._meta.concrete_fields}


def _limits_then(order: Order | None, entry: Any) -> Mapping[str, Any]:
    plan = {} if order is None else order.plan or {}
    if entry is not None and not plan.get("limits"):
        plan = entry.plan or {}
    return plan.get("limits") or {}


def _changed_since(decision: Decision | None, order: Order | None, *, terms: Terms) -> list[str]:
    """Settings and columns that no row pins: what was changed after this moment, from the versions and the audit log."""
    cycle = decision.cycle if decision is not None else None if order is None else order.cycle
    if cycle is None:
        return []
    keys = ["max_trade_amount_krw"] + ([] if terms.bot.risk_profile_id else ["risk_level"])
    later = ConfigVersion.objects.filter(key__in=keys, before__isnull=False, pk__gt=cycle.config_version_id or 0).order_by("pk")
    told = [f"{version.key} {version.before}, now {version.after}" for version in later]
    edits = AuditEntry.objects.filter(target=f"bot:{terms.bot.pk}", at__gt=cycle.recorded_at).order_by("pk")
    for edit in edits:
        told += [f"{name} {edit.diff[name][0]}, now {edit.diff[name][1]}" for name in ("trade_amount", "allocation") if name in edit.diff]
    return told


def withheld_by(bot_pk: int, *, judged: frozenset[str]) -> dict[datetime, tuple[str, ...]]:
    """Slots at which an entry was stopped by something the engine does not judge: the analyst, the quick filter, BTC. Raises BadInput."""
    rows = Decision.objects.filter(bot=bot_pk, verdict__is_valid=False).values_list("cycle__slot", "verdict__stopped_by")
    found = {}
    for slot, gates in rows:
        if not isinstance(gates, list):
            raise BadInput(f"The decision of {slot.isoformat()} does not say what stopped it; it was made by an earlier version.")
        others = tuple(gate for gate in gates if gate not in judged)
        if others:
            found[slot] = others
    return found
