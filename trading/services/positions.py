"""Positions as folds over trades: fills are booked once, exits are frozen with the entry."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from dgbot.core.crash import crash_point
from dgbot.core.money import parse_decimal
from dgbot.core.types import TradingRules, VenueFill
from risk import services as risk
from risk.domain.exits import protect_long
from risk.domain.trailing import opened
from trading.domain.ledger import Sums, assets_of, sums_of
from trading.models import Bot, Order, Position, Trade
from trading.services import ledger
from trading.signals import position_changed, trade_recorded

SUMS = tuple(item.name for item in fields(Sums))
OPENED, CHANGED, CLOSED = "opened", "changed", "closed"
ADOPTED = "adopted"  # who told the trade of a holding that was there before


def book(*, order: Order, fills: Sequence[VenueFill], rules: TradingRules) -> Decimal:
    """Book the fills of one order that are not booked yet, inside the caller's transaction. Returns base currency added.

    A repeat of what is booked changes nothing. The trade, its position and the entry count stand or fall together.
    """
    known = set(
        Trade.objects.filter(account_id=order.account_id, exchange_trade_id__in=[fill.exchange_trade_id for fill in fills]).values_list(
            "exchange_trade_id", flat=True
        )
    )
    fresh = list({fill.exchange_trade_id: fill for fill in fills if fill.exchange_trade_id not in known}.values())
    if not fresh:
        return Decimal(0)
    position = _position(order, opened_at=fresh[0].executed_at)
    event = CHANGED if position.bought_amount else OPENED
    trades = Trade.objects.bulk_create(_trade(order, position=position, fill=fill) for fill in fresh)
    crash_point("fills inserted")
    ledger.enter_trades(trades, base=rules.base, quote=rules.quote)
    _fold(position, order=order, fills=fresh, rules=rules)
    if order.purpose == "entry" and order.filled_amount == 0:
        owner = risk.Owner(account_id=order.account_id, user_id=order.user_id, mode=order.mode)
        risk.record_entry(owner=owner, bot_id=order.bot_id, at=fresh[0].executed_at, zone=settings.RISK_TIMEZONE)
    _announce(position, trades, event=event if position.is_open else CLOSED)
    return sum((fill.amount for fill in fresh), Decimal(0))


def adopt(
    *, bot: Bot, amount: Decimal, price: Decimal, plan: dict[str, Any], rules: TradingRules, now: datetime, trade_id: str
) -> Position:
    """Open a position from what the account holds already, inside the caller's transaction. amount: base. price: its cost, quote currency.

    Its trade is labelled and has no order: nothing is bought, so no order path and no ledger entry belongs to it, and it is no entry
    that limits count. From here on it is a position like any other, with the exits that `plan` freezes.
    """
    owner = {"bot": bot, "account_id": bot.account_id, "user_id": bot.user_id, "mode": bot.mode, "symbol": bot.symbol}
    position = Position(**owner, plan=plan, opened_at=now, amount=amount, bought_amount=amount, bought_total=price * amount)
    _freeze_exits(position, rules=rules)
    position.save(force_insert=True)
    trade = Trade.objects.create(
        **owner,
        position=position,
        exchange_trade_id=trade_id,
        side="buy",
        purpose="entry",
        price=price,
        amount=amount,
        total=price * amount,
        fee_currency=rules.quote,
        source=ADOPTED,
        created_at=now,
        updated_at=now,
    )
    _announce(position, [trade], event=OPENED)
    return position


def book_stray(*, order: Order, fills: Sequence[VenueFill], rules: TradingRules) -> None:
    """Book executions of an exit that its position does not cover: money that moved, and no position of ours to fold it into."""
    trades = Trade.objects.bulk_create(_trade(order, position=None, fill=fill) for fill in fills)
    ledger.enter_trades(trades, base=rules.base, quote=rules.quote)
    transaction.on_commit(lambda: [trade_recorded.send_robust(sender=Trade, pk=trade.pk) for trade in trades])


def next_exit_version(*, position_id: int) -> None:
    """An exit ended without closing the position: the next one may be planned."""
    position = Position.objects.select_for_update().get(pk=position_id)
    if position.is_open:
        position.exit_version += 1
        position.save(update_fields=["exit_version"])


def sums_from_trades(position: Position) -> dict[str, Decimal]:
    """The position's sums computed anew from its trades alone: what the row must say."""
    base, quote = assets_of(position.symbol)
    return asdict(sums_of(Trade.objects.filter(position=position), base=base, quote=quote))


