"""Fills, orders of unknown fate, and how the order of a cycle ended."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from monitoring.notifications.facts import cycles
from monitoring.notifications.facts.common import of_bot, text
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.outbox import Draft
from risk.domain.exits import ExitReason
from trading.domain.lifecycle import CLOSED_VALUES, Status
from trading.models import Order, OrderEvent, Trade

LEVELS = {  # what an order's move says about the need to look
    Status.UNKNOWN: Level.ERROR,
    Status.DISPUTED: Level.CRITICAL,
    Status.FAILED: Level.ERROR,
    Status.ABSENT: Level.WARNING,
}
PROTECTIVE = {ExitReason.STOP, ExitReason.TRAILING, ExitReason.TARGET, ExitReason.PARTIAL, ExitReason.LIQUIDATION, "kill_switch"}
LOSSES = {ExitReason.STOP, ExitReason.LIQUIDATION, "kill_switch"}


def of_events(ids: list[int]) -> list[Draft]:
    """Moves that need a look; and of a cycle's order the end, with the portfolio."""
    rows = OrderEvent.objects.filter(pk__in=ids, order__account__is_hidden=False, order__bot__is_hidden=False)
    drafts = []
    for row in rows.exclude(order__mode="replay").select_related("order__bot__account").order_by("pk"):
        order = row.order
        if row.to_status in LEVELS:
            drafts.append(_alarm(row, LEVELS[Status(row.to_status)]))
        if order.cycle_id is not None and row.to_status in CLOSED_VALUES:
            end = _end(order, status=row.to_status)
            drafts.append(cycles.portfolio(order.bot, at=row.created_at, fact=f"order:{order.pk}:{row.seq}", trade=end))
    return drafts


def of_trades(ids: list[int]) -> list[Draft]:
    """Fills, those of one order that are new together as one."""
    groups: dict[tuple[str, int], list[Trade]] = defaultdict(list)
    rows = Trade.objects.filter(pk__in=ids, account__is_hidden=False).exclude(bot__is_hidden=True).exclude(mode="replay")
    for row in rows.select_related("bot", "account", "position").order_by("pk"):
        groups[("order", row.order_id) if row.order_id is not None else ("trade", row.pk)].append(row)
    return [_fill(trades) for trades in groups.values()]


def _alarm(row: OrderEvent, level: Level) -> Draft:
    order = row.order
    facts = {**of_bot(order.bot), "order": order.pk, "side": order.side, "status": row.to_status, "why": order.error_message}
    return Draft(
        Kind.ERROR,
        level,
        "order",
        facts,
        order.user_id,
        row.created_at,
        bot_id=order.bot_id,
        mode=order.mode,
        fact=f"order_event:{row.pk}",
    )


def _end(order: Order, *, status: str) -> dict[str, Any]:
    """How an order ended: its fills in sums."""
    sums = Trade.objects.filter(order=order).aggregate(amount=Sum("amount"), total=Sum("total"), fee=Sum("fee"))
    amount, total = sums["amount"], sums["total"]
    return {
        "id": order.pk,
        "exchange_id": order.exchange_order_id or "",
        "side": order.side,
        "status": status,
        "is_ok": bool(amount),
        "price": text(total / amount) if amount else None,
        "amount": text(amount or Decimal(0)),
        "total": text(total or Decimal(0)),
        "fee": text(sums["fee"] or Decimal(0)),
        "why": order.error_message,
    }


def _fill(trades: list[Trade]) -> Draft:
    first = trades[0]
    amount, total, fee = (sum((getattr(trade, name) for trade in trades), Decimal(0)) for name in ("amount", "total", "fee"))
    position = first.position
    is_protective = first.exit_reason in PROTECTIVE
    bot = first.bot
    named: dict[str, Any] = (
        of_bot(bot) if bot is not None else {"bot": "", "symbol": first.symbol, "currency": first.account.quote_currency, "badge": ""}
    )
    facts = {
        **named,
        "account": first.account.name,
        "symbol": first.symbol,
        "order": first.order_id,
        "side": first.side,
        "exit_reason": first.exit_reason,
        "source": first.source,
        "price": text(total / amount if amount else first.price),
        "amount": text(amount),
        "total": text(total),
        "fee": text(fee),
        "fee_currency": first.fee_currency,
        "profit": text(position.realised_profit) if position is not None and first.side == "sell" else None,
        "is_foreign": bot is None,
        "is_closed": position is not None and not position.is_open,
    }
    level = Level.WARNING if bot is None or first.exit_reason in LOSSES else Level.INFO
    kind = Kind.RISK if is_protective else Kind.FILL
    return Draft(
        kind, level, "fill", facts, first.user_id, first.created_at, bot_id=first.bot_id, mode=first.mode, fact=f"trade:{first.pk}"
    )
