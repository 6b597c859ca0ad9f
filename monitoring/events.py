"""What a dashboard is told: typed payloads, built here and nowhere else.

Codes travel, words do not: each page translates them. Decimals are text, times ISO 8601 in UTC, unknown is null with a cause.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

from dgbot.base.display import mode_label
from dgbot.core.interval import Interval
from dgbot.core.money import EXACT, plain
from risk.domain.usage import Usage
from trading.domain.lifecycle import CLOSED as SETTLED
from trading.services import slots


class Reason(TypedDict):
    """Why a stage answered as it did."""

    code: str
    message: str
    value: str
    limit: str
    remedy: str


class StageCard(TypedDict):
    """One stage of a cycle."""

    stage: str
    action: str
    reasons: list[Reason]
    duration_ms: int


class CycleCard(TypedDict):
    """One cycle with the stages it has come to."""

    id: int
    bot_id: int
    slot: str
    status: str
    trigger: str
    outcome: str
    recorded_at: str
    finished_at: str | None
    stages: list[StageCard]


class LimitCard(TypedDict):
    """One limit of a bot and how much of it is used; unknown is null. fraction: share used, 1 blocks entries."""

    code: str
    value: str | None
    limit: str | None
    unit: str
    fraction: str | None
    origin: str


class BotCard(TypedDict):
    """One bot: what is wanted, what is, and its last cycle."""

    id: int
    name: str
    badge: str
    account_id: int
    account: str
    currency: str
    symbol: str
    strategy: str
    interval: str
    owner: str
    is_wanted: bool
    status: str
    status_reason: str
    safe_mode: str
    is_paused: bool
    next_at: str | None
    data_at: str | None
    limit: LimitCard | None
    cycle: CycleCard | None


class GuardCard(TypedDict):
    """One stop that holds for a position now: who keeps it, where it fires, until when it was seen. trigger: quote currency."""

    kept_by: str
    state: str
    trigger: str
    seen_at: str | None


class PositionCard(TypedDict):
    """One position; `unrealised` is null with a cause when it cannot be told. `market_at` is the market's now, null: the machine's."""

    id: int
    bot_id: int
    bot: str
    badge: str
    symbol: str
    currency: str
    amount: str
    entry: str | None
    stop: str | None
    target: str | None
    opened_at: str
    market_at: str | None
    is_open: bool
    price: str | None
    unrealised: str | None
    unrealised_rate: str | None
    cause: str
    guards: list[GuardCard]


class DecisionCard(TypedDict):
    """One decision."""

    id: int
    bot_id: int
    bot: str
    badge: str
    symbol: str
    decision: str
    confidence: str | None
    reason: str
    analyst: str
    created_at: str


class TradeCard(TypedDict):
    """One fill."""

    id: int
    bot_id: int | None
    bot: str
    badge: str
    account_id: int
    symbol: str
    currency: str
    side: str
    purpose: str
    exit_reason: str
    price: str
    amount: str
    total: str
    fee: str
    fee_currency: str
    created_at: str


class EquityPoint(TypedDict):
    """What an account was worth; null with a cause when unknown."""

    at: str
    value: str | None
    cause: str


class Money(TypedDict):
    """What an account has made, quote currency of the account, by its newest risk state; null while unknown."""

    currency: str
    daily_pnl: str | None
    weekly_pnl: str | None


class AccountCard(TypedDict):
    """One account and its equity curve, oldest point first."""

    id: int
    name: str
    badge: str
    money: Money
    points: list[EquityPoint]


class Attention(TypedDict):
    """What an operator should look at: orders of unknown fate, kill switches that hold, positions that nothing protects."""

    unknown_orders: int
    kill_switches: list[str]
    unprotected: list[str]


class AlarmCard(TypedDict):
    """A limit that acted, or a difference to the exchange. kind: risk or books."""

    id: int
    kind: str
    who: str
    message: str
    at: str


class BudgetCard(TypedDict):
    """What an analyst may spend and has spent, USD."""

    id: int
    name: str
    day: str
    day_budget: str
    month: str
    month_budget: str


class BeatCard(TypedDict):
    """The last sign of life of one process."""

    name: str
    process: str
    beat_at: str
    late_after_s: int


class Snapshot(TypedDict):
    """Everything a new page needs. Later events change parts of it."""

    type: Literal["snapshot"]
    as_of: str
    bots: list[BotCard]
    positions: list[PositionCard]
    decisions: list[DecisionCard]
    trades: list[TradeCard]
    accounts: list[AccountCard]
    attention: Attention
    alarms: list[AlarmCard]
    budgets: list[BudgetCard]
    beats: list[BeatCard]


class OrderCard(TypedDict):
    """One order."""

    id: int
    side: str
    purpose: str
    status: str
    is_settled: bool
    order_type: str
    amount: str | None
    quote_amount: str | None
    filled_amount: str
    price: str | None
    error: str
    created_at: str


class Figures(TypedDict):
    """A bot's money by its newest risk state, quote currency; null while unknown."""

    day: str | None
    equity: str | None
    daily_pnl: str | None
    weekly_pnl: str | None
    entries_today: int


