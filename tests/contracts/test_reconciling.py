"""Reconciling an account against a pretended exchange whose answers are tampered with on the wire."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from dgbot.core import client_id
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.types import Balance, Mode, OrderType, Side, VenueFill, VenueOrder, VenueOrderStatus
from tests import factories
from tests.factories import PRICE, SLOT, World, execute, planned_entry, planned_exit, world
from trading.domain.lifecycle import Status
from trading.domain.reconcile import Scope, Verdict
from trading.models import ExternalOrder, LedgerEntry, Order, ReconcileBreak, ReconcileRun, Trade, Watermark
from trading.selectors import ledger as selectors
from trading.services import account_breaks, books_check, ledger, reconciling

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def short_waits(settings: Any) -> None:
    """Two runs are far enough apart as soon as they are two."""
    settings.VISIBLE_WITHIN_S = 0.0


def reconciled(w: World, scope: Scope = Scope.BALANCES) -> ReconcileRun:
    """One run."""
    return reconciling.run(account=w.bot.account, venue=w.venue, tenure=w.tenure, scope=scope)


def stable(w: World) -> ReconcileRun:
    """One run that must be stable and equal."""
    made = reconciled(w)
    assert (made.verdict, made.cause, made.differences) == (Verdict.STABLE, "", [])
    return made


def foreign(order_id: str = "theirs", *, amount: str = "0.002", name: str | None = None, **changes: Any) -> VenueOrder:
    """An order that is none of ours, filled."""
    fill = VenueFill(f"{order_id}-1", order_id, name, "KRW-BTC", Side.BUY, PRICE, D(amount), D(100), "KRW", SLOT)
    made = VenueOrder(
        order_id, name, "KRW-BTC", Side.BUY, OrderType.LIMIT, VenueOrderStatus.FILLED, D(amount), SLOT, D(amount), None, PRICE, (fill,)
    )
    return replace(made, **changes)


def also(*orders: VenueOrder) -> Callable[[Sequence[VenueOrder]], Sequence[VenueOrder]]:
    """A list with more orders than it had."""
    return lambda listed: [*listed, *orders]


def holds_more(asset: str, more: Decimal) -> Callable[[Sequence[Balance]], Sequence[Balance]]:
    """Balances with more of one asset than they had."""

    def change(told: Sequence[Balance]) -> Sequence[Balance]:
        held = {one.asset: one for one in told}
        one = held.get(asset, Balance(asset, D(0), D(0)))
        return [*(other for other in told if other.asset != asset), replace(one, free=one.free + more)]

    return change


def denied(w: World, hours: int) -> str:
    """Why an entry of another slot is not sent, or its status."""
    order = w.fill(planned_entry(w.bot, slot=SLOT + timedelta(hours=hours)))
    return order.error_message or order.status


# --- Equal books ---


def test_the_first_stable_run_books_the_opening_and_later_ones_agree():
    w = world()
    stable(w)
    assert selectors.holdings(account_id=w.bot.account_id) == w.store.balances()
    bought = w.fill(planned_entry(w.bot))
    assert bought.position is not None
    stable(w)
    w.fill(planned_exit(bought.position))
    stable(w)

    assert LedgerEntry.objects.filter(source_kind="opening", book="held").count() == 1
    assert ReconcileBreak.objects.count() == 0 and Watermark.objects.count() == 2 and not books_check.differences()


def test_a_run_books_what_a_lost_answer_hid():
    w = world(mode=Mode.PAPER)
    stable(w)
    w.edge.after["place"] = lambda _answer: (_ for _ in ()).throw(TimeoutError("the answer was lost"))
    order = w.fill(planned_entry(w.bot))
    assert order.status == Status.UNKNOWN

    made = reconciled(w)
    order.refresh_from_db()
    assert order.status == Status.FILLED and made.booked == {"orders": 1} and made.differences == []
    assert Trade.objects.count() == 1


# --- Runs without a verdict ---


def test_a_question_without_an_answer_concludes_nothing_and_moves_no_watermark():
    w = world()
    stable(w)
    execute("UPDATE watermarks SET read_until = read_until - interval '1 day'")
    before = list(Watermark.objects.values_list("read_until", flat=True))
    w.edge.before["positions"] = lambda: (_ for _ in ()).throw(ExchangeUnavailable("maintenance"))
    w.edge.after["balances"] = holds_more("BTC", D(1))
    made = reconciled(w)

    assert (made.verdict, made.cause) == (Verdict.VOID, "maintenance") and not ReconcileBreak.objects.exists()
    assert list(Watermark.objects.values_list("read_until", flat=True)) == before


def test_a_smaller_reading_gives_no_verdict():
    w = world()
    stable(w)
    w.edge.after["balances"] = holds_more("BTC", D(1))

    assert reconciled(w, Scope.FILLS).verdict == Verdict.READ and not ReconcileBreak.objects.exists()


def test_a_gateway_that_lost_the_account_books_nothing():
    w = world()
    w.edge.after["closed_orders"] = also(foreign())
    execute("UPDATE leases SET expires_at = '-infinity'")

    assert reconciled(w).verdict == Verdict.VOID and not ExternalOrder.objects.exists() and not LedgerEntry.objects.exists()


# --- Differences ---


def test_a_difference_blocks_after_the_second_run_and_an_equal_run_lifts_it():
    w = world()
    stable(w)
    w.edge.after["balances"] = holds_more("BTC", D("0.5"))
    assert reconciled(w).differences == ["BTC: the exchange tells 0.5, the books say 0"]
    assert account_breaks.why_no_entries(w.bot.account_id) == ""
    reconciled(w)

    assert "BTC differs since" in account_breaks.why_no_entries(w.bot.account_id)
    assert "book it under Ledger with its reason" in denied(w, 1)
    assert Trade.objects.count() == 0 and LedgerEntry.objects.filter(asset="BTC").count() == 0
    w.edge.after.clear()
    stable(w)
    row = ReconcileBreak.objects.get()
    assert row.over_by == "reconciler" and denied(w, 2) == Status.FILLED


def test_one_run_alone_leaves_no_trace():
    w = world()
    stable(w)
    w.edge.after["balances"] = holds_more("BTC", D("0.5"))
    reconciled(w)
    w.edge.after.clear()
    stable(w)

    assert not ReconcileBreak.objects.exists()


def test_an_adjustment_lifts_the_block_and_the_next_run_is_equal():
    w = world()
    stable(w)
    w.edge.after["balances"] = holds_more("XRP", D(7))
    reconciled(w)
    reconciled(w)
    ledger.adjust(account=w.bot.account, asset="XRP", amount=D(7), by=w.bot.user, reason="airdrop", at=SLOT)

    assert account_breaks.why_no_entries(w.bot.account_id) == "" and ReconcileBreak.objects.get().over_reason == "airdrop"
    stable(w)


def test_exits_leave_while_entries_are_blocked():
    w = world()
    stable(w)
    bought = w.fill(planned_entry(w.bot))
    assert bought.position is not None
    w.edge.after["balances"] = holds_more("XRP", D(7))
    reconciled(w)
    reconciled(w)

    assert w.fill(planned_exit(bought.position)).status == Status.FILLED


def test_bots_that_hold_more_than_their_account_are_blocked():
    w = world()
    stable(w)
    w.fill(planned_entry(w.bot))
    held = w.store.balances()["BTC"]
    theirs = foreign("stranger", amount=str(held))
    sold = replace(theirs, side=Side.SELL, fills=tuple(replace(fill, side=Side.SELL) for fill in theirs.fills))
    w.edge.after["closed_orders"] = also(sold)
    w.edge.after["balances"] = lambda told: [
        replace(one, free=D(0)) if one.asset == "BTC" else replace(one, free=one.free + held * PRICE - 100) for one in told
    ]
    first = reconciled(w)

    assert first.booked == {"external_fills": 1} and len(first.differences) == 1 and first.differences[0].startswith("BTC (bots)")
    reconciled(w)
    assert "BTC (bots) differs" in account_breaks.why_no_entries(w.bot.account_id)


# --- Others' orders ---


def test_a_foreign_order_is_the_accounts_and_never_cancelled():
    w = world()
    stable(w)
    w.edge.after["closed_orders"] = also(foreign())
    w.edge.after["open_orders"] = also(foreign("resting", status=VenueOrderStatus.OPEN, filled_amount=D(0), fills=()))
    w.edge.before["cancel"] = lambda **_: (_ for _ in ()).throw(AssertionError("a foreign order was cancelled"))
    w.edge.after["balances"] = lambda told: holds_more("KRW", -(PRICE * D("0.002")) - 100)(holds_more("BTC", D("0.002"))(told))
    assert stable(w).booked == {"external_fills": 1} and stable(w).booked == {}

    trade = Trade.objects.get()
    assert (trade.order, trade.bot, trade.source) == (None, None, "external")
    assert dict(ExternalOrder.objects.values_list("exchange_order_id", "is_resting")) == {"theirs": False, "resting": True}


def test_what_others_did_before_the_opening_is_part_of_it():
    w = world()
    w.edge.after["closed_orders"] = also(foreign("old", fills=tuple(replace(one, executed_at=SLOT - SECOND) for one in foreign().fills)))
    made = reconciled(w, Scope.FULL)

    assert made.verdict == Verdict.STABLE and made.booked == {} and not Trade.objects.exists()


# --- Lost rows ---


def lost_id(w: World) -> str:
    """A client id this installation gave to an order of this bot."""
    return client_id.make(mode=Mode(w.bot.mode), deployment=settings.DEPLOYMENT, bot_id=w.bot.pk, random_bits=7)


def test_an_order_of_ours_without_a_row_is_adopted_and_a_person_must_look():
    w = world()
    stable(w)
    name = lost_id(w)
    w.edge.after["closed_orders"] = also(foreign("lost", amount="0.0005", name=name))
    w.edge.after["balances"] = lambda told: holds_more("KRW", -(PRICE * D("0.0005")) - 100)(holds_more("BTC", D("0.0005"))(told))
    made = stable(w)

    order = Order.objects.get(client_id=name)
    assert made.booked == {"recovered": 1} and order.status == Status.FILLED and order.bot == w.bot
    assert (
        order.position is not None
        and order.position.amount == D("0.0005")
        and order.position.stop_price == PRICE * (1 - D(order.plan["stop_fraction"]))
    )
    assert "under a client id of ours" in account_breaks.why_no_entries(w.bot.account_id) and not books_check.differences()
    with pytest.raises(BadInput, match="say what was found"):
        account_breaks.end_break(break_pk=ReconcileBreak.objects.get().pk, by=w.bot.user, reason=" ")
    account_breaks.end_break(break_pk=ReconcileBreak.objects.get().pk, by=w.bot.user, reason="restored from the backup of 12:00")
    stable(w)
    assert account_breaks.why_no_entries(w.bot.account_id) == ""


def test_a_lost_order_that_fits_no_bot_is_booked_as_somebody_elses():
    w = world()
    stable(w)
    w.edge.after["closed_orders"] = also(foreign("lost", name=lost_id(w), symbol="KRW-ETH", fills=()))
    reconciled(w)

    assert not Order.objects.exists() and ExternalOrder.objects.get().exchange_order_id == "lost"
    assert "no bot fits it" in account_breaks.why_no_entries(w.bot.account_id)


# --- Faces ---


def test_an_operator_sees_runs_and_lets_entries_through(client: Client):
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    w = world()
    stable(w)
    w.edge.after["balances"] = holds_more("XRP", D(7))
    reconciled(w)
    reconciled(w)
    row = ReconcileBreak.objects.get()

    assert "XRP" in client.get(reverse("admin:trading_reconcilerun_changelist")).content.decode()
    assert "XRP" in client.get(reverse("admin:trading_reconcilebreak_changelist") + "?question=blocks").content.decode()
    client.get(reverse("admin:trading_externalorder_changelist"))
    page = reverse("admin:trading_reconcilebreak_end_it", args=[row.pk])
    assert "Let entries of" in client.get(page).content.decode()
    client.post(page, {"confirmed": "yes", "reason": "a gift"})
    row.refresh_from_db()
    assert (row.over_by, row.over_reason) == ("root", "a gift")


def test_a_break_is_open_once_per_subject():
    account = factories.account()
    ReconcileBreak.objects.create(account=account, kind="difference", subject="BTC")
    with pytest.raises(DatabaseError, match="reconcile_break_once_open"), transaction.atomic():
        ReconcileBreak.objects.create(account=account, kind="difference", subject="BTC")
