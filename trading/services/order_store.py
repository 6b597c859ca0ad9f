"""The order path's store over PostgreSQL: each method is one transaction. Constraints and triggers stand behind all of it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from dgbot.base.fields import ClockTimestamp
from dgbot.core.crash import crash_point
from dgbot.core.types import Mode, OrderType, Purpose, Side
from risk import selectors as risk_selectors
from risk import services as risk
from risk.models import ReservationStatus
from trading.domain.lifecycle import Status
from trading.domain.order_path.ports import CannotBook, Decide, DecideClaim
from trading.domain.order_path.values import (
    BookedFill,
    Cancel,
    CancelResult,
    Change,
    Grounds,
    Inquiry,
    OrderFacts,
    ReservationChange,
    Send,
    SendResult,
    Tenure,
)
from trading.models import CancelCommand, Order, OrderInquiry, OrderSend, Trade
from trading.selectors.limits import OWNERS_OF_LIMITS
from trading.services import entry_permission, leases, orders, positions
from trading.signals import order_needs_a_look

log = logging.getLogger(__name__)

BOOKS_REFUSE = (ValidationError, DataError, IntegrityError)


@dataclass(frozen=True)
class DatabaseStore:
    """See `trading.domain.order_path.ports.Store`."""

    def read(self, order_pk: int) -> OrderFacts:
        """See Store."""
        return facts_of(_dated(Order.objects.select_related("position")).get(pk=order_pk))

    def claim(self, order_pk: int, *, tenure: Tenure, now: datetime, decide: DecideClaim) -> tuple[OrderFacts, Change] | None:
        """See Store. Lock order: kill switch, order, lease, account."""
        with _one_transaction():
            risk.hold_kill_switch()
            query = Order.objects.select_for_update(of=("self",), skip_locked=True).select_related(
                "account", "position", "bot", *(f"bot__{name}" for name in OWNERS_OF_LIMITS)
            )
            order = _dated(query).filter(pk=order_pk).first()
            if order is None or not leases.is_current(name=tenure.name, epoch=tenure.epoch):
                return None  # another gateway came first
            facts = facts_of(order)
            written = _written(order, facts, decide(facts, _grounds(order)), now=now, tenure=tenure)
            crash_point("claim written")
            return written

    def change(self, order_pk: int, *, tenure: Tenure | None, now: datetime, decide: Decide) -> tuple[OrderFacts, Change] | None:
        """See Store."""
        with _one_transaction():
            order = _dated(Order.objects.select_for_update(of=("self",)).select_related("bot", "account", "position")).get(pk=order_pk)
            if tenure is not None and not leases.is_current(name=tenure.name, epoch=tenure.epoch):
                return None
            facts = facts_of(order)
            change = decide(facts)
            written = _written(order, facts, change, now=now, tenure=tenure)
            crash_point("answer booked" if _is_acknowledgement(change) else "fills folded")
            return written

    def holds(self, tenure: Tenure) -> bool:
        """See Store."""
        with transaction.atomic():
            return leases.is_current(name=tenure.name, epoch=tenure.epoch)

    def unsettled(self, account_id: int, *, is_hurried: bool) -> Sequence[int]:
        """See Store."""
        due = Order.objects.unsettled().filter(account_id=account_id)
        if not is_hurried:
            due = due.filter(Q(inquiry=None) | Q(inquiry__next_ask_at__lte=ClockTimestamp()))
        waiting = CancelCommand.objects.filter(order__account_id=account_id, sent_at=None, result="")  # of closed orders too
        return sorted({*due.values_list("pk", flat=True), *waiting.values_list("order_id", flat=True)})

    def release_absent(self, account_id: int, *, tenure: Tenure) -> int:
        """See Store."""
        is_over = Q(inquiry__last_proof_at__lt=ClockTimestamp() - timedelta(seconds=settings.ABSENT_HOLD_S))
        held = Order.objects.filter(account_id=account_id, status=Status.ABSENT.value, reservation__status=ReservationStatus.HELD.value)
        count = 0
        for order_pk in list(held.filter(is_over).values_list("pk", flat=True)):
            with transaction.atomic():
                if leases.is_current(name=tenure.name, epoch=tenure.epoch):
                    risk.release(order_pk=order_pk)
                    count += 1
        return count


def facts_of(order: Order) -> OrderFacts:
    """An order row as the order path sees it. It must carry `read_at`, PostgreSQL's clock."""
    trades = Trade.objects.filter(order=order).values_list("exchange_trade_id", "price", "amount", "fee")
    return OrderFacts(
        pk=order.pk,
        mode=Mode(order.mode),
        purpose=Purpose(order.purpose),
        client_id=order.client_id,
        symbol=order.symbol,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        amount=order.amount,
        quote_amount=order.quote_amount,
        price=order.price,
        reduce_only=order.reduce_only,
        params_hash=order.params_hash,
        status=Status(order.status),
        version=order.version,
        filled_amount=order.filled_amount,
        exchange_order_id=order.exchange_order_id,
        valid_until=order.valid_until,
        has_position=order.position_id is not None,
        held=order.position.amount if order.position else Decimal(0),
        read_at=order.read_at,  # type: ignore[attr-defined]
        sends=tuple(_send(row) for row in OrderSend.objects.filter(order=order).order_by("send_no")),
        fills={trade_id: BookedFill(price, amount, fee) for trade_id, price, amount, fee in trades},
        cancels=tuple(_cancel(row) for row in CancelCommand.objects.filter(order=order).order_by("n")),
        inquiry=_inquiry(OrderInquiry.objects.filter(order=order).first()),
    )