class BotPageSnapshot(TypedDict):
    """Everything the page of one bot shows."""

    type: Literal["snapshot"]
    as_of: str
    bot: BotCard
    figures: Figures
    limits: list[LimitCard]
    limits_cause: str
    positions: list[PositionCard]
    cycles: list[CycleCard]
    decisions: list[DecisionCard]
    trades: list[TradeCard]
    orders: list[OrderCard]
    kill_switches: list[str]


class BotEvent(TypedDict):
    """A bot changed."""

    type: Literal["bot"]
    as_of: str
    bot: BotCard


class CycleEvent(TypedDict):
    """A cycle finished."""

    type: Literal["cycle"]
    as_of: str
    cycle: CycleCard


class DecisionEvent(TypedDict):
    """A decision was made."""

    type: Literal["decision"]
    as_of: str
    decision: DecisionCard


class TradeEvent(TypedDict):
    """A fill was recorded."""

    type: Literal["trade"]
    as_of: str
    trade: TradeCard


class PositionsEvent(TypedDict):
    """Positions changed or were valued anew."""

    type: Literal["positions"]
    as_of: str
    positions: list[PositionCard]


class EquityEvent(TypedDict):
    """An account was valued."""

    type: Literal["equity"]
    as_of: str
    account_id: int
    point: EquityPoint
    money: Money


class OrdersEvent(TypedDict):
    """An order moved; asks the page for nothing but says what became of it."""

    type: Literal["order"]
    as_of: str
    id: int
    bot_id: int
    status: str


class KillSwitchEvent(TypedDict):
    """A kill switch changed. Which ones a page may show differs by its viewer: it asks for a new snapshot."""

    type: Literal["kill_switches"]
    as_of: str


class LiveEvent(TypedDict):
    """Whether pushes arrive; without them the page is refreshed by snapshots."""

    type: Literal["live"]
    as_of: str
    is_live: bool
    cause: str


class ErrorEvent(TypedDict):
    """A frame of the page's could not be used."""

    type: Literal["error"]
    as_of: str
    message: str


Event = BotEvent | CycleEvent | DecisionEvent | TradeEvent | PositionsEvent | EquityEvent | OrdersEvent | KillSwitchEvent
Frame = Event | Snapshot | LiveEvent | ErrorEvent


def now_text() -> str:
    """The machine's time, for `as_of`. Taken before rows are read, so that it never promises too much."""
    return iso(datetime.now(tz=UTC))


