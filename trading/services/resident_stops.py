"""Stops that rest at an exchange, kept by the gateway, which alone signs. Each is a committed row before it is asked for.

Bitget keeps one over every position of ours, sized to it: a machine of ours that dies leaves nothing uncovered.
"""

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core import client_id
from dgbot.core.errors import ExchangeError, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown
from dgbot.core.types import Mode, Purpose, Side, StopRequest, VenueStop
from trading.domain.resident_stops import Kept, Step, Verdict, next_step
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount, KeptBy, Order, Position, ProtectiveStop, StopState
from trading.models.stops import HOLDING
from trading.services import orders, sales

log = logging.getLogger(__name__)

EXIT_REASON = "unprotected"
READ_AGAIN_S = 10.0  # a stop that was seen is read back so often
NAKED = """
SELECT extract(epoch FROM clock_timestamp() - coalesce(
    (SELECT max(covered_until) FROM protective_stops WHERE position_id = %(pk)s AND kept_by = 'exchange'),
    (SELECT min(recorded_at) FROM trades WHERE position_id = %(pk)s), clock_timestamp()))
"""


def tend(account: ExchangeAccount, *, venue: Venue) -> None:
    """Bring the stops of an account to what its positions need, one step each. Does nothing where stops cannot rest."""
    if not venue.exchange.capabilities.resident_stops:
        return
    for position in Position.objects.open().filter(account=account, amount__gt=0, stop_price__isnull=False).select_related("bot__account"):
        stop_price = position.current_stop
        if stop_price is not None and _is_due(position, trigger_price=stop_price) and not sales.is_frozen(position):
            _tend(position, stop_price=stop_price, venue=venue)
    for row in _rows(account).filter(state__in=HOLDING, position__closed_at__isnull=False).select_related("position"):
        _take_away(row, venue=venue, becomes=StopState.ENDED)


def _tend(position: Position, *, stop_price: Decimal, venue: Venue) -> None:
    try:
        listed = {stop.client_id: stop for stop in venue.exchange.stops(position.symbol) if stop.client_id}
    except ExchangeError as error:
        log.warning("position=%s stops unknown: %s", position.pk, error)
        return
    rows = list(_rows(position.account).filter(Q(state__in=HOLDING) | Q(state=StopState.FAILED), position=position).order_by("-version"))
    now = machine_now()
    kept = [_kept(row, now=now) for row in rows]
    verdict = next_step(trigger_price=stop_price, amount=position.amount, kept=kept, seen=frozenset(listed), naked_s=_naked_s(position))
    _note_failures(rows, verdict)
    match verdict.step:
        case Step.HOLD:
            _confirm(rows, listed=listed, verdict=verdict, venue=venue, position=position)
        case Step.PLACE if _has_fired(rows, listed=listed, position=position, venue=venue):
            log.warning("position=%s bot=%s its stop is gone and so is what it covered", position.pk, position.bot_id)
        case Step.PLACE:
            _place(_new_row(position, trigger_price=stop_price), position=position, venue=venue)
        case Step.LEAVE:
            _leave(position, venue=venue)


def _has_fired(rows: Sequence[ProtectiveStop], *, listed: dict[str, VenueStop], position: Position, venue: Venue) -> bool:
    """Whether a stop that was seen has gone together with what it covered: reconciliation tells what it sold, and nothing is left."""
    if not any(row.covered_until is not None and row.client_id not in listed for row in rows):
        return False
    try:
        held = sum(one.amount for one in venue.exchange.positions() if one.symbol == position.symbol)
    except ExchangeError as error:
        log.warning("position=%s what is held is unknown, so another stop is asked for: %s", position.pk, error)
        return False
    return held < position.amount


def _confirm(rows: Sequence[ProtectiveStop], *, listed: dict[str, VenueStop], verdict: Verdict, venue: Venue, position: Position) -> None:
    """It is seen at the exchange: it holds from now on, and those it takes the place of go."""
    for row in rows:
        if row.client_id in verdict.surplus:
            _take_away(row, venue=venue, becomes=StopState.REPLACED)
        elif row.client_id in listed:
            _hold(row, stop=listed[row.client_id], naked_s=_naked_s(position))


def _place(row: ProtectiveStop, *, position: Position, venue: Venue) -> None:
    request = StopRequest(
        client_id=row.client_id, symbol=position.symbol, side=Side.SELL, trigger_price=row.trigger_price, amount=row.covered_amount
    )
    try:
        stop = venue.exchange.place_stop(request)
    except ExchangeUnavailable as error:
        _fail(row, why=str(error), asked=False)
    except ExchangeRejected as error:
        log.error("position=%s bot=%s stop refused: %s", position.pk, position.bot_id, error)
        _fail(row, why=str(error), asked=True)
    except OutcomeUnknown as error:
        log.warning("position=%s bot=%s stop not seen yet: %s", position.pk, position.bot_id, error)
    else:
        _hold(row, stop=stop, naked_s=_naked_s(position))