@contextmanager
def _one_transaction() -> Iterator[None]:
    """All or nothing; what the database refuses comes out as CannotBook."""
    try:
        with transaction.atomic():
            yield
    except BOOKS_REFUSE as error:
        raise CannotBook(str(error)) from error


def _is_acknowledgement(change: Change | None) -> bool:
    return change is not None and change.verdict is not None and change.verdict.result is SendResult.ACKNOWLEDGED


def _dated(query: Any) -> Any:
    return query.annotate(read_at=ClockTimestamp())


def _send(row: OrderSend) -> Send:
    return Send(
        send_no=row.send_no,
        gateway_epoch=row.gateway_epoch,
        permit_until=row.permit_until,
        result=SendResult(row.result),
        is_duplicate=bool(row.answer.get("duplicate")),
    )


def _cancel(row: CancelCommand) -> Cancel:
    return Cancel(n=row.n, reason=row.reason, sent_at=row.sent_at, result=CancelResult(row.result) if row.result else None)


def _inquiry(row: OrderInquiry | None) -> Inquiry | None:
    if row is None:
        return None
    return Inquiry(
        since=row.since,
        next_ask_at=row.next_ask_at,
        rounds=row.rounds,
        negatives=row.negatives,
        proofs=row.proofs,
        first_proof_at=row.first_proof_at,
        last_proof_at=row.last_proof_at,
    )


def _grounds(order: Order) -> Grounds:
    level = risk_selectors.kill_level(
        bot_id=order.bot_id, account_id=order.account_id, user_id=order.user_id, exchange=order.account.exchange, symbol=order.symbol
    )
    if order.purpose != Purpose.ENTRY:
        return Grounds(kill_level=level, reducible=order.position.amount if order.position else Decimal(0))
    is_asked = order.status == Status.PLANNED and level == 0
    return Grounds(kill_level=level, refusal=entry_permission.refusal(order) if is_asked else "")


def _written(
    order: Order, facts: OrderFacts, change: Change | None, *, now: datetime, tenure: Tenure | None
) -> tuple[OrderFacts, Change] | None:
    """Write a change, inside the caller's transaction: money first, then the order, then what follows from its new status."""
    if change is None:
        return None
    if change.verdict is not None:
        claimed = OrderSend.objects.filter(order=order, result=SendResult.CLAIMED.value)
        claimed.update(result=change.verdict.result.value, answer=dict(change.verdict.answer))
    if change.send is not None:
        assert tenure is not None  # nothing is claimed without the right to send
        OrderSend.objects.create(
            order=order,
            send_no=change.send.send_no,
            gateway=tenure.holder,
            gateway_epoch=tenure.epoch,
            permit_until=Now() + timedelta(seconds=change.send.permit_s),
        )
    _write_fills(order, change)
    _write_order(order, change, now=now)
    _write_inquiry(order, change)
    if change.cancel is not None:
        told = {"reason": change.cancel.reason, "sent_at": change.cancel.sent_at, "result": change.cancel.result or ""}
        CancelCommand.objects.update_or_create(order=order, n=change.cancel.n, defaults=told)
    if change.reservation is ReservationChange.CONVERT:
        risk.convert(order_pk=order.pk)
    elif change.reservation is ReservationChange.RELEASE:
        risk.release(order_pk=order.pk)
    if change.exit_is_over and order.position_id is not None:
        positions.next_exit_version(position_id=order.position_id)
    if change.alarm:
        _raise_alarm(order, change.alarm)
    return facts, change


def _write_fills(order: Order, change: Change) -> None:
    if change.stray_fills:
        assert change.rules is not None  # fills are booked under their market's rules
        positions.book_stray(order=order, fills=change.stray_fills, rules=change.rules)
    if not change.fills:
        return
    assert change.rules is not None  # fills are booked under their market's rules
    added = positions.book(order=order, fills=change.fills, rules=change.rules)
    if added != sum((fill.amount for fill in change.fills), Decimal(0)):
        raise CannotBook(f"order {order.pk}: an execution told for it is booked under another order")


def _write_order(order: Order, change: Change, *, now: datetime) -> None:
    columns: dict[str, Any] = {}
    if change.filled_amount is not None and change.filled_amount != order.filled_amount:
        columns["filled_amount"] = change.filled_amount
    if change.exchange_order_id is not None and order.exchange_order_id is None:
        columns["exchange_order_id"] = change.exchange_order_id
    if not change.moves and columns:
        Order.objects.filter(pk=order.pk).update(**columns, updated_at=now)
    for number, move in enumerate(change.moves, start=1):
        told = {} if move.error_message is None else {"error_message": move.error_message}
        last = columns if number == len(change.moves) else {}
        orders.move(order, move.to, actor=move.actor, now=now, evidence=dict(move.evidence), **told, **last)


def _write_inquiry(order: Order, change: Change) -> None:
    if change.inquiry is not None:
        told = {name: getattr(change.inquiry, name) for name in Inquiry.__dataclass_fields__}
        OrderInquiry.objects.update_or_create(order=order, defaults=told)
    elif change.forgets_inquiry:
        OrderInquiry.objects.filter(order=order).delete()


def _raise_alarm(order: Order, alarm: str) -> None:
    log.error("order=%s bot=%s %s", order.pk, order.bot_id, alarm)
    transaction.on_commit(lambda: order_needs_a_look.send_robust(sender=Order, pk=order.pk, alarm=alarm))
