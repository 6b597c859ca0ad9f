"""Everything that is stored about why something was traded, or why not: read in a fixed number of queries, whatever it is asked of.

decision ─→ its cycle, the orders it made, the position these built and every order of it
cycle ─→ likewise, with or without a decision
order, trade, position ─→ the position's orders, their cycles and decisions
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from dgbot.accounts.models import AuditEntry
from risk.models import RiskEvent
from trading.domain.stages import STAGES
from trading.models import (
    Bot,
    CancelCommand,
    Cycle,
    Decision,
    ExchangeAccount,
    Order,
    OrderEvent,
    OrderSend,
    Position,
    StageResult,
    Trade,
)

MOST_ORDERS = 60  # of one position; partial exits and exits that ended without selling make the most
MOST_EVENTS = 50  # of risk, while it was held


@dataclass(frozen=True)
class OrderStory:
    """An order and all that happened to it, each list in its order."""

    order: Order
    events: list[OrderEvent]
    sends: list[OrderSend]
    cancels: list[CancelCommand]
    trades: list[Trade]
    deeds: list[AuditEntry]  # what a person did to it, with the reason


@dataclass(frozen=True)
class CycleStory:
    """A cycle with its stages in the pipeline's order, and the decision it came to, if any."""

    cycle: Cycle
    stages: list[StageResult]
    decision: Decision | None


@dataclass(frozen=True)
class Story:
    """What is stored. anchor: the row that was asked about. bot: None for history that was imported without one."""

    anchor: Any
    bot: Bot | None
    account: ExchangeAccount
    position: Position | None
    cycles: list[CycleStory]
    orders: list[OrderStory]
    stray_trades: list[Trade]  # of the position, or the anchor, without an order
    risk_events: list[RiskEvent] = field(default_factory=list)
    deeds: list[AuditEntry] = field(default_factory=list)  # what a person did to the position

    @property
    def anchor_symbol(self) -> str:
        """The market it is about."""
        return str(getattr(self.anchor, "symbol", "") or (self.bot.symbol if self.bot else ""))

    @property
    def decisions(self) -> list[Decision]:
        """All that had a say, oldest first."""
        return [one.decision for one in self.cycles if one.decision is not None]


def of_decision(pk: int) -> Story:
    """Why it was answered so, and what came of it. Raises Decision.DoesNotExist."""
    decision = Decision.objects.select_related("bot__account", "account").get(pk=pk)
    orders, position = _made_in(decision.cycle_id)
    return _told(decision, order_pks=orders, position_pk=position, cycle_pks={decision.cycle_id})


def of_cycle(pk: int) -> Story:
    """Why it ended as it did. Raises Cycle.DoesNotExist."""
    cycle = Cycle.objects.select_related("bot__account", "account").get(pk=pk)
    orders, position = _made_in(cycle.pk)
    return _told(cycle, order_pks=orders, position_pk=position, cycle_pks={cycle.pk})


def of_order(pk: int) -> Story:
    """Why it was made and what became of it. Raises Order.DoesNotExist."""
    order = Order.objects.select_related("bot__account", "account").get(pk=pk)
    return _told(order, order_pks={order.pk}, position_pk=order.position_id, cycle_pks=set())


def of_trade(pk: int) -> Story:
    """Why it happened. Raises Trade.DoesNotExist."""
    trade = Trade.objects.select_related("bot__account", "account").get(pk=pk)
    return _told(trade, order_pks={trade.order_id} if trade.order_id else set(), position_pk=trade.position_id, cycle_pks=set())


def of_position(pk: int) -> Story:
    """Why it was opened, and how it ended. Raises Position.DoesNotExist."""
    position = Position.objects.select_related("bot__account", "account").get(pk=pk)
    return _told(position, order_pks=set(), position_pk=position.pk, cycle_pks=set())


def _made_in(cycle_pk: int) -> tuple[set[int], int | None]:
    """The orders of a cycle, and the position they belong to; a cycle has one bot and so at most one position."""
    made = list(Order.objects.filter(cycle=cycle_pk).values_list("pk", "position_id"))
    return {pk for pk, _position in made}, next((position for _pk, position in made if position), None)