def _leave(position: Position, *, venue: Venue) -> None:
    """Sell it now, reduce-only, under the key of every exit: what cannot be protected is not kept."""
    if Order.objects.filter(bot_id=position.bot_id, decision_key=orders.exit_key(position)).exists():
        return
    log.error("position=%s bot=%s cannot be protected at the exchange and is sold", position.pk, position.bot_id)
    orders.plan_exit(position=position, reason=EXIT_REASON, now=venue.clock.now(), purpose=Purpose.EMERGENCY)


def _take_away(row: ProtectiveStop, *, venue: Venue, becomes: StopState) -> None:
    """Cancel it at the exchange if it is there; one that fired or was cancelled by its position's end is gone already."""
    try:
        if row.exchange_stop_id:
            venue.exchange.cancel_stop(symbol=row.position.symbol, exchange_stop_id=row.exchange_stop_id)
    except ExchangeError as error:
        log.warning("position=%s stop %s not cancelled yet: %s", row.position_id, row.exchange_stop_id, error)
        return
    ProtectiveStop.objects.filter(pk=row.pk).update(state=becomes)


def _kept(row: ProtectiveStop, *, now: datetime) -> Kept:
    return Kept(
        client_id=row.client_id,
        trigger_price=row.trigger_price,
        amount=row.covered_amount,
        asked_s=None if row.asked_at is None else (now - row.asked_at).total_seconds(),
        has_failed=row.state == StopState.FAILED,
        was_seen=row.covered_until is not None,
    )


@transaction.atomic
def _new_row(position: Position, *, trigger_price: Decimal) -> ProtectiveStop:
    """The next version, committed before the exchange is asked. It takes its number while the position stands still."""
    Position.objects.select_for_update().get(pk=position.pk)
    last = ProtectiveStop.objects.filter(position=position).aggregate(last=Max("version"))["last"] or 0
    identifier = client_id.make(
        mode=Mode(position.mode), deployment=settings.DEPLOYMENT, bot_id=position.bot_id, random_bits=secrets.randbits(client_id.ORDER_BITS)
    )
    return ProtectiveStop.objects.create(
        position=position,
        bot_id=position.bot_id,
        account_id=position.account_id,
        user_id=position.user_id,
        mode=position.mode,
        version=last + 1,
        kept_by=KeptBy.EXCHANGE,
        trigger_price=trigger_price,
        covered_amount=position.amount,
        client_id=identifier,
        asked_at=machine_now(),
    )


def _hold(row: ProtectiveStop, *, stop: VenueStop, naked_s: float) -> None:
    """Seen: covered until now. What went before without cover is counted once, when it begins to hold."""
    naked = {} if row.state == StopState.LIVE else {"naked_ms": max(0, round(naked_s * 1000))}
    ProtectiveStop.objects.filter(pk=row.pk).update(
        state=StopState.LIVE, exchange_stop_id=stop.exchange_stop_id, covered_until=ClockTimestamp(), **naked
    )


def _fail(row: ProtectiveStop, *, why: str, asked: bool) -> None:
    """Refused, or certainly not sent: the latter is no failure of the exchange's, and is tried again."""
    if asked:
        ProtectiveStop.objects.filter(pk=row.pk).update(state=StopState.FAILED, error_message=why)
    else:
        ProtectiveStop.objects.filter(pk=row.pk).update(state=StopState.ENDED, error_message=why)


def _note_failures(rows: Sequence[ProtectiveStop], verdict: Verdict) -> None:
    """Never seen within their time. One that appears later is a surplus: it is listed under a client id of ours."""
    lost = [row.pk for row in rows if row.client_id in verdict.failed]
    if lost:
        ProtectiveStop.objects.filter(pk__in=lost).update(state=StopState.FAILED, error_message="The exchange never listed it.")


def _rows(account: ExchangeAccount) -> QuerySet[ProtectiveStop]:
    return ProtectiveStop.objects.filter(account=account, kept_by=KeptBy.EXCHANGE)


def _is_due(position: Position, *, trigger_price: Decimal) -> bool:
    """Whether something is to be looked at: another stop is wanted, none is live, or the live one was read back a while ago."""
    live = ProtectiveStop.objects.filter(
        position=position,
        kept_by=KeptBy.EXCHANGE,
        state=StopState.LIVE,
        trigger_price=trigger_price,
        covered_amount=position.amount,
    )
    newest = live.values_list("covered_until", flat=True).first()
    return newest is None or (machine_now() - newest).total_seconds() >= READ_AGAIN_S


def _naked_s(position: Position) -> float:
    with connection.cursor() as cursor:
        cursor.execute(NAKED, {"pk": position.pk})
        return float(cursor.fetchone()[0])
