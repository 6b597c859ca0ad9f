"""The gateway: the only code that sends orders. Claim, send once, book what the exchange said, settle what is unclear.

claim (one transaction: lease, validity, kill switch, reservation, send row; committed)
  → one request → book the answer (one transaction) → or `unknown`, which only the exchange can end
"""

import logging
import math
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.models.functions import Now

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder, machine_now
from dgbot.core.crash import crash_point
from dgbot.core.errors import BadInput, CredentialsRefused, DgbotError, ExchangeError, ExchangeRejected, ExchangeUnavailable
from dgbot.core.types import Mode, Purpose, Side, TradingRules, VenueOrder, VenueOrderStatus
from risk import selectors as risk_selectors
from risk import services as risk
from risk.models import KillLevel, Reservation, ReservationStatus
from trading.domain.lifecycle import CLOSED, Actor, Status, is_legal
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, ExchangeAccount, Order, OrderSend, SendResult
from trading.selectors.limits import OWNERS_OF_LIMITS
from trading.services import config, credentials, entry_limits, leases, orders, positions, price_alarms, switches

log = logging.getLogger(__name__)

STATUS_OF = {
    VenueOrderStatus.OPEN: Status.OPEN,
    VenueOrderStatus.PARTIALLY_FILLED: Status.PARTIALLY_FILLED,
    VenueOrderStatus.FILLED: Status.FILLED,
    VenueOrderStatus.CANCELLED: Status.CANCELLED,
    VenueOrderStatus.EXPIRED: Status.EXPIRED,
}
MOST_SENDS = 5  # of one exit; PostgreSQL refuses a sixth
# What an answer raises that cannot be read or booked: it proves nothing, so the order stays unclear and is asked for again.
VOID_ANSWER = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, ValidationError, DataError, IntegrityError, DgbotError)
ENDED_UNFILLED = frozenset({Status.DENIED, Status.LAPSED, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.ABSENT})


@dataclass(frozen=True)
class Tenure:
    """This process's right to send for one account: the name of the lease, its epoch, and who holds it."""

    name: str
    epoch: int
    holder: str = field(default_factory=holder)


@dataclass
class Permit:
    """Leave to send one order, given in a committed transaction and looked at again right before the write."""

    order: Order
    send: OrderSend
    deadline: float  # time.monotonic()

    @property
    def has_expired(self) -> bool:
        """Whether it is too late to write."""
        return time.monotonic() > self.deadline


def lease_name(account_id: int) -> str:
    """Name of the lease that lets a gateway send for this account."""
    return f"gateway:{account_id}"


def take_account(account_id: int) -> Tenure | None:
    """Take or renew the right to send for an account; None while another gateway has it."""
    name = lease_name(account_id)
    epoch = leases.acquire(name=name, seconds=settings.LEASE_S)
    crash_point("lease taken")
    return Tenure(name=name, epoch=epoch) if epoch is not None else None


def give_back(tenure: Tenure) -> None:
    """End the right to send, so that the next gateway need not wait for it to run out."""
    leases.release(name=tenure.name, holder=tenure.holder)


def step(*, account_id: int, venue: Venue, tenure: Tenure) -> list[int]:
    """Settle what is unclear, send what is planned, write down the balances. Returns the orders touched, by primary key."""
    touched = settle_and_send(account_id=account_id, venue=venue, tenure=tenure)
    record_balances(account_id=account_id, venue=venue, tenure=tenure)
    return touched


def settle_and_send(*, account_id: int, venue: Venue, tenure: Tenure) -> list[int]:
    """Settle what is unclear and send what is planned. Returns the orders touched, by primary key."""
    waiting = list(Order.objects.unsettled().filter(account_id=account_id).order_by("pk").values_list("pk", "status"))
    for order_pk, status in waiting:
        if status == Status.PLANNED:
            submit(order_pk=order_pk, venue=venue, tenure=tenure)
        else:
            settle(order_pk=order_pk, venue=venue, tenure=tenure)
    return [order_pk for order_pk, _status in waiting]


def submit(*, order_pk: int, venue: Venue, tenure: Tenure) -> None:
    """Send a planned order at most once; harmless to call again, and after a crash."""
    permit = claim(order_pk=order_pk, venue=venue, tenure=tenure)
    if permit is not None:
        crash_point("claim committed")
        send(permit, venue=venue, tenure=tenure)


