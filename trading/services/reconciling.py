"""Reconciling one account: read it, book what is news, compare the sums, block entries where they differ. Nothing is ever made up.

Fills of our orders go the order path's way, order by order; what others did, payments and the watermark are one transaction.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction

from dgbot.base.machine import machine_now
from dgbot.core.errors import DgbotError, ExchangeError
from dgbot.core.types import VenueOrder
from trading.domain import reconcile
from trading.domain.order_path.ports import CannotBook
from trading.domain.order_path.values import Tenure
from trading.domain.reconcile import COIN_TICK, Difference, News, Reading, Scope, Verdict
from trading.exchanges.venue import Venue
from trading.models import ExchangeAccount, ExternalOrder, LedgerEntry, ReconcileRun, Stream, Watermark
from trading.selectors import ledger as ledger_selectors
from trading.services import account_breaks, gateway, leases, ledger, recovering
from trading.services.account_books import AccountBooks

log = logging.getLogger(__name__)

OF_BOTS = "{} (bots)"  # subject of the break "bots hold more than their account has"
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DgbotError)
RUNS_KEPT = timedelta(days=7)


@dataclass
class Booked:
    """What a run has added to the books."""

    orders: int = 0
    recovered: int = 0
    fired_stops: int = 0
    external_fills: int = 0
    payments: int = 0
    failures: list[str] = field(default_factory=list)

    def as_row(self) -> dict[str, int]:
        """For the run's row; without what did not happen."""
        named = {
            "orders": self.orders, "recovered": self.recovered, "fired_stops": self.fired_stops,
            "external_fills": self.external_fills, "payments": self.payments,
        }  # fmt: skip
        return {name: count for name, count in named.items() if count}


def run(*, account: ExchangeAccount, venue: Venue, tenure: Tenure, scope: Scope) -> ReconcileRun:
    """One run. A question without an answer makes it void; then nothing is concluded and no watermark moves."""
    started = time.monotonic()
    books = AccountBooks(account.pk, venue.clock)
    try:
        reading = reconcile.read(venue.exchange, books, scope=scope)
    except ExchangeError as error:
        log.warning("account=%s reconciliation void: %s", account.pk, error)
        return _kept(_run(account, tenure, scope, verdict=Verdict.VOID, cause=str(error)), started)
    except UNREADABLE as error:
        log.exception("account=%s reconciliation void: the answer cannot be read", account.pk)
        return _kept(_run(account, tenure, scope, verdict=Verdict.VOID, cause=f"{type(error).__name__}: {error}"), started)
    booked = Booked()
    news = _news(reading, books, account=account)
    others = [*news.foreign, *_book_ours(news, account=account, venue=venue, tenure=tenure, booked=booked)]
    with transaction.atomic():
        if not leases.is_current(name=tenure.name, epoch=tenure.epoch):
            return _run(account, tenure, scope, verdict=Verdict.VOID, cause="another gateway has taken the account")
        _book_others(others, reading, account=account, booked=booked)
        verdict, cause = _verdict(reading, booked)
        made = _run(account, tenure, scope, verdict=verdict, cause=cause, booked=booked.as_row(), market_at=reading.began_at)
        if not booked.failures:
            _move_watermarks(account, reading)
        if verdict is Verdict.STABLE:
            found = _compare(reading, books, account=account)
            made.differences = [str(one) for one in found]
            account_breaks.judge(found, account=account)
        return _kept(made, started)


def last_full_age_s(account_id: int) -> float | None:
    """Seconds of machine time since the last stable run over the whole week; None: never."""
    newest = ReconcileRun.objects.filter(account_id=account_id, scope=Scope.FULL, verdict=Verdict.STABLE).order_by("-pk").first()
    return None if newest is None else (machine_now() - newest.recorded_at).total_seconds()


# --- Booking ---


def _news(reading: Reading, books: AccountBooks, *, account: ExchangeAccount) -> News:
    client_ids = [order.client_id for order in reading.orders if order.client_id]
    return reconcile.news_of(
        reading,
        ours=books.ours(reading.orders),
        booked=books.booked(order.exchange_order_id for order in reading.orders),
        is_our_id={text: recovering.is_our_id(text, account=account) for text in client_ids},
    )