def _told(anchor: Any, *, order_pks: set[int], position_pk: int | None, cycle_pks: set[int]) -> Story:
    position = anchor if isinstance(anchor, Position) else Position.objects.filter(pk=position_pk).first() if position_pk else None
    mine = Q(pk__in=order_pks) | Q(position=position) if position else Q(pk__in=order_pks)
    orders = list(Order.objects.filter(mine).order_by("created_at", "pk")[:MOST_ORDERS])
    cycle_pks = {*cycle_pks, *(order.cycle_id for order in orders if order.cycle_id)}
    cycles = _cycles(cycle_pks)
    trades = _trades(anchor, position, orders)
    deeds = _deeds(position, orders)
    return Story(
        anchor=anchor,
        bot=anchor.bot,
        account=anchor.account,
        position=position,
        cycles=cycles,
        orders=_orders(orders, trades, deeds),
        stray_trades=trades[None],
        risk_events=_risk_events(anchor, position, orders, cycles),
        deeds=deeds[f"position:{position.pk}"] if position else [],
    )


def _cycles(pks: set[int]) -> list[CycleStory]:
    cycles = list(Cycle.objects.filter(pk__in=pks).select_related("config_version").order_by("slot", "pk"))
    stages: dict[int, list[StageResult]] = defaultdict(list)
    for stage in StageResult.objects.filter(cycle__in=pks):
        stages[stage.cycle_id].append(stage)
    rows = Decision.objects.filter(cycle__in=pks).select_related("call__prompt", "bot__account__simulated_market")
    decisions = {row.cycle_id: row for row in rows}
    place = {name.value: number for number, name in enumerate(STAGES)}
    return [CycleStory(cycle, sorted(stages[cycle.pk], key=lambda stage: place[stage.stage]), decisions.get(cycle.pk)) for cycle in cycles]


def _orders(orders: list[Order], trades: dict[int | None, list[Trade]], deeds: dict[str, list[AuditEntry]]) -> list[OrderStory]:
    pks = [order.pk for order in orders]
    events = _by_order(OrderEvent.objects.filter(order__in=pks).order_by("seq"))
    sends = _by_order(OrderSend.objects.filter(order__in=pks).order_by("send_no"))
    cancels = _by_order(CancelCommand.objects.filter(order__in=pks).order_by("n"))
    return [
        OrderStory(order, events[order.pk], sends[order.pk], cancels[order.pk], trades[order.pk], deeds[f"order:{order.pk}"])
        for order in orders
    ]


def _by_order(rows: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.order_id].append(row)
    return found


def _trades(anchor: Any, position: Position | None, orders: list[Order]) -> dict[int | None, list[Trade]]:
    """By order; those without an order that we know of under None."""
    known = {order.pk for order in orders}
    mine = Q(order__in=known)
    if position is not None:
        mine |= Q(position=position)
    if isinstance(anchor, Trade):
        mine |= Q(pk=anchor.pk)
    found: dict[int | None, list[Trade]] = defaultdict(list)
    for trade in Trade.objects.filter(mine).order_by("created_at", "pk"):
        found[trade.order_id if trade.order_id in known else None].append(trade)
    return found


def _deeds(position: Position | None, orders: list[Order]) -> dict[str, list[AuditEntry]]:
    targets = [f"order:{order.pk}" for order in orders] + ([f"position:{position.pk}"] if position else [])
    found: dict[str, list[AuditEntry]] = defaultdict(list)
    for entry in AuditEntry.objects.filter(target__in=targets).order_by("at", "pk"):
        found[entry.target].append(entry)
    return found


def _risk_events(anchor: Any, position: Position | None, orders: list[Order], cycles: list[CycleStory]) -> list[RiskEvent]:
    """Limits that acted on the bot or its account between the first and the last instant of the story."""
    instants: list[datetime] = [*(one.cycle.slot for one in cycles), *(order.created_at for order in orders)]
    if position is not None:
        instants += [at for at in (position.opened_at, position.closed_at) if at is not None]
    if not instants or anchor.bot_id is None:
        return []
    whose = Q(bot=anchor.bot_id) | Q(bot=None, account=anchor.account_id)
    return list(
        RiskEvent.objects.filter(whose, created_at__range=(min(instants), max(instants))).order_by("created_at", "pk")[:MOST_EVENTS]
    )
