"""The gateway: the only code that sends orders. It runs the order path of `trading.domain.order_path` over PostgreSQL.

claim (one transaction: lease, validity, kill switch, reservation, send row; committed)
  → one request → book the answer (one transaction) → or `unknown`, which only the exchange can end
"""

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder
from dgbot.core.crash import crash_point
from dgbot.core.errors import ExchangeError
from trading.domain.lifecycle import Actor, Status
from trading.domain.order_path import claiming
from trading.domain.order_path.procedure import OrderPath
from trading.domain.order_path.values import Change, OrderFacts, Permit, Tenure, Waits
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, Order
from trading.services import credentials, leases, margins, verdict_journal
from trading.services.order_store import DatabaseStore

log = logging.getLogger(__name__)

__all__ = ["Permit", "Tenure"]  # the words of this module, defined where they need no database


def lease_name(account_id: int) -> str:
    """Name of the lease that lets a gateway send for this account."""
    return f"gateway:{account_id}"


def take_account(account_id: int) -> Tenure | None:
    """Take or renew the right to send for an account; None while another gateway has it."""
    name = lease_name(account_id)
    epoch = leases.acquire(name=name, seconds=settings.LEASE_S)
    crash_point("lease taken")
    return Tenure(name=name, epoch=epoch, holder=holder()) if epoch is not None else None


def give_back(tenure: Tenure) -> None:
    """End the right to send, so that the next gateway need not wait for it to run out."""
    leases.release(name=tenure.name, holder=tenure.holder)


def path(*, venue: Venue, tenure: Tenure) -> OrderPath:
    """The order path of one account, with what it needs of this process."""
    account_id = int(tenure.name.partition(":")[2])
    return OrderPath(
        store=DatabaseStore(),
        market=venue.exchange,
        clock=venue.clock,
        monotonic=time.monotonic,
        tenure=tenure,
        waits=waits(),
        mark=crash_point,
        on_key_refused=lambda why: credentials.doubt(account_id=account_id, why=why),
        on_unbooked=lambda permit, outcome: verdict_journal.keep(account_id, permit, outcome),
    )


def waits() -> Waits:
    """The waits of the settings."""
    return Waits(
        entry_permit_s=settings.ENTRY_PERMIT_S,
        exit_permit_s=settings.EXIT_PERMIT_S,
        submit_timeout_s=settings.SUBMIT_TIMEOUT_S,
        abandoned_after_s=settings.ABANDONED_AFTER_S,
        visible_within_s=settings.VISIBLE_WITHIN_S,
        dispute_after_s=settings.DISPUTE_AFTER_S,
        cancel_again_s=settings.CANCEL_AGAIN_S,
    )


def step(*, account_id: int, venue: Venue, tenure: Tenure) -> list[int]:
    """Settle what is unclear, send what is planned, write down the balances. Returns the orders touched, by primary key."""
    touched = settle_and_send(account_id=account_id, venue=venue, tenure=tenure)
    record_balances(account_id=account_id, venue=venue, tenure=tenure)
    return touched


def settle_and_send(*, account_id: int, venue: Venue, tenure: Tenure, is_hurried: bool = False) -> list[int]:
    """Settle what is unclear and send what is planned. Returns the orders looked at, by primary key.

    is_hurried: the exchange has news, so orders are asked about before their time.
    """
    acting = path(venue=venue, tenure=tenure)
    if not venue.mode.is_recorded:  # in recorded time an order is absent at once, and nothing is held for it
        acting.store.release_absent(account_id, tenure=tenure)
    if venue.exchange.capabilities.leverage:
        margins.confirm_planned(account_id, exchange=venue.exchange)
    return acting.settle_and_send(account_id, is_hurried=is_hurried)


def submit(*, order_pk: int, venue: Venue, tenure: Tenure) -> None:
    """Send a planned order at most once; harmless to call again, and after a crash."""
    path(venue=venue, tenure=tenure).submit(order_pk)


def claim(*, order_pk: int, venue: Venue, tenure: Tenure) -> Permit | None:
    """One transaction that decides whether this order may leave, committed before its first byte does."""
    return path(venue=venue, tenure=tenure).claim(order_pk)


def send(permit: Permit, *, venue: Venue, tenure: Tenure) -> None:
    """Write a claimed order to the exchange, unless permit or account were lost since, and book what it answers."""
    path(venue=venue, tenure=tenure).send(permit)


def settle(*, order_pk: int, venue: Venue, tenure: Tenure) -> None:
    """Ask the exchange what became of an order whose send is over."""
    path(venue=venue, tenure=tenure).settle(order_pk)


def cancel(*, order_pk: int, venue: Venue, tenure: Tenure, reason: str) -> None:
    """Ask the exchange now to cancel an order. Elsewhere than in the gateway: `orders.request_cancel`."""
    acting = path(venue=venue, tenure=tenure)
    acting.wish_cancel(order_pk, reason=reason)
    acting.cancel(order_pk)


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

    def decide(facts: OrderFacts) -> Change | None:
        return claiming.ended_unsent(facts, Status.LAPSED, actor=Actor.SWEEPER, why=why) if facts.status is Status.PLANNED else None

    planned = list(Order.objects.filter(account_id=account_id, status=Status.PLANNED).values_list("pk", flat=True))
    return sum(DatabaseStore().change(pk, tenure=None, now=now, decide=decide) is not None for pk in planned)