def iso(instant: datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def live(*, is_live: bool, cause: str = "") -> LiveEvent:
    """Tell a page whether pushes arrive."""
    return {"type": "live", "as_of": now_text(), "is_live": is_live, "cause": cause}


def error(message: str) -> ErrorEvent:
    """Tell a page what was wrong with its frame."""
    return {"type": "error", "as_of": now_text(), "message": message}


def bot_card(bot: Any, cycle: CycleCard | None, limit: Usage | None) -> BotCard:
    """`bot` with account, user and the annotations of `selectors.bots_shown`. limit: the one it has used most of."""
    return {
        "id": bot.pk,
        "name": bot.name,
        "badge": badge(bot.mode, bot.account),
        "account_id": bot.account_id,
        "account": bot.account.name,
        "currency": bot.account.quote_currency,
        "symbol": bot.symbol,
        "strategy": bot.strategy,
        "interval": bot.interval,
        "owner": bot.user.get_username(),
        "is_wanted": bot.is_running,
        "status": bot.status,
        "status_reason": bot.status_reason,
        "safe_mode": _safe_mode(bot.bot_risk) or _safe_mode(bot.account_risk),
        "is_paused": bot.is_paused,
        "next_at": _next_at(bot),
        "data_at": iso(bot.data_at + Interval(bot.interval).length) if bot.data_at and bot.mode in ("paper", "live") else None,
        "limit": None if limit is None else limit_card(limit),
        "cycle": cycle,
    }


def cycle_card(cycle: Any) -> CycleCard:
    """`cycle` with its stages."""
    return {
        "id": cycle.pk,
        "bot_id": cycle.bot_id,
        "slot": iso(cycle.slot),
        "status": cycle.status,
        "trigger": cycle.trigger,
        "outcome": cycle.outcome,
        "recorded_at": iso(cycle.recorded_at),
        "finished_at": iso(cycle.finished_at) if cycle.finished_at else None,
        "stages": [
            {"stage": stage.stage, "action": stage.action, "reasons": list(map(reason, stage.reasons)), "duration_ms": stage.duration_ms}
            for stage in cycle.stages.all()
        ],
    }


def reason(item: Any) -> Reason:
    """One reason as stored; older or foreign forms become a plain message."""
    fields = item if isinstance(item, dict) else {"message": item}
    code, message, value, limit, remedy = (str(fields.get(name) or "") for name in ("code", "message", "value", "limit", "remedy"))
    return {"code": code, "message": message, "value": value, "limit": limit, "remedy": remedy}


def position_card(position: Any) -> PositionCard:
    """`position` with bot and account, and the annotations of `selectors.positions_valued`."""
    price, cause = mark_price(position)
    entry = position.entry_price
    known = price is not None and entry
    return {
        "id": position.pk,
        "bot_id": position.bot_id,
        "bot": position.bot.name,
        "badge": badge(position.mode, position.account),
        "symbol": position.symbol,
        "currency": position.account.quote_currency,
        "amount": plain(position.amount),
        "entry": _text(entry),
        "stop": _text(position.current_stop),
        "target": _text(position.target_price),
        "opened_at": iso(position.opened_at),
        "market_at": iso(position.market_at) if position.mode in ("simulated", "replay") and position.market_at else None,
        "is_open": position.is_open,
        "price": _text(price),
        "unrealised": _text((price - entry) * position.amount) if known else None,
        "unrealised_rate": _text(price / entry - 1) if known else None,
        "cause": cause,
        "guards": [
            {"kept_by": guard["kept_by"], "state": guard["state"], "trigger": plain(Decimal(guard["trigger"])), "seen_at": guard["seen"]}
            for guard in position.guards
        ],
    }


def order_card(order: Any) -> OrderCard:
    """`order`."""
    return {
        "id": order.pk,
        "side": order.side,
        "purpose": order.purpose,
        "status": order.status,
        "is_settled": order.status in SETTLED,
        "order_type": order.order_type,
        "amount": _text(order.amount),
        "quote_amount": _text(order.quote_amount),
        "filled_amount": plain(order.filled_amount),
        "price": _text(order.price),
        "error": order.error_message,
        "created_at": iso(order.created_at),
    }


def limit_card(usage: Usage) -> LimitCard:
    """One limit and how much of it is used."""
    return {
        "code": usage.code,
        "value": _text(usage.value),
        "limit": _text(usage.limit),
        "unit": usage.unit.value,
        "fraction": None if usage.fraction is None else f"{usage.fraction:.4f}",
        "origin": usage.origin,
    }


def figures(state: Any) -> Figures:
    """`state`: the newest risk state, None before the first cycle."""
    if state is None:
        return {"day": None, "equity": None, "daily_pnl": None, "weekly_pnl": None, "entries_today": 0}
    return {
        "day": state.trading_day.isoformat(),
        "equity": _text(state.equity),
        "daily_pnl": _text(state.daily_pnl),
        "weekly_pnl": _text(state.weekly_pnl),
        "entries_today": state.daily_trade_count,
    }


def money(account: Any, state: Any) -> Money:
    """What `account` has made; state: its newest risk state, None before its first cycle."""
    return {
        "currency": account.quote_currency,
        "daily_pnl": None if state is None else _text(state.daily_pnl),
        "weekly_pnl": None if state is None else _text(state.weekly_pnl),
    }


def alarm_card(event: Any) -> AlarmCard:
    """A limit that acted: `event` with bot and account."""
    return {"id": event.pk, "kind": "risk", "who": str(event.bot or event.account), "message": event.message, "at": iso(event.created_at)}


def break_card(row: Any) -> AlarmCard:
    """A difference to the exchange that is not over: `row` with account."""
    message = f"{row.get_kind_display()}: {row.subject} {row.detail}".strip()
    return {"id": row.pk, "kind": "books", "who": str(row.account), "message": message, "at": iso(row.first_seen_at)}


def budget_card(analyst: Any, spent: Mapping[str, Decimal]) -> BudgetCard:
    """What `analyst` has spent by day and month."""
    return {
        "id": analyst.pk,
        "name": analyst.name,
        "day": plain(spent["day"]),
        "day_budget": plain(analyst.day_budget),
        "month": plain(spent["month"]),
        "month_budget": plain(analyst.month_budget),
    }


def beat_card(heartbeat: Any) -> BeatCard:
    """The last sign of life of one process or bot."""
    return {
        "name": heartbeat.name,
        "process": heartbeat.process,
        "beat_at": iso(heartbeat.beat_at),
        "late_after_s": heartbeat.late_after_s,
    }


def mark_price(position: Any) -> tuple[Decimal | None, str]:
    """What one unit was worth in the account's latest snapshot, quote currency; otherwise a code that says why it is unknown."""
    snapshot = position.last_snapshot
    if snapshot is None:
        return None, "not_valued"
    if datetime.fromisoformat(snapshot["at"]) < position.opened_at:
        return None, "valued_before_opening"
    row = (snapshot["positions"] or {}).get(position.symbol) or {}
    try:
        rate, held, value = (None if row.get(name) is None else Decimal(row[name]) for name in ("profit_rate", "amount", "value_krw"))
    except ArithmeticError:
        return None, "not_readable"
    if position.account.quote_currency == "KRW" and value is not None and held:
        return EXACT.divide(value, held), ""
    if rate is not None and position.entry_price:
        return position.entry_price * (1 + rate), ""
    return None, snapshot["cause"] or "not_valued"


def decision_card(decision: Any) -> DecisionCard:
    """`decision` with bot and account."""
    return {
        "id": decision.pk,
        "bot_id": decision.bot_id,
        "bot": decision.bot.name,
        "badge": badge(decision.mode, decision.account),
        "symbol": decision.symbol,
        "decision": decision.decision,
        "confidence": _text(decision.confidence),
        "reason": decision.reason,
        "analyst": decision.analyst,
        "created_at": iso(decision.created_at),
    }


def trade_card(trade: Any) -> TradeCard:
    """`trade` with bot and account."""
    return {
        "id": trade.pk,
        "bot_id": trade.bot_id,
        "bot": trade.bot.name if trade.bot else "",
        "badge": badge(trade.mode, trade.account),
        "account_id": trade.account_id,
        "symbol": trade.symbol,
        "currency": trade.account.quote_currency,
        "side": trade.side,
        "purpose": trade.purpose,
        "exit_reason": trade.exit_reason,
        "price": plain(trade.price),
        "amount": plain(trade.amount),
        "total": plain(trade.total),
        "fee": plain(trade.fee),
        "fee_currency": trade.fee_currency,
        "created_at": iso(trade.created_at),
    }


def equity_point(*, at: datetime, value: Decimal | None, cause: str) -> EquityPoint:
    """One point of an equity curve."""
    return {"at": iso(at), "value": _text(value), "cause": cause}


def badge(mode: str, account: Any) -> str:
    """LIVE, DEMO, PAPER, SIMULATED or REPLAY."""
    return mode_label(mode, is_demo=account.is_demo)


def _safe_mode(risk: dict[str, Any] | None) -> str:
    return (risk["reason"] or "safe mode") if risk and risk["safe_mode"] else ""


def _next_at(bot: Any) -> str | None:
    """When its schedule names the next slot, machine time; None while nothing will start by itself."""
    if not bot.is_running or bot.schedule is None or not bot.schedule.enabled:
        return None
    upcoming = slots.upcoming(bot.schedule, now=datetime.now(tz=UTC))
    return None if upcoming is None else iso(upcoming)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
