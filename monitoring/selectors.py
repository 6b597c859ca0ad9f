"""What the dashboard reads, each in a fixed number of queries. Hidden bots and accounts, as replays are, are left out."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, OuterRef, Prefetch, QuerySet, Subquery, TextField, When
from django.db.models.functions import Cast, JSONObject

from backtests.models import CandleSeries
from dgbot.accounts.models import Heartbeat
from dgbot.core.errors import BadInput
from monitoring import events
from risk.domain.usage import Usage
from risk.models import KillSwitch, RiskEvent, RiskState
from risk.selectors import recent_states
from trading.domain.stages import STAGES
from trading.models import (
    Bot,
    Cycle,
    Decision,
    ExchangeAccount,
    Order,
    PortfolioSnapshot,
    Position,
    ProtectiveStop,
    ReconcileBreak,
    StageResult,
    StopState,
    Trade,
)
from trading.selectors import limits
from trading.services import analysts, config, protection

ALARMS_SHOWN = 8
NEWEST_SHOWN = 30  # decisions and trades on the page
POINTS_SHOWN = 500  # of each equity curve
STAGE_ORDER = Case(*(When(stage=stage, then=number) for number, stage in enumerate(STAGES)))
DOUBTFUL = ("unknown", "disputed")


def snapshot(user: Any) -> events.Snapshot:
    """Everything `user` may see on the dashboard."""
    as_of = events.now_text()
    return {
        "type": "snapshot",
        "as_of": as_of,
        "bots": bot_cards(list(bots_shown(Bot.objects.for_user(user)))),
        "positions": [events.position_card(row) for row in positions_valued(shown(Position.objects.for_user(user).open()))],
        "decisions": [events.decision_card(row) for row in _newest(Decision.objects.for_user(user))],
        "trades": [events.trade_card(row) for row in _newest(Trade.objects.for_user(user))],
        "accounts": [account_card(row) for row in accounts_with_points(user)],
        "attention": attention(user),
        "alarms": alarms(user),
        "budgets": budgets(user),
        "beats": [events.beat_card(row) for row in Heartbeat.objects.for_user(user).order_by("process", "name")],
    }


def bots_shown(bots: QuerySet[Bot], *, hidden: bool = False) -> QuerySet[Bot]:
    """`bots` with what a card needs: account, owner, schedule, newest cycle and candle, risk states. hidden: those, too."""
    risk = JSONObject(safe_mode="safe_mode", reason="safe_mode_reason")
    states = RiskState.objects.filter(account=OuterRef("account")).order_by("-trading_day").values(json=risk)
    series = CandleSeries.objects.filter(exchange=OuterRef("account__exchange"), symbol=OuterRef("symbol"), interval=OuterRef("interval"))
    return (
        (bots if hidden else bots.filter(is_hidden=False, account__is_hidden=False))
        .select_related("user", "schedule__crontab", "schedule__interval", *limits.OWNERS_OF_LIMITS)
        .annotate(
            data_at=Subquery(series.values("last_opened_at")[:1]),
            last_cycle=Subquery(Cycle.objects.filter(bot=OuterRef("pk")).order_by("-slot").values("pk")[:1]),
            bot_risk=Subquery(states.filter(bot=OuterRef("pk"))[:1]),
            account_risk=Subquery(states.filter(bot=None)[:1]),
        )
        .order_by("name", "pk")
    )


def bot_cards(rows: list[Any]) -> list[events.BotCard]:
    """Cards of the rows of `bots_shown`, with each bot's newest cycle."""
    newest = Cycle.objects.filter(pk__in=[row.last_cycle for row in rows if row.last_cycle])
    cycles = {row.pk: events.cycle_card(row) for row in with_stages(newest)}
    used = _nearest_limits(rows)
    return [events.bot_card(row, cycles.get(row.last_cycle), used.get(row.pk)) for row in rows]


def _nearest_limits(rows: list[Any]) -> dict[int, Usage]:
    try:
        return limits.nearest(rows, settings=config.current()) if rows else {}
    except (BadInput, LookupError):
        return {}  # settings or profiles are missing: the page of each bot says so


def with_last_cycle(bots: QuerySet[Bot]) -> list[tuple[Any, Cycle | None]]:
    """The rows of `bots_shown`, each beside its newest cycle."""
    rows: list[Any] = list(bots)
    cycles = Cycle.objects.in_bulk([row.last_cycle for row in rows if row.last_cycle])
    return [(row, cycles.get(row.last_cycle)) for row in rows]