def _position(order: Order, *, opened_at: datetime) -> Position:
    if order.position_id is not None:
        position = Position.objects.select_for_update().get(pk=order.position_id)
        if position.is_open or order.purpose != "entry":
            return position  # what an entry gains after its position was closed is another position
    position, _created = Position.objects.select_for_update().get_or_create(
        bot_id=order.bot_id,
        symbol=order.symbol,
        closed_at=None,
        defaults={"account_id": order.account_id, "user_id": order.user_id, "mode": order.mode, "plan": order.plan, "opened_at": opened_at},
    )
    Order.objects.filter(pk=order.pk).update(position=position)
    order.position = position
    return position


def _fold(position: Position, *, order: Order, fills: Sequence[VenueFill], rules: TradingRules) -> None:
    sums = Sums(**{name: getattr(position, name) for name in SUMS})
    for fill in fills:
        sums = sums.plus(fill, base=rules.base, quote=rules.quote)
    for name in SUMS:
        setattr(position, name, getattr(sums, name))
    if order.side == "sell":
        position.levels_taken = max(position.levels_taken, int(order.plan.get("level", 0)))
    if position.stop_price is None and order.purpose == "entry":
        _freeze_exits(position, rules=rules)
    if position.amount == 0:
        position.closed_at, position.exit_reason = fills[-1].executed_at, order.exit_reason
        profit = position.realised_profit
        assert profit is not None  # it has just been closed
        risk.record_close(account_id=position.account_id, bot_id=position.bot_id, profit=profit)
    position.save()


def _freeze_exits(position: Position, *, rules: TradingRules) -> None:
    entry_price = position.entry_price
    assert entry_price is not None  # a fill has just been added
    plan = position.plan
    protection = protect_long(
        entry_price=entry_price,
        stop_fraction=parse_decimal(plan["stop_fraction"], name="stop_fraction"),
        target_fraction=parse_decimal(plan["target_fraction"], name="target_fraction"),
        tick=rules.tick(entry_price),
        stop_distance=_distance(plan, "stop_distance"),
        target_distance=_distance(plan, "target_distance"),
    )
    position.stop_price, position.target_price = protection.stop_price, protection.target_price
    position.high_water = opened(entry_price=entry_price, protection=protection).high_water


def _distance(plan: dict[str, Any], name: str) -> Decimal | None:
    return parse_decimal(plan[name], name=name) if plan.get(name) is not None else None


def _trade(order: Order, *, position: Position | None, fill: VenueFill) -> Trade:
    return Trade(
        exchange_trade_id=fill.exchange_trade_id,
        order=order,
        position=position,
        bot_id=order.bot_id,
        account_id=order.account_id,
        user_id=order.user_id,
        mode=order.mode,
        symbol=order.symbol,
        side=order.side,
        purpose=order.purpose,
        exit_reason=order.exit_reason,
        price=fill.price,
        amount=fill.amount,
        total=fill.price * fill.amount,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        created_at=fill.executed_at,
        updated_at=fill.executed_at,
    )


def _announce(position: Position, trades: Sequence[Trade], *, event: str) -> None:
    def tell() -> None:
        for trade in trades:
            trade_recorded.send_robust(sender=Trade, pk=trade.pk)
        position_changed.send_robust(sender=Position, pk=position.pk, event=event)

    transaction.on_commit(tell)