def send(permit: Permit, *, venue: Venue, tenure: Tenure) -> None:
    """Write a claimed order to the exchange, unless permit or account were lost since, and book what it answers."""
    request = orders.to_request(permit.order)
    if permit.has_expired or not _holds(tenure):
        _not_sent(permit, venue=venue, why="the permit or the account was lost before the write")
        return
    try:
        answer = venue.exchange.place(request)
    except ExchangeUnavailable as error:
        _not_sent(permit, venue=venue, why=str(error))
    except ExchangeRejected as error:
        _rejected(permit, venue=venue, code=error.code, why=str(error))
    except CredentialsRefused as error:  # certainly not accepted: the exchange does not know us
        _rejected(permit, venue=venue, code="credentials_refused", why=str(error))
        credentials.doubt(account_id=permit.order.account_id, why=str(error))
    except Exception as error:  # whatever it was, the exchange may have the order: it is unknown, and never sent again
        log.exception("order=%s bot=%s outcome unknown", permit.order.pk, permit.order.bot_id)
        _unknown(permit, venue=venue, why=f"{type(error).__name__}: {error}")
    else:
        crash_point("answer read")
        _acknowledged(permit, venue=venue, answer=answer)
        crash_point("answer committed")


def claim(*, order_pk: int, venue: Venue, tenure: Tenure) -> Permit | None:
    """One transaction that decides whether this order may leave, committed before its first byte does."""
    started = time.monotonic()
    with transaction.atomic():
        risk.hold_kill_switch()
        order = (
            Order.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("account", "position", "bot", *(f"bot__{name}" for name in OWNERS_OF_LIMITS))
            .filter(pk=order_pk, status=Status.PLANNED)
            .first()
        )
        if order is None or not leases.is_current(name=tenure.name, epoch=tenure.epoch):
            return None  # another gateway came first
        now = venue.clock.now()
        if _has_lapsed(order):
            _end_unsent(order, Status.LAPSED, actor=Actor.GATEWAY, now=now, why="its time to be sent has passed")
            return None
        denial = _denial(order)
        if denial:
            _end_unsent(order, Status.DENIED, actor=Actor.GATEWAY, now=now, why=denial)
            return None
        seconds = settings.ENTRY_PERMIT_S if order.purpose == Purpose.ENTRY else settings.EXIT_PERMIT_S
        send = OrderSend.objects.create(
            order=order,
            send_no=order.sends.count() + 1,
            gateway=tenure.holder,
            gateway_epoch=tenure.epoch,
            permit_until=Now() + timedelta(seconds=seconds),
        )
        orders.move(order, Status.SUBMITTING, actor=Actor.GATEWAY, now=now, evidence={"send": send.send_no})
        crash_point("claim written")
    # Recorded market time does not run out while we work; a slow machine must not change a replay.
    return Permit(order=order, send=send, deadline=math.inf if Mode(order.mode).is_recorded else started + seconds)


def settle(*, order_pk: int, venue: Venue, tenure: Tenure) -> None:
    """Ask the exchange what became of an order whose send is over; nothing is ever sent from here."""
    order = Order.objects.select_related("bot", "account").get(pk=order_pk)
    if order.status == Status.SUBMITTING and not _send_is_over(order, tenure=tenure):
        return
    try:
        answer = venue.exchange.order(symbol=order.symbol, client_id=order.client_id)
        crash_point("fills fetched")
        _settle(order, answer=answer, venue=venue, tenure=tenure)
    except ExchangeError as error:
        log.warning("order=%s bot=%s not settled: %s", order.pk, order.bot_id, error)
    except VOID_ANSWER:
        log.exception("order=%s bot=%s not settled: the answer cannot be booked", order.pk, order.bot_id)