def heartbeats(user: Any, now: datetime) -> list[dict[str, Any]]:
    """Each process, and each bot `user` may see, with the age of its last sign of life, and whether that is late."""
    rows = Heartbeat.objects.for_user(user).order_by("process", "name")
    return [{"row": row, "age": now - row.beat_at, "is_late": (now - row.beat_at).total_seconds() > row.late_after_s} for row in rows]


def running_bots(user: Any) -> list[str]:
    """Names of the wanted bots `user` may see, for the head of every page. One query."""
    running = Bot.objects.for_user(user).filter(is_running=True, is_hidden=False, account__is_hidden=False)
    return list(running.order_by("name").values_list("name", flat=True))


def with_stages(cycles: QuerySet[Cycle]) -> QuerySet[Cycle]:
    """`cycles` with their stages in the pipeline's order."""
    return cycles.prefetch_related(Prefetch("stages", StageResult.objects.order_by(STAGE_ORDER)))


def positions_valued(positions: QuerySet[Position]) -> QuerySet[Position]:
    """`positions` with what their value is told from: the account's newest snapshot, and the market's now."""
    newest = PortfolioSnapshot.objects.filter(account=OuterRef("account")).order_by("-created_at")
    stops = ProtectiveStop.objects.filter(position=OuterRef("pk"), state__in=(StopState.LIVE, StopState.WANTED)).order_by("-version")
    guard = JSONObject(kept_by="kept_by", state="state", trigger=Cast("trigger_price", TextField()), seen="covered_until")
    return (
        positions.select_related("bot", "account")
        .annotate(
            last_snapshot=Subquery(newest.values(json=JSONObject(at="created_at", positions="positions", cause="cause"))[:1]),
            guards=ArraySubquery(stops.values(json=guard)),
            market_at=Subquery(Cycle.objects.filter(bot=OuterRef("bot")).order_by("-slot").values("slot")[:1]),
        )
        .order_by("pk")
    )


def safe_modes(user: Any) -> list[RiskState]:
    """The newest risk states `user` may see that block entries."""
    newest = RiskState.objects.for_user(user).filter(account__is_hidden=False).order_by("account", "bot", "-trading_day")
    return [state for state in newest.distinct("account", "bot").select_related("bot", "account") if state.safe_mode]


def kill_switches(user: Any) -> list[str]:
    """Every raised switch that may stop something `user` sees, with its reason, highest first."""
    raised = KillSwitch.objects.for_user(user).filter(level__gt=0).order_by("-level", "scope", "scope_id")
    return [f"{row} – {row.reason}" for row in raised]


def attention(user: Any) -> events.Attention:
    """What `user` should look at."""
    return {
        "unknown_orders": shown(Order.objects.for_user(user)).filter(status__in=DOUBTFUL).count(),
        "kill_switches": kill_switches(user),
        "unprotected": unprotected(user),
    }


def alarms(user: Any) -> list[events.AlarmCard]:
    """What happened that a person should know: the newest limits that acted, and what differs from an exchange until it is over."""
    acted = RiskEvent.objects.for_user(user).filter(account__is_hidden=False).select_related("bot", "account").order_by("-pk")
    differing = ReconcileBreak.objects.for_user(user).filter(account__is_hidden=False, over_at=None, confirmed_at__isnull=False)
    return [
        *(events.break_card(row) for row in differing.select_related("account").order_by("-pk")[:ALARMS_SHOWN]),
        *(events.alarm_card(row) for row in acted[:ALARMS_SHOWN]),
    ]


def budgets(user: Any) -> list[events.BudgetCard]:
    """What each analyst may still spend."""
    if not user.has_perm("trading.view_analyst"):
        return []
    return [events.budget_card(analyst, spent) for analyst, spent in analysts.spent_by_each()]


def unprotected(user: Any) -> list[str]:
    """Open positions of bots `user` may see that nothing covers, each with its seconds."""
    naked = protection.unprotected()
    rows = shown(Position.objects.for_user(user).filter(pk__in=naked)).select_related("bot").order_by("pk") if naked else []
    return [f"{row.symbol} · {row.bot} · {naked[row.pk]:.0f} s" for row in rows]


