"""Orders of ours at the exchange that no row tells of: the books were set back, a row was lost, or a stop that rested there has fired.

The row is made from what the exchange tells, so that its fills reach the bot they belong to.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from dgbot.core import client_id
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode, OrderRequest, Purpose, Side, VenueOrder
from risk.domain.exits import ExitReason
from trading.domain import reconcile
from trading.domain.lifecycle import Actor, Status
from trading.domain.order_path.requests import hash_of
from trading.domain.order_path.values import SendResult, Tenure
from trading.models import Bot, ExchangeAccount, KeptBy, Order, OrderEvent, OrderSend, Position, ProtectiveStop, StopState
from trading.selectors.limits import effective, profile_of
from trading.services import config, orders

log = logging.getLogger(__name__)


def is_our_id(text: str, *, account: ExchangeAccount) -> bool:
    """Whether this installation gave a client id in this account's mode."""
    told = client_id.parse(text)
    return told is not None and told.deployment == settings.DEPLOYMENT and told.mode is Mode(account.mode)


def adopt(answer: VenueOrder, *, account: ExchangeAccount, tenure: Tenure, now: datetime) -> Order | None:
    """Make the lost row, unclear and ready to be told of; None when no bot of this account fits it."""
    told = client_id.parse(answer.client_id or "")
    bot = None if told is None else Bot.objects.filter(pk=told.bot_id, account=account, symbol=answer.symbol).first()
    if bot is None:
        return None
    held = Position.objects.open().filter(bot=bot, symbol=answer.symbol).first()
    lost = Origin(bot, f"recovered:{answer.client_id}", exit_reason="recovered", evidence={"recovered": answer.exchange_order_id})
    return _adopted(answer, origin=lost, held=held, tenure=tenure, now=now)


def adopt_fired_stop(answer: VenueOrder, *, account: ExchangeAccount, tenure: Tenure, now: datetime) -> Order | None:
    """Make the row of what a stop of ours has sent; None when it fits no single open position that had a stop at the exchange.

    It takes the client id of that stop, which no order has had: the one the exchange gave it is in the evidence.
    """
    stops = ProtectiveStop.objects.filter(
        account=account, kept_by=KeptBy.EXCHANGE, position__symbol=answer.symbol, position__closed_at=None, position__amount__gt=0
    )
    unused = stops.exclude(client_id__in=Order.objects.filter(account=account).values("client_id"))
    rows = list(unused.exclude(state=StopState.FAILED, covered_until=None).select_related("position", "bot__account").order_by("-version"))
    if answer.side is not Side.SELL or len({row.position_id for row in rows}) != 1:
        return None
    stop, held = rows[0], rows[0].position
    reason = ExitReason.STOP if held.trailing_stop_price is None else ExitReason.TRAILING
    evidence = {"fired_stop": stop.exchange_stop_id, "exchange_order_id": answer.exchange_order_id, "client_id": answer.client_id}
    fired = Origin(stop.bot, f"fired:{stop.client_id}", exit_reason=reason.value, evidence=evidence)
    return _adopted(reconcile.under_our_id(answer, client_id=stop.client_id), origin=fired, held=held, tenure=tenure, now=now)


@dataclass(frozen=True)
class Origin:
    """Where an order comes from that has no row: whose it is, and what its events are to say."""

    bot: Bot
    decision_key: str
    exit_reason: str
    evidence: dict[str, Any]


def _adopted(answer: VenueOrder, *, origin: Origin, held: Position | None, tenure: Tenure, now: datetime) -> Order | None:
    try:
        with transaction.atomic():
            return _made_anew(answer, origin=origin, held=held, tenure=tenure, now=now)
    except (DatabaseError, BadInput, LookupError) as error:
        log.error(
            "account=%s bot=%s order %s was not adopted: %s",
            origin.bot.account_id,
            origin.bot.pk,
            answer.exchange_order_id,
            error,
        )
        return None


def _made_anew(answer: VenueOrder, *, origin: Origin, held: Position | None, tenure: Tenure, now: datetime) -> Order:
    bot = origin.bot
    purpose = Purpose.ENTRY if answer.side is Side.BUY else Purpose.EXIT
    if purpose is Purpose.EXIT and held is None:
        raise LookupError("it sells, and its bot has no open position")
    request = _request(answer, purpose=purpose)
    order = Order(
        bot=bot,
        account_id=bot.account_id,
        user_id=bot.user_id,
        mode=bot.mode,
        position=held if purpose is Purpose.EXIT else None,
        decision_key=origin.decision_key,
        purpose=purpose.value,
        exit_reason="" if purpose is Purpose.ENTRY else origin.exit_reason,
        client_id=request.client_id,
        symbol=answer.symbol,
        side=answer.side.value,
        order_type=answer.order_type.value,
        price=answer.price,
        amount=answer.amount if answer.quote_amount is None else None,
        quote_amount=answer.quote_amount,
        reduce_only=purpose is not Purpose.ENTRY,
        params_hash=hash_of(request),
        plan=_plan(bot) if purpose is Purpose.ENTRY else {},
        lease_epoch=tenure.epoch,
        created_at=answer.created_at,
        updated_at=now,
    )
    order.save(force_insert=True)
    evidence = origin.evidence
    OrderEvent.objects.create(
        order=order, seq=1, from_status="", to_status=Status.PLANNED.value, actor=Actor.PLANNER.value, evidence=evidence, created_at=now
    )
    OrderSend.objects.create(
        order=order,
        send_no=1,
        gateway=tenure.holder,
        gateway_epoch=tenure.epoch,
        permit_until=Now(),
        result=SendResult.AMBIGUOUS.value,
        answer=evidence,
    )
    orders.move(order, Status.SUBMITTING, actor=Actor.GATEWAY, now=now, evidence=evidence)
    orders.move(order, Status.UNKNOWN, actor=Actor.GATEWAY, now=now, evidence=evidence)
    return order


def _request(answer: VenueOrder, *, purpose: Purpose) -> OrderRequest:
    assert answer.client_id is not None  # it was found by it
    return OrderRequest(
        client_id=answer.client_id,
        symbol=answer.symbol,
        side=answer.side,
        order_type=answer.order_type,
        amount=answer.amount if answer.quote_amount is None else None,
        quote_amount=answer.quote_amount,
        price=answer.price,
        reduce_only=purpose is not Purpose.ENTRY,
    )


def _plan(bot: Bot) -> dict[str, Any]:
    """Stop and target of the bot's profile: what the strategy wanted is gone with the row."""
    profile = profile_of(bot, settings=config.current())
    limits = effective(bot, profile=profile)
    stop_fraction = profile.stop_fraction if limits.stop_fraction is None else limits.stop_fraction
    return {"stop_fraction": str(stop_fraction), "target_fraction": str(profile.target_fraction), "recovered": True}
