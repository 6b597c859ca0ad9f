"""The order path's store in memory, with the rules PostgreSQL enforces. `test_store_contract` runs one suite over both."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from dgbot.core.types import Mode, OrderRequest, OrderType, Purpose, Side
from trading.domain.lifecycle import CLOSED, MAYBE_SENT, Actor, Status, is_legal
from trading.domain.order_path.ports import CannotBook, Decide, DecideClaim
from trading.domain.order_path.requests import hash_of
from trading.domain.order_path.values import (
    MOST_SENDS,
    BookedFill,
    Cancel,
    Change,
    Grounds,
    Inquiry,
    OrderFacts,
    ReservationChange,
    Send,
    SendResult,
    Tenure,
)

ZERO = Decimal(0)
HELD, RELEASED, CONVERTED = "held", "released", "converted"


@dataclass(slots=True)
class Event:
    """One move, as `order_events` keeps it."""

    seq: int
    before: Status | None
    after: Status
    actor: Actor


@dataclass(slots=True)
class Row:
    """An order with everything that hangs on it."""

    pk: int
    bot: int
    request: OrderRequest
    purpose: Purpose
    decision_key: str
    valid_until: datetime | None
    position: "Held | None"
    params_hash: str
    status: Status = Status.PLANNED
    filled: Decimal = ZERO
    exchange_order_id: str | None = None
    sends: list[Send] = field(default_factory=list)
    claimed_at: list[datetime] = field(default_factory=list)  # of each send
    fills: dict[str, BookedFill] = field(default_factory=dict)
    folded: dict[str, "Held"] = field(default_factory=dict)  # the position that took each of them; a stray one has none
    cancels: list[Cancel] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    inquiry: Inquiry | None = None
    reservation: str = ""
    notional: Decimal = ZERO
    absent_at: datetime | None = None


@dataclass(slots=True)
class Held:
    """A position: the fold over its fills. amount: base, what the bot holds, long or short."""

    pk: int
    bot: int
    symbol: str
    is_open: bool = True
    amount: Decimal = ZERO
    entered: Decimal = ZERO  # quote
    left: Decimal = ZERO  # quote
    fees: Decimal = ZERO
    exit_version: int = 1


@dataclass(slots=True)
class Lease:
    """Who holds an account, until when."""

    holder: str
    epoch: int
    expires_at: datetime


class MemoryStore:
    """See `trading.domain.order_path.ports.Store`. on_commit: told of every change, before anybody can act on it."""

    def __init__(self, *, mode: Mode, machine_now: Callable[[], datetime], absent_hold_s: float, limit: Decimal) -> None:
        self.mode, self.machine_now, self.absent_hold_s, self.limit = mode, machine_now, absent_hold_s, limit
        self.rows: dict[int, Row] = {}
        self.trades: dict[str, int] = {}  # exchange trade id → order
        self.keys: dict[tuple[int, str], int] = {}
        self.positions: list[Held] = []
        self.leases: dict[str, Lease] = {}
        self.kill_level = 0
        self.alarms: list[str] = []
        self.on_commit: Callable[[Row, Status, Change], None] = lambda _row, _before, _change: None

    # --- The port ---
    def read(self, order_pk: int) -> OrderFacts:
        """See Store."""
        return self._facts(self.rows[order_pk])

    def claim(self, order_pk: int, *, tenure: Tenure, now: datetime, decide: DecideClaim) -> tuple[OrderFacts, Change] | None:
        """See Store."""
        row = self.rows[order_pk]
        if not self.holds(tenure):
            return None
        facts = self._facts(row)
        return self._written(row, facts, decide(facts, self._grounds(row)), tenure=tenure)

    def change(self, order_pk: int, *, tenure: Tenure | None, now: datetime, decide: Decide) -> tuple[OrderFacts, Change] | None:
        """See Store."""
        row = self.rows[order_pk]
        if tenure is not None and not self.holds(tenure):
            return None
        facts = self._facts(row)
        return self._written(row, facts, decide(facts), tenure=tenure)

    def holds(self, tenure: Tenure) -> bool:
        """See Store."""
        lease = self.leases.get(tenure.name)
        return lease is not None and lease.epoch == tenure.epoch and lease.expires_at >= self.machine_now()

    def unsettled(self, account_id: int, *, is_hurried: bool) -> list[int]:
        """See Store."""
        now = self.machine_now()
        return [row.pk for row in self.rows.values() if _is_wanted(row) or (row.status not in CLOSED and (is_hurried or _is_due(row, now)))]

    def release_absent(self, account_id: int, *, tenure: Tenure) -> int:
        """See Store."""
        limit = self.machine_now() - timedelta(seconds=self.absent_hold_s)
        count = 0
        for row in self.rows.values():
            is_over = row.inquiry is not None and row.inquiry.last_proof_at is not None and row.inquiry.last_proof_at < limit
            if row.status is Status.ABSENT and row.reservation == HELD and is_over and self.holds(tenure):
                row.reservation = RELEASED
                count += 1
        return count

    # --- What planner, leases and operators do elsewhere ---
    def plan(
        self,
        *,
        bot: int,
        key: str,
        request: OrderRequest,
        purpose: Purpose,
        position: Held | None = None,
        valid_until: datetime | None = None,
        notional: Decimal = ZERO,
    ) -> Row | None:
        """A planned order; None when this decision has one, or when the bot's last entry there has not ended."""
        if (bot, key) in self.keys or any(row.request.client_id == request.client_id for row in self.rows.values()):
            return None
        if purpose is Purpose.ENTRY and any(
            row.bot == bot and row.purpose is Purpose.ENTRY and row.status not in CLOSED for row in self.rows.values()
        ):
            return None
        row = Row(len(self.rows) + 1, bot, request, purpose, key, valid_until, position, hash_of(request), notional=notional)
        row.reservation = HELD if purpose is Purpose.ENTRY else ""
        row.events.append(Event(1, None, Status.PLANNED, Actor.PLANNER))
        self.rows[row.pk] = row
        self.keys[bot, key] = row.pk
        return row

    def take_lease(self, name: str, *, holder: str, seconds: float, is_holder_dead: bool = False) -> Tenure | None:
        """Take or renew; None while another holds it."""
        now, lease = self.machine_now(), self.leases.get(name)
        if lease is not None and lease.holder != holder and lease.expires_at >= now and not is_holder_dead:
            return None
        is_renewal = lease is not None and lease.holder == holder and lease.expires_at >= now
        epoch = 1 if lease is None else lease.epoch + (not is_renewal)
        self.leases[name] = Lease(holder, epoch, now + timedelta(seconds=seconds))
        return Tenure(name, epoch, holder)

    # --- Inside ---
    def _facts(self, row: Row) -> OrderFacts:
        request = row.request
        return OrderFacts(
            row.pk,
            self.mode,
            row.purpose,
            request.client_id,
            request.symbol,
            request.side,
            request.order_type,
            request.amount,
            request.quote_amount,
            request.price,
            request.reduce_only,
            row.params_hash,
            row.status,
            len(row.events),
            row.filled,
            row.exchange_order_id,
            row.valid_until,
            row.position is not None,
            row.position.amount if row.position else ZERO,
            self.machine_now(),
            tuple(row.sends),
            dict(row.fills),
            tuple(row.cancels),
            row.inquiry,
        )

    def _grounds(self, row: Row) -> Grounds:
        if row.purpose is not Purpose.ENTRY:
            return Grounds(self.kill_level, reducible=row.position.amount if row.position else ZERO)
        return Grounds(self.kill_level, refusal=self._refusal(row))

    def _refusal(self, row: Row) -> str:
        if row.reservation != HELD:
            return "nothing is reserved for it"
        if any(other.bot == row.bot and other.status in MAYBE_SENT for other in self.rows.values()):
            return "another order of its bot may be at the exchange without our knowing"
        if self.at_stake() > self.limit:
            return f"more than {self.limit} would be at stake"
        return ""

    def at_stake(self) -> Decimal:
        """Quote currency in open positions and held reservations."""
        held = sum((row.notional for row in self.rows.values() if row.reservation == HELD), ZERO)
        return held + sum((held.entered for held in self.positions if held.is_open), ZERO)

    def _written(self, row: Row, facts: OrderFacts, change: Change | None, *, tenure: Tenure | None) -> tuple[OrderFacts, Change] | None:
        if change is None:
            return None
        self._refuse_what_the_database_refuses(row, change)
        before = row.status
        self._write_sends(row, change, tenure=tenure)
        self._book(row, change)
        for move in change.moves:
            row.events.append(Event(len(row.events) + 1, row.status, move.to, move.actor))
            row.status = move.to
        if change.filled_amount is not None:
            row.filled = change.filled_amount
        row.exchange_order_id = row.exchange_order_id or change.exchange_order_id
        if change.inquiry is not None:
            row.inquiry = change.inquiry
        elif change.forgets_inquiry:
            row.inquiry = None
        self._write_cancel(row, change.cancel)
        if change.reservation is not None and row.reservation == HELD:
            row.reservation = RELEASED if change.reservation is ReservationChange.RELEASE else CONVERTED
        if change.exit_is_over and row.position is not None and row.position.is_open:
            row.position.exit_version += 1
        if change.alarm:
            self.alarms.append(change.alarm)
        self.on_commit(row, before, change)
        return facts, change

    def _refuse_what_the_database_refuses(self, row: Row, change: Change) -> None:
        """CHECKs, unique indexes and triggers, all looked at before anything is written."""
        status = row.status
        for move in change.moves:
            if not is_legal(status, move.to, move.actor):
                raise CannotBook(f"order {row.pk} may not move from {status} to {move.to} by {move.actor}")
            status = move.to
        if change.filled_amount is not None and change.filled_amount < row.filled:
            raise CannotBook(f"the filled amount of order {row.pk} never falls")
        if change.send is not None:
            self._refuse_send(row, change.send.send_no)
        if change.exchange_order_id is not None and row.exchange_order_id is None and self._is_taken(change.exchange_order_id):
            raise CannotBook(f"{change.exchange_order_id} belongs to another order")
        if any(fill.exchange_trade_id in self.trades for fill in (*change.fills, *change.stray_fills)):
            raise CannotBook(f"order {row.pk}: an execution is booked already")
        if change.reservation is ReservationChange.RELEASE and status in MAYBE_SENT:
            raise CannotBook(f"order {row.pk} may be at the exchange; its reservation stays")
        amount = sum((fill.amount for fill in change.fills), ZERO)
        if row.purpose is not Purpose.ENTRY and amount and (row.position is None or row.position.amount < amount):
            raise CannotBook(f"order {row.pk} took more than its position held")

    def _refuse_send(self, row: Row, send_no: int) -> None:
        if send_no != len(row.sends) + 1 or send_no > MOST_SENDS:
            raise CannotBook(f"order {row.pk} has no send {send_no}")
        may_have_left = any(send.may_have_left for send in row.sends)
        if may_have_left and (row.purpose is Purpose.ENTRY or row.status not in (Status.UNKNOWN, Status.SUBMITTING)):
            raise CannotBook(f"order {row.pk} may have been sent before and is not sent again")

    def _is_taken(self, exchange_order_id: str) -> bool:
        return any(row.exchange_order_id == exchange_order_id for row in self.rows.values())

    def _write_sends(self, row: Row, change: Change, *, tenure: Tenure | None) -> None:
        if change.verdict is not None:
            is_duplicate = bool(change.verdict.answer.get("duplicate"))
            row.sends = [
                Send(send.send_no, send.gateway_epoch, send.permit_until, change.verdict.result, is_duplicate)
                if send.result is SendResult.CLAIMED
                else send
                for send in row.sends
            ]
        if change.send is not None:
            assert tenure is not None
            until = self.machine_now() + timedelta(seconds=change.send.permit_s)
            row.sends.append(Send(change.send.send_no, tenure.epoch, until, SendResult.CLAIMED))
            row.claimed_at.append(self.machine_now())

    def _book(self, row: Row, change: Change) -> None:
        for fill in change.stray_fills:
            self.trades[fill.exchange_trade_id] = row.pk
            row.fills[fill.exchange_trade_id] = BookedFill(fill.price, fill.amount, fill.fee)
        for fill in change.fills:
            self.trades[fill.exchange_trade_id] = row.pk
            row.fills[fill.exchange_trade_id] = BookedFill(fill.price, fill.amount, fill.fee)
            position = row.folded[fill.exchange_trade_id] = self._position_of(row)
            total = fill.price * fill.amount
            position.fees += fill.fee
            if row.purpose is Purpose.ENTRY:
                position.amount += fill.amount
                position.entered += total
            else:
                position.amount -= fill.amount
                position.left += total
        if row.position is not None and change.fills and row.position.amount == 0:
            row.position.is_open = False

    def _position_of(self, row: Row) -> Held:
        if row.position is not None and (row.position.is_open or row.purpose is not Purpose.ENTRY):
            return row.position
        row.position = next((held for held in self.positions if held.is_open and held.bot == row.bot), None)
        if row.position is None:
            row.position = Held(len(self.positions) + 1, row.bot, row.request.symbol)
            self.positions.append(row.position)
        return row.position

    def _write_cancel(self, row: Row, cancel: Cancel | None) -> None:
        if cancel is None:
            return
        if cancel.n > len(row.cancels):
            row.cancels.append(cancel)
        else:
            row.cancels[cancel.n - 1] = cancel


def _is_due(row: Row, now: datetime) -> bool:
    return row.inquiry is None or row.inquiry.next_ask_at <= now


def _is_wanted(row: Row) -> bool:
    return any(cancel.sent_at is None and cancel.result is None for cancel in row.cancels)


def request_of(*, client_id: str, symbol: str, side: Side, order_type: OrderType, reduce_only: bool, **sizes: Any) -> OrderRequest:
    """A request as the planner makes it."""
    return OrderRequest(client_id=client_id, symbol=symbol, side=side, order_type=order_type, reduce_only=reduce_only, **sizes)