def account_card(account: Any) -> events.AccountCard:
    """`account` with the annotation `points`, newest first."""
    return {
        "id": account.pk,
        "name": account.name,
        "badge": events.badge(account.mode, account),
        "money": events.money(account, account.newest_state),
        "points": [
            events.equity_point(at=datetime.fromisoformat(point["at"]), value=_decimal(point["value"]), cause=point["cause"])
            for point in reversed(account.points)
        ],
    }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def accounts_with_points(user: Any) -> list[Any]:
    """Accounts `user` may see, with `points` of their equity curve, newest first, and `newest_state` of their risk, None before any."""
    points = PortfolioSnapshot.objects.filter(account=OuterRef("pk")).order_by("-created_at")
    shape = JSONObject(at="created_at", value=Cast("total_value_krw", TextField()), cause="cause")
    found = ExchangeAccount.objects.for_user(user).filter(is_hidden=False).order_by("name", "pk")
    rows: list[Any] = list(found.annotate(points=ArraySubquery(points.values(json=shape)[:POINTS_SHOWN])))
    states = recent_states([(row.pk, None) for row in rows])
    for row in rows:
        row.newest_state = next(iter(states[row.pk, None]), None)
    return rows


def _newest(rows: QuerySet[Any]) -> QuerySet[Any]:
    return shown(rows).select_related("bot", "account").order_by("-created_at", "-pk")[:NEWEST_SHOWN]


def shown(rows: Any) -> Any:
    """Rows of visible bots and accounts. Replays are hidden by their account, so one join is enough for most of them."""
    return rows.filter(account__is_hidden=False).exclude(bot__is_hidden=True)


def changed_kill_switch(_pk: int) -> tuple[None, events.KillSwitchEvent]:
    """Everybody's: which switches a page may show differs by its viewer, so each page takes a new snapshot."""
    return None, {"type": "kill_switches", "as_of": events.now_text()}


def changed_bot(pk: int) -> tuple[int, events.BotEvent] | None:
    """Owner and event of a bot that changed; None when it is hidden or gone."""
    as_of = events.now_text()
    rows = list(bots_shown(Bot.objects.filter(pk=pk)))
    return (rows[0].user_id, {"type": "bot", "as_of": as_of, "bot": bot_cards(rows)[0]}) if rows else None


def finished_cycle(pk: int) -> tuple[int, events.CycleEvent] | None:
    """Owner and event of a cycle."""
    as_of = events.now_text()
    row = with_stages(Cycle.objects.filter(pk=pk, **_VISIBLE)).first()
    return (row.user_id, {"type": "cycle", "as_of": as_of, "cycle": events.cycle_card(row)}) if row else None


def made_decision(pk: int) -> tuple[int, events.DecisionEvent] | None:
    """Owner and event of a decision."""
    as_of = events.now_text()
    row = Decision.objects.filter(pk=pk, **_VISIBLE).select_related("bot", "account").first()
    return (row.user_id, {"type": "decision", "as_of": as_of, "decision": events.decision_card(row)}) if row else None


def recorded_trade(pk: int) -> tuple[int, events.TradeEvent] | None:
    """Owner and event of a fill."""
    as_of = events.now_text()
    row = shown(Trade.objects.filter(pk=pk)).select_related("bot", "account").first()
    return (row.user_id, {"type": "trade", "as_of": as_of, "trade": events.trade_card(row)}) if row else None


def changed_position(pk: int) -> tuple[int, events.PositionsEvent] | None:
    """Owner and event of a position."""
    as_of = events.now_text()
    row = positions_valued(Position.objects.filter(pk=pk, **_VISIBLE)).first()
    return (row.user_id, {"type": "positions", "as_of": as_of, "positions": [events.position_card(row)]}) if row else None


def moved_order(pk: int) -> tuple[int, events.OrdersEvent] | None:
    """Owner and event of an order."""
    as_of = events.now_text()
    row = Order.objects.filter(pk=pk, **_VISIBLE).only("user_id", "bot_id", "status").first()
    return (row.user_id, {"type": "order", "as_of": as_of, "id": row.pk, "bot_id": row.bot_id, "status": row.status}) if row else None


def valued_account(pk: int) -> tuple[int, list[events.Event]] | None:
    """Owner and events of a portfolio snapshot: the new point, and its positions valued anew."""
    as_of = events.now_text()
    row = PortfolioSnapshot.objects.filter(pk=pk, account__is_hidden=False).select_related("account").first()
    if row is None:
        return None
    point = events.equity_point(at=row.created_at, value=row.total_value_krw, cause=row.cause)
    valued = [events.position_card(item) for item in positions_valued(Position.objects.filter(account=row.account_id, **_VISIBLE).open())]
    state = RiskState.objects.filter(account=row.account_id, bot=None).order_by("-trading_day").first()
    made = events.money(row.account, state)
    told: list[events.Event] = [{"type": "equity", "as_of": as_of, "account_id": row.account_id, "point": point, "money": made}]
    if valued:
        told.append({"type": "positions", "as_of": as_of, "positions": valued})
    return row.user_id, told


_VISIBLE: dict[str, Any] = {"account__is_hidden": False, "bot__is_hidden": False}
