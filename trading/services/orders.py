"""Orders: planned once per decision, moved only along the lifecycle, each move with its event."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from dgbot.core import client_id
from dgbot.core.crash import crash_point
from dgbot.core.money import plain
from dgbot.core.types import Mode, OrderRequest, OrderType, Purpose, Side
from risk import services as risk
from trading.domain.lifecycle import CLOSED, Actor, Status
from trading.domain.order_path.requests import hash_of
from trading.models import Bot, CancelCommand, Cycle, Order, OrderEvent, Position
from trading.signals import order_changed

PLANNED = """
SELECT wanted.key FROM unnest(%s::bigint[], %s::text[]) AS wanted (bot_id, key)
JOIN orders ON orders.bot_id = wanted.bot_id AND orders.decision_key = wanted.key
"""


@dataclass(frozen=True)
class Exit:
    """A sale that is due. amount: base currency, None for the whole position. level: number of the partial level, from 1.

    rest: what this part of a larger sale leaves to be sold after it, base currency; the gateway goes on with it. now: market time.
    """

    position: Position
    reason: str
    now: datetime
    amount: Decimal | None = None
    level: int = 0
    rest: Decimal | None = None


class MovedMeanwhile(Exception):
    """Another process moved this order first; look again."""


def plan_entry(
    *,
    bot: Bot,
    cycle: Cycle,
    notional: Decimal,
    plan: dict[str, Any],
    now: datetime,
    valid_until: datetime | None,
    lease_epoch: int,
    quote_amount: Decimal | None = None,
    amount: Decimal | None = None,
) -> Order:
    """A market buy with `notional` (quote currency, fees included) reserved for it.

    quote_amount: the money it spends, quote currency; or amount: what it buys, base currency, at an exchange that asks for that.
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
        amount=amount,
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
    rest: Decimal | None = None,
    purpose: Purpose = Purpose.EXIT,
) -> Order:
    """A market sale of the whole position, or of `amount` (base) of it. level: number of the partial level that asks for it, from 1.

    rest: what this part of a larger sale leaves to be sold after it, base currency; the gateway goes on with it.
    Cycle, guardian and operator share one key, so together they make one order; what it leaves is the next version's. A level
    is spent with its order's first fill, so an order that ended without one leaves it due.
    """
    return _plan(
        bot=position.bot,
        cycle=cycle,
        position=position,
        decision_key=exit_key(position),
        purpose=purpose,
        side=Side.SELL,
        amount=position.amount if amount is None else amount,
        plan=_exit_plan(level=level, rest=rest),
        exit_reason=reason,
        now=now,
        valid_until=None,
        lease_epoch=lease_epoch,
        actor=actor,
    )


def plan_exits(exits: Sequence[Exit]) -> list[Order]:
    """Many sales in a few statements, for a fall that reaches many stops at once. Returns those that were not planned before.

    Each keeps its key: when another process plans one of them at this very moment, they are planned one by one.
    """
    waiting = _not_planned(exits)
    drafts = [_draft_exit(one) for one in waiting]
    try:
        with transaction.atomic():
            Order.objects.bulk_create(drafts)
            crash_point("order inserted")
            OrderEvent.objects.bulk_create(_birth(order, actor=Actor.PLANNER) for order in drafts)
    except IntegrityError as error:
        if "order_once_per_decision" not in str(error):
            raise
        return [_plan_again(one) for one in waiting]
    for order in drafts:
        _announce(order)
    return drafts


def exit_key(position: Position) -> str:
    """What cycle, guardian, kill switch and operator call the next exit of a position: together they make one order."""
    return f"exit:{position.pk}:{position.exit_version}"


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


def _plan(*, bot: Bot, decision_key: str, actor: Actor, notional: Decimal | None = None, **asked: Any) -> Order:
    """Insert one order with its first event and its reservation, or find the one its decision has made already."""
    order = _draft(bot=bot, decision_key=decision_key, **asked)
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            crash_point("order inserted")
            _birth(order, actor=actor).save(force_insert=True)
            if notional is not None:
                risk.reserve(order_pk=order.pk, bot_id=bot.pk, account_id=bot.account_id, notional=notional)
    except IntegrityError as error:
        if "order_once_per_decision" not in str(error):
            raise
        return Order.objects.get(bot=bot, decision_key=decision_key)
    _announce(order)
    return order


def _draft(
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
    amount: Decimal | None = None,
    quote_amount: Decimal | None = None,
    plan: dict[str, Any] | None = None,
    exit_reason: str = "",
) -> Order:
    """A row that is not stored yet, under a client id of its own."""
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
    return Order(
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


def _draft_exit(one: Exit) -> Order:
    return _draft(
        bot=one.position.bot,
        cycle=None,
        position=one.position,
        decision_key=exit_key(one.position),
        purpose=Purpose.EXIT,
        side=Side.SELL,
        amount=one.position.amount if one.amount is None else one.amount,
        plan=_exit_plan(level=one.level, rest=one.rest),
        exit_reason=one.reason,
        now=one.now,
        valid_until=None,
        lease_epoch=0,
    )


def _plan_again(one: Exit) -> Order:
    return plan_exit(position=one.position, reason=one.reason, now=one.now, amount=one.amount, level=one.level, rest=one.rest)


def _exit_plan(*, level: int, rest: Decimal | None) -> dict[str, Any]:
    return {**({"level": level} if level else {}), **({"rest": plain(rest)} if rest else {})}


def _not_planned(exits: Sequence[Exit]) -> list[Exit]:
    """Those whose key has no order yet, asked pair by pair: two lists of keys would be looked up crosswise."""
    with connection.cursor() as cursor:
        cursor.execute(PLANNED, [[one.position.bot_id for one in exits], [exit_key(one.position) for one in exits]])
        known = {key for (key,) in cursor.fetchall()}
    return [one for one in exits if exit_key(one.position) not in known]


def _birth(order: Order, *, actor: Actor) -> OrderEvent:
    return OrderEvent(
        order=order,
        seq=1,
        from_status="",
        to_status=Status.PLANNED.value,
        actor=actor.value,
        evidence={"decision_key": order.decision_key},
        created_at=order.created_at,
    )


def _event(order: Order, after: Status, *, seq: int, actor: Actor, now: datetime, evidence: dict[str, Any] | None) -> None:
    OrderEvent.objects.create(
        order=order,
        seq=seq,
        from_status=order.status,
        to_status=after.value,
        actor=actor.value,
        evidence=evidence or {},
        created_at=now,
    )


def _announce(order: Order) -> None:
    transaction.on_commit(lambda: order_changed.send_robust(sender=Order, pk=order.pk))