def _settle(order: Order, *, answer: VenueOrder | None, venue: Venue, tenure: Tenure) -> None:
    rules = None if answer is None else _rules(answer, order=order, venue=venue)
    with transaction.atomic():
        order = _locked(order)
        if not leases.is_current(name=tenure.name, epoch=tenure.epoch):
            return
        _close_sends(order, SendResult.AMBIGUOUS, answer={"settled": answer is not None})
        if answer is not None and rules is not None:
            apply(order, answer=answer, rules=rules, now=venue.clock.now(), actor=Actor.RECONCILER)
            crash_point("fills folded")
        elif Mode(order.mode).is_recorded:
            _absent(order, now=venue.clock.now())  # a pretended exchange commits before it answers: "not found" is the truth


def apply(order: Order, *, answer: VenueOrder, rules: TradingRules, now: datetime, actor: Actor) -> None:
    """Book what the exchange says about an order, inside the caller's transaction. Booking it twice changes nothing.

    rules: of its market when the order was made, asked for before the transaction began.
    """
    mismatch = _mismatch(order, answer)
    if mismatch:
        _dispute(order, actor=actor, now=now, mismatch=mismatch)
        return
    added = positions.book(order=order, fills=answer.fills, rules=rules)
    filled = order.filled_amount + added
    after = STATUS_OF[answer.status]
    if after in CLOSED and filled < answer.filled_amount:  # its fills are still to be told: asked again, never given up
        after = Status.UNKNOWN if order.status == Status.SUBMITTING else Status(order.status)
    changes = {"filled_amount": filled, "exchange_order_id": answer.exchange_order_id}
    if after == order.status:
        Order.objects.filter(pk=order.pk).update(**changes, updated_at=now)
    else:
        evidence = {"exchange_order_id": answer.exchange_order_id, "fills": [fill.exchange_trade_id for fill in answer.fills]}
        orders.move(order, after, actor=actor, now=now, evidence=evidence, **changes)
    if order.purpose == Purpose.ENTRY and filled > 0:
        if after in CLOSED:  # until then the rest of it may still fill, and what is reserved for the rest stays at stake
            risk.convert(order_pk=order.pk)
    elif after in ENDED_UNFILLED:
        _give_back(order)
    if order.purpose != Purpose.ENTRY and after in CLOSED and order.position_id is not None:
        positions.next_exit_version(position_id=order.position_id)


def record_balances(*, account_id: int, venue: Venue, tenure: Tenure) -> None:
    """Write what the exchange says the account holds, with the time it was known. A failed read changes nothing."""
    started = time.monotonic()
    try:
        balances = venue.exchange.balances()
    except ExchangeError as error:
        log.warning("account=%s balances unknown: %s", account_id, error)
        return
    now = venue.clock.now()
    with transaction.atomic():
        # Machine time of the question, not of the answer: a fill booked since may be missing from what we were told.
        asked_at = ClockTimestamp() - timedelta(seconds=time.monotonic() - started)
        told = [
            AccountBalance(account_id=account_id, asset=item.asset, free=item.free, locked=item.locked, known_at=now, recorded_at=asked_at)
            for item in balances
        ]
        if leases.is_current(name=tenure.name, epoch=tenure.epoch):
            AccountBalance.objects.bulk_create(
                told,
                update_conflicts=True,
                unique_fields=["account", "asset"],
                update_fields=["free", "locked", "known_at", "recorded_at"],
            )


def lapse_planned(*, account_id: int, now: datetime, why: str) -> int:
    """End every order of an account that was planned but not sent. Returns how many."""
    count = 0
    for order in Order.objects.filter(account_id=account_id, status=Status.PLANNED):
        with transaction.atomic():
            _end_unsent(order, Status.LAPSED, actor=Actor.SWEEPER, now=now, why=why)
        count += 1
    return count


def _acknowledged(permit: Permit, *, venue: Venue, answer: VenueOrder) -> None:
    try:
        rules = _rules(answer, order=permit.order, venue=venue)
        with transaction.atomic():
            order = _locked(permit.order)
            _close_sends(order, SendResult.ACKNOWLEDGED, answer={"exchange_order_id": answer.exchange_order_id, "status": answer.status})
            # A successor may have settled it while the answer was on its way; then this is late news, which is booked all the same.
            actor = Actor.GATEWAY if order.status == Status.SUBMITTING else Actor.RECONCILER
            apply(order, answer=answer, rules=rules, now=venue.clock.now(), actor=actor)
            crash_point("answer booked")
    except VOID_ANSWER as error:
        log.exception("order=%s bot=%s outcome unknown: the answer cannot be booked", permit.order.pk, permit.order.bot_id)
        _unknown(permit, venue=venue, why=f"{type(error).__name__}: {error}")


