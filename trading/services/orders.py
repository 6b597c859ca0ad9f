"""Orders: planned once per decision, moved only along the lifecycle, each move with its event."""

import secrets
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from dgbot.core import client_id
from dgbot.core.crash import crash_point
from dgbot.core.types import Mode, OrderRequest, OrderType, Purpose, Side
from risk import services as risk
from trading.domain.lifecycle import CLOSED, Actor, Status
from trading.domain.order_path.requests import hash_of
from trading.models import Bot, CancelCommand, Cycle, Order, OrderEvent, Position
from trading.signals import order_changed


class MovedMeanwhile(Exception):
    """Another process moved this order first; look again."""


def plan_entry(
    *,
    bot: Bot,
    cycle: Cycle,
    quote_amount: Decimal,
    notional: Decimal,
    plan: dict[str, Any],
    now: datetime,
    valid_until: datetime | None,
    lease_epoch: int,
) -> Order:
    """A market buy of `quote_amount` with `notional` (fees included) reserved for it, both in quote currency.

    Call inside the transaction that stores the decision. Asking again for the same slot gives the order that is there.
    """
    return _plan(
        bot=bot,
        cycle=cycle,
        position=None,
        decision_key=f"slot:{cycle.slot.isoformat()}:entry",
        purpose=Purpose.ENTRY,
        side=Side.BUY,
        quote_amount=quote_amount,
        plan=plan,
        now=now,
        valid_until=valid_until,
        lease_epoch=lease_epoch,
        notional=notional,
        actor=Actor.PLANNER,
    )


def plan_exit(
    *,
    position: Position,
    reason: str,
    now: datetime,
    cycle: Cycle | None = None,
    actor: Actor = Actor.PLANNER,
    lease_epoch: int = 0,
    amount: Decimal | None = None,
    level: int = 0,
) -> Order:
    """A market sale of the whole position, or of `amount` (base) of it. level: number of the partial level that asks for it, from 1.

    Cycle, guardian and operator share one key, so together they make one order; what it leaves is the next version's. A level
    is spent with its order's first fill, so an order that ended without one leaves it due.
    """
    return _plan(
        bot=position.bot,
        cycle=cycle,
        position=position,
        decision_key=f"exit:{position.pk}:{position.exit_version}",
        purpose=Purpose.EXIT,
        side=Side.SELL,
        amount=position.amount if amount is None else amount,
        plan={"level": level} if level else None,
        exit_reason=reason,
        now=now,
        valid_until=None,
        lease_epoch=lease_epoch,
        actor=actor,
    )


def move(order: Order, after: Status, *, actor: Actor, now: datetime, evidence: dict[str, Any] | None = None, **changes: Any) -> None:
    """Make one move with its event, inside the caller's transaction, and bring `order` up to date.

    Raises MovedMeanwhile when somebody else moved it first. PostgreSQL refuses an illegal move.
    """
    updated = Order.objects.filter(pk=order.pk, version=order.version, status=order.status)
    fields = {"status": after.value, "version": order.version + 1, "updated_at": now, **changes}
    if updated.update(**fields) != 1:
        raise MovedMeanwhile(f"order {order.pk} is no longer {order.status} in version {order.version}")
    _event(order, after, seq=order.version + 1, actor=actor, now=now, evidence=evidence)
    for name, value in fields.items():
        setattr(order, name, value)
    _announce(order)


def request_cancel(*, order_pk: int, reason: str) -> bool:
    """Note that this order is to be cancelled, whoever asks; the gateway of its account carries it out. Returns whether it is noted.

    False when the order has ended. Asking again while a wish waits to be sent adds nothing and is noted all the same.
    """
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_pk)
        if Status(order.status) in CLOSED:
            return False
        wishes = CancelCommand.objects.filter(order=order)
        if not wishes.filter(sent_at=None, result="").exists():
            CancelCommand.objects.create(order=order, n=wishes.count() + 1, reason=reason)
        return True


def _plan(
    *,
    bot: Bot,
    cycle: Cycle | None,
    position: Position | None,
    decision_key: str,
    purpose: Purpose,
    side: Side,
    now: datetime,
    valid_until: datetime | None,
    lease_epoch: int,
    actor: Actor,
    amount: Decimal | None = None,
    quote_amount: Decimal | None = None,
    plan: dict[str, Any] | None = None,
    exit_reason: str = "",
    notional: Decimal | None = None,
) -> Order:
    identifier = client_id.make(
        mode=Mode(bot.mode), deployment=settings.DEPLOYMENT, bot_id=bot.pk, random_bits=secrets.randbits(client_id.ORDER_BITS)
    )
    request = OrderRequest(
        client_id=identifier,
        symbol=bot.symbol,
        side=side,
        order_type=OrderType.MARKET,
        amount=amount,
        quote_amount=quote_amount,
        reduce_only=purpose is not Purpose.ENTRY,
    )
    order = Order(
        bot=bot,
        account_id=bot.account_id,
        user_id=bot.user_id,
        mode=bot.mode,
        cycle=cycle,
        position=position,
        decision_key=decision_key,
        purpose=purpose.value,
        exit_reason=exit_reason,
        client_id=identifier,
        symbol=bot.symbol,
        side=side.value,
        order_type=OrderType.MARKET.value,
        amount=amount,
        quote_amount=quote_amount,
        reduce_only=request.reduce_only,
        params_hash=hash_of(request),
        plan=plan or {},
        lease_epoch=lease_epoch,
        valid_until=valid_until,
        config_version_id=cycle.config_version_id if cycle else None,
        created_at=now,
        updated_at=now,
    )
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            crash_point("order inserted")
            _event(order, Status.PLANNED, seq=1, actor=actor, now=now, evidence={"decision_key": decision_key}, is_birth=True)
            if notional is not None:
                risk.reserve(order_pk=order.pk, bot_id=bot.pk, account_id=bot.account_id, notional=notional)
    except IntegrityError as error:
        if "order_once_per_decision" not in str(error):
            raise
        return Order.objects.get(bot=bot, decision_key=decision_key)
    _announce(order)
    return order


def _event(
    order: Order, after: Status, *, seq: int, actor: Actor, now: datetime, evidence: dict[str, Any] | None, is_birth: bool = False
) -> None:
    OrderEvent.objects.create(
        order=order,
        seq=seq,
        from_status="" if is_birth else order.status,
        to_status=after.value,
        actor=actor.value,
        evidence=evidence or {},
        created_at=now,
    )


def _announce(order: Order) -> None:
    transaction.on_commit(lambda: order_changed.send_robust(sender=Order, pk=order.pk))