def _book_ours(news: News, *, account: ExchangeAccount, venue: Venue, tenure: Tenure, booked: Booked) -> list[VenueOrder]:
    """Returns what might have been ours and fits no bot: it counts as somebody else's."""
    unadopted = []
    path = gateway.path(venue=venue, tenure=tenure)

    def hear(order_pk: int, answer: VenueOrder) -> bool:
        try:
            path.hear(order_pk, answer)
        except (CannotBook, *UNREADABLE) as error:
            log.warning("account=%s order=%s what the exchange tells cannot be booked", account.pk, order_pk, exc_info=True)
            booked.failures.append(f"order {order_pk} cannot be booked: {error}")
            return False
        return True

    for order_pk, answer in news.ours:
        booked.orders += hear(order_pk, answer)
    for answer in news.fired:
        order = recovering.adopt_fired_stop(answer, account=account, tenure=tenure, now=venue.clock.now())
        if order is None:
            unadopted.append(answer)
        elif hear(order.pk, reconcile.under_our_id(answer, client_id=order.client_id)):
            booked.fired_stops += 1
    for answer in news.lost:
        order = recovering.adopt(answer, account=account, tenure=tenure, now=venue.clock.now())
        if order is None:
            unadopted.append(answer)
        elif hear(order.pk, answer):
            booked.recovered += 1
        account_breaks.block_for(answer, account=account, is_adopted=order is not None)
    return unadopted


def _book_others(others: Sequence[VenueOrder], reading: Reading, *, account: ExchangeAccount, booked: Booked) -> None:
    """Others' orders, their fills and all payments, inside the run's transaction. What came before the opening is part of it."""
    opening = LedgerEntry.objects.filter(account=account, source_kind="opening").order_by("pk").first()
    opened_at = reading.began_at if opening is None else opening.created_at
    for order in others:
        ExternalOrder.objects.update_or_create(
            account=account,
            exchange_order_id=order.exchange_order_id,
            defaults={
                "client_id": order.client_id or "",
                "symbol": order.symbol,
                "side": order.side.value,
                "status": order.status.value,
                "is_resting": order.status in reconcile.RESTING,
                "filled_amount": sum((fill.amount for fill in order.fills), reconcile.NOTHING) if order.fills else _known(order, account),
                "created_at": order.created_at,
            },
        )
        fills = [fill for fill in order.fills if fill.executed_at >= opened_at]
        if fills:
            booked.external_fills += len(ledger.book_external(account=account, fills=fills, is_forced=order.is_forced))
    booked.payments = ledger.book_flows(account=account, flows=[flow for flow in reading.flows if flow.at >= opened_at])


def _known(order: VenueOrder, account: ExchangeAccount) -> Any:
    """What is booked of an order whose fills were not told this time."""
    row = ExternalOrder.objects.filter(account=account, exchange_order_id=order.exchange_order_id).first()
    return reconcile.NOTHING if row is None else row.filled_amount


def _move_watermarks(account: ExchangeAccount, reading: Reading) -> None:
    if reading.scope >= Scope.FILLS:
        for stream in Stream:
            Watermark.objects.update_or_create(account=account, stream=stream, defaults={"read_until": reading.began_at})


# --- The verdict ---


def _verdict(reading: Reading, booked: Booked) -> tuple[Verdict, str]:
    if booked.failures:
        return Verdict.UNSTABLE, "; ".join(booked.failures)
    if not reading.is_stable:
        return Verdict.UNSTABLE, f"the account moved during each of {reconcile.MOST_READINGS} readings"
    return (Verdict.STABLE if reading.scope >= Scope.BALANCES else Verdict.READ), ""


def _compare(reading: Reading, books: AccountBooks, *, account: ExchangeAccount) -> list[Difference]:
    told = reconcile.told_holdings(reading, quote=account.quote_currency)
    ledger.open_balances(account=account, told=told, at=reading.began_at)
    found = reconcile.differences(told=told, booked=ledger_selectors.holdings(account_id=account.pk), positions=reading.positions)
    over = (
        Difference(OF_BOTS.format(asset), told.get(asset, reconcile.NOTHING), amount)
        for asset, amount in books.inventory().items()
        if amount - told.get(asset, reconcile.NOTHING) > COIN_TICK
    )
    return [*found, *over]


# --- Its row ---


def _run(account: ExchangeAccount, tenure: Tenure, scope: Scope, *, verdict: Verdict, **columns: Any) -> ReconcileRun:
    return ReconcileRun(account=account, scope=scope.value, verdict=verdict.value, gateway_epoch=tenure.epoch, duration_ms=0, **columns)


def _kept(made: ReconcileRun, started: float) -> ReconcileRun:
    """Keep the run's row, unless it read a part and found nothing; after a whole one clear away the old."""
    made.duration_ms = round((time.monotonic() - started) * 1000)
    if made.verdict != Verdict.READ or made.booked:
        made.save()
    if made.scope == Scope.FULL:
        old = ReconcileRun.objects.filter(account_id=made.account_id, recorded_at__lt=machine_now() - RUNS_KEPT, differences=[], booked={})
        old.delete()
    return made