def _rules(answer: VenueOrder, *, order: Order, venue: Venue) -> TradingRules:
    """The market's rules an answer is booked under: an adapter may have to ask for them, which no transaction waits for."""
    return venue.exchange.trading_rules(order.symbol, at=answer.created_at)


def _rejected(permit: Permit, *, venue: Venue, code: str, why: str) -> None:
    with transaction.atomic():
        order = _locked(permit.order)
        if order.status != Status.SUBMITTING:
            return  # a successor has settled it
        _close_sends(order, SendResult.REJECTED, answer={"code": code, "message": why})
        orders.move(order, Status.FAILED, actor=Actor.GATEWAY, now=venue.clock.now(), evidence={"code": code}, error_message=why)
        _give_back(order)
        if order.position_id is not None and order.purpose != Purpose.ENTRY:
            positions.next_exit_version(position_id=order.position_id)


def _unknown(permit: Permit, *, venue: Venue, why: str) -> None:
    with transaction.atomic():
        order = _locked(permit.order)
        if order.status != Status.SUBMITTING:
            return  # a successor has settled it
        _close_sends(order, SendResult.AMBIGUOUS, answer={"error": why})
        orders.move(order, Status.UNKNOWN, actor=Actor.GATEWAY, now=venue.clock.now(), evidence={"error": why}, error_message=why)


def _not_sent(permit: Permit, *, venue: Venue, why: str) -> None:
    """Zero bytes left: an entry lapses, since its moment is over; an exit is planned again, after its last send as another order."""
    with transaction.atomic():
        order = _locked(permit.order)
        if order.status != Status.SUBMITTING:
            return  # a successor has settled it
        _close_sends(order, SendResult.NOT_SENT, answer={"error": why})
        now = venue.clock.now()
        if order.purpose == Purpose.ENTRY or permit.send.send_no >= MOST_SENDS:
            _end_unsent(order, Status.LAPSED, actor=Actor.GATEWAY, now=now, why=why)
        else:
            orders.move(order, Status.PLANNED, actor=Actor.GATEWAY, now=now, evidence={"error": why})


def _dispute(order: Order, *, actor: Actor, now: datetime, mismatch: str) -> None:
    log.error("order=%s bot=%s disputed: %s", order.pk, order.bot_id, mismatch)
    if is_legal(Status(order.status), Status.DISPUTED, actor):  # otherwise it is disputed already, or ended and stays so
        orders.move(order, Status.DISPUTED, actor=actor, now=now, evidence={"mismatch": mismatch}, error_message=mismatch)


def _absent(order: Order, *, now: datetime) -> None:
    if order.status == Status.SUBMITTING:
        orders.move(order, Status.UNKNOWN, actor=Actor.RECONCILER, now=now, evidence={"found": "submitting after its send was over"})
    evidence = {"answer": "the exchange has no order of this client id"}
    orders.move(order, Status.ABSENT, actor=Actor.RECONCILER, now=now, evidence=evidence, error_message="It never reached the exchange.")
    _give_back(order)
    if order.position_id is not None and order.purpose != Purpose.ENTRY:
        positions.next_exit_version(position_id=order.position_id)


def _end_unsent(order: Order, after: Status, *, actor: Actor, now: datetime, why: str) -> None:
    orders.move(order, after, actor=actor, now=now, evidence={"why": why}, error_message=f"Order {order.pk} not sent: {why}.")
    _give_back(order)
    if order.position_id is not None and order.purpose != Purpose.ENTRY:
        positions.next_exit_version(position_id=order.position_id)


def _give_back(order: Order) -> None:
    if order.purpose == Purpose.ENTRY and order.filled_amount == 0:
        risk.release(order_pk=order.pk)


def _close_sends(order: Order, result: SendResult, *, answer: dict[str, object]) -> None:
    OrderSend.objects.filter(order=order, result=SendResult.CLAIMED).update(result=result, answer=answer)


def _holds(tenure: Tenure) -> bool:
    with transaction.atomic():
        return leases.is_current(name=tenure.name, epoch=tenure.epoch)


def _locked(order: Order) -> Order:
    return Order.objects.select_for_update(of=("self",)).select_related("bot", "account", "position").get(pk=order.pk)


def _has_lapsed(order: Order) -> bool:
    return order.valid_until is not None and machine_now() > order.valid_until


def _denial(order: Order) -> str:
    """Why this order may not leave, or an empty text. Entries need everything in order; exits only a level below freeze."""
    account: ExchangeAccount = order.account
    level = risk_selectors.kill_level(
        bot_id=order.bot_id, account_id=order.account_id, user_id=order.user_id, exchange=account.exchange, symbol=order.symbol
    )
    if level >= (KillLevel.NO_OPEN if order.purpose == Purpose.ENTRY else KillLevel.FREEZE):
        return f"the kill switch is at level {level}"
    if order.purpose != Purpose.ENTRY:
        held = order.position.amount if order.position else 0
        return (
            "" if order.side == Side.SELL and order.amount is not None and order.amount <= held else f"only {held} is left of its position"
        )
    return _entry_denial(order)


def _entry_denial(order: Order) -> str:
    if not order.bot.is_running:
        return "its bot has been stopped"
    refusal = (
        credentials.why_no_entries(order.account_id)
        or price_alarms.why_no_entries(exchange=order.account.exchange, symbol=order.symbol)
        or _refused_by_settings(order)
    )
    if refusal:
        return refusal
    if Order.objects.maybe_sent().filter(bot_id=order.bot_id).exists():
        return "another order of its bot may be at the exchange without our knowing"
    if not Reservation.objects.filter(order_id=order.pk, status=ReservationStatus.HELD).exists():
        return "nothing is reserved for it"
    return entry_limits.refusal(order)


def _refused_by_settings(order: Order) -> str:
    """What the settings of this moment say against an entry that was planned under those of its cycle: the tighter hold."""
    try:
        rules = config.current()
    except BadInput as error:  # unknown settings block entries, and nothing else
        return str(error).rstrip(".")
    blocking = switches.blocking(order.bot, settings=rules)
    if blocking:
        return blocking[0].message.rstrip(".")
    if order.mode == Mode.REPLAY:
        return ""  # a replay keeps the caps of its cycle, whatever is edited while it runs
    is_krw = order.account.quote_currency == "KRW"  # another currency was capped through its rate when it was planned
    if is_krw and order.quote_amount is not None and order.quote_amount > rules.max_trade_amount_krw:
        return f"{order.quote_amount:f} KRW is over the {rules.max_trade_amount_krw:f} KRW of max_trade_amount_krw"
    return ""


def _send_is_over(order: Order, *, tenure: Tenure) -> bool:
    """Whether nobody can still be writing: the sender lost its lease, or its permit and the time-out have passed."""
    send = order.sends.order_by("-send_no").first()
    if send is None or send.gateway_epoch != tenure.epoch:
        return True
    return machine_now() > send.permit_until + timedelta(seconds=settings.SUBMIT_TIMEOUT_S)


def _mismatch(order: Order, answer: VenueOrder) -> str:
    """What an answer says that we did not ask for, or an empty text."""
    asked: dict[str, object] = {"client id": order.client_id, "symbol": order.symbol, "side": order.side}
    told: dict[str, object] = {"client id": answer.client_id, "symbol": answer.symbol, "side": answer.side.value}
    fills = {fill.exchange_trade_id: fill for fill in answer.fills}.values()
    filled = sum((fill.amount for fill in fills), Decimal(0))
    spent = sum((fill.price * fill.amount for fill in fills), Decimal(0))
    for name, size, size_told, taken in (
        ("amount", order.amount, answer.amount, filled),
        ("amount in quote", order.quote_amount, answer.quote_amount, spent),
    ):
        if size is not None:
            # A size the answer leaves out is as asked; more filled than asked for is another size.
            asked[name], told[name] = size, max(size, taken) if size_told is None or size_told == size else size_told
    wrong = [f"{name} {told[name]!r} instead of {asked[name]!r}" for name in asked if asked[name] != told[name]]
    return "the exchange answered with " + ", ".join(wrong) if wrong else ""
