"""The ledger: double entry for every fill and payment, profit as a fold over them, and a check that computes everything anew."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, transaction
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from dgbot.core.errors import BadInput
from dgbot.core.types import CashFlow, CashFlowKind, Side, VenueFill
from risk.models import Transfer
from tests import factories
from tests.contracts.test_books import book, fill
from tests.factories import PRICE, SLOT, execute, planned_entry, planned_exit, triggers_off
from trading.domain.ledger import assets_of
from trading.models import LedgerEntry, Position, Trade
from trading.selectors import ledger as selectors
from trading.services import books_check, ledger
from trading.signals import position_changed

pytestmark = pytest.mark.django_db

D = Decimal
HOUR = timedelta(hours=1)


def bought(amount: str = "0.001", *, fee: Any = 50, **changes: Any) -> Position:
    """A position of a bot that bought once."""
    order = planned_entry(factories.bot())
    book(order, [replace(fill(order, amount=D(amount), fee=D(fee)), **changes)])
    return Position.objects.get(bot=order.bot)


def sold(position: Position, amount: str, *, price: Decimal, fee: Any = 55, trade_id: str = "s1", **changes: Any) -> Position:
    """The position after a sale."""
    order = planned_exit(position)
    book(order, [replace(fill(order, amount=D(amount), price=price, trade_id=trade_id, fee=D(fee)), **changes)])
    position.refresh_from_db()
    return position


def held(position: Position) -> dict[str, Decimal]:
    """What the ledger says its account holds."""
    return selectors.holdings(account_id=position.account_id)


def foreign(trade_id: str = "f1", *, side: Side = Side.BUY, **changes: Any) -> VenueFill:
    """An execution of somebody else's order."""
    made = VenueFill(
        exchange_trade_id=trade_id,
        exchange_order_id="by hand",
        client_id=None,
        symbol="KRW-BTC",
        side=side,
        price=PRICE,
        amount=D("0.002"),
        fee=D(100),
        fee_currency="KRW",
        executed_at=SLOT,
    )
    return replace(made, **changes)


# --- Fills ---


def test_a_fill_moves_base_quote_and_fee_and_every_asset_sums_to_zero():
    position = bought()

    assert held(position) == {"BTC": D("0.001"), "KRW": D(-100_050)}
    totals = LedgerEntry.objects.values_list("asset").annotate(Sum("amount"))
    assert dict(totals) == {"BTC": 0, "KRW": 0} and LedgerEntry.objects.count() == 6
    assert set(LedgerEntry.objects.values_list("bot_id", "position_id")) == {(position.bot_id, position.pk)}


def test_a_repeated_fill_is_entered_once():
    order = planned_entry(factories.bot())
    one = fill(order, amount=D("0.001"))
    book(order, [one])
    book(order, [one])

    assert LedgerEntry.objects.count() == 6


def test_a_fee_in_the_bought_coin_lessens_what_is_held_and_counts_at_its_worth():
    position = bought(fee="0.000001", fee_currency="BTC")

    assert position.amount == position.bought_amount == D("0.000999") and position.fees == 100 and position.entry_price == PRICE
    assert held(position) == {"BTC": D("0.000999"), "KRW": D(-100_000)}
    closed = sold(position, "0.000999", price=PRICE, fee=0)
    assert closed.realised_profit == -100 == held(closed)["KRW"] and not books_check.differences()


def test_a_fee_in_a_third_coin_is_kept_in_that_coin():
    position = bought(fee="0.5", fee_currency="BGB")

    assert position.fees == 0 and held(position) == {"BGB": D("-0.5"), "BTC": D("0.001"), "KRW": D(-100_000)}
    (line,) = selectors.summaries(accounts=[position.account_id])
    assert line.fees == {"BGB": D("0.5")} and not books_check.differences()


def test_positions_are_announced_as_opened_changed_and_closed(django_capture_on_commit_callbacks: Any):
    told: list[str] = []

    def hear(*, event: str, **_: Any) -> None:
        told.append(event)

    position_changed.connect(hear)
    with django_capture_on_commit_callbacks(execute=True):
        position = bought()
        sold(position, "0.0004", price=PRICE)
        sold(position, "0.0006", price=PRICE, trade_id="s2")
    position_changed.disconnect(hear)

    assert told == ["opened", "changed", "closed"]


# --- What PostgreSQL refuses ---


def test_legs_that_do_not_balance_are_refused_when_the_transaction_ends():
    account = factories.account()
    with pytest.raises(DatabaseError, match="do not balance"), transaction.atomic():
        entry = {"account": account, "user": account.user, "mode": account.mode, "created_at": SLOT, "asset": "KRW", "amount": 1}
        LedgerEntry.objects.create(source_kind="deposit", source_id="d1", leg=1, book="held", **entry)
        execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_an_entry_is_never_changed_deleted_or_entered_twice():
    bought()
    for statement in ("UPDATE ledger_entries SET amount = amount * 2", "DELETE FROM ledger_entries"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            execute(statement)
    with pytest.raises(DatabaseError, match="ledger_entry_once_per_leg"), transaction.atomic():
        first = LedgerEntry.objects.first()
        assert first is not None
        first.pk = None
        first.save(force_insert=True)


def test_another_users_bot_cannot_be_named():
    position, stranger = bought(), factories.bot()
    with pytest.raises(DatabaseError, match="ledger_entries_fit_their_bot"), transaction.atomic():
        entry = LedgerEntry.objects.filter(position=position)[0]
        entry.pk, entry.bot, entry.position, entry.leg = None, stranger, None, 9
        entry.save(force_insert=True)


# --- Others' fills, payments, adjustments ---


def test_somebody_elses_fill_is_the_accounts_and_no_bots():
    position = bought()
    account = position.account
    ledger.book_external(account=account, fills=[foreign(), foreign()])
    ledger.book_external(account=account, fills=[foreign()])
    ledger.book_external(account=account, fills=[foreign("f2", side=Side.SELL)], is_forced=True)

    mine = Trade.objects.filter(order=None).order_by("pk")
    assert [(trade.bot, trade.position, trade.source) for trade in mine] == [(None, None, "external"), (None, None, "liquidation")]
    assert held(position)["BTC"] == D("0.001") and set(LedgerEntry.objects.values_list("source_kind", flat=True)) == {
        "trade",
        "external",
        "liquidation",
    }
    position.refresh_from_db()
    assert position.amount == D("0.001") and not books_check.differences()


def test_payments_are_booked_once_and_a_deposit_is_no_profit():
    position = bought()
    flows = [
        CashFlow("d1", CashFlowKind.DEPOSIT, "KRW", D(500_000), SLOT),
        CashFlow("u1", CashFlowKind.FUNDING, "KRW", D("-7.5"), SLOT + HOUR, symbol="KRW-BTC"),
        CashFlow("z", CashFlowKind.OTHER, "KRW", D(0), SLOT),
    ]
    assert ledger.book_flows(account=position.account, flows=flows) == 2
    assert ledger.book_flows(account=position.account, flows=flows) == 0

    assert held(position)["KRW"] == D(-100_050) + 500_000 - D("7.5")
    (line,) = selectors.summaries(accounts=[position.account_id])
    assert (line.bot_id, line.funding, line.net("KRW")) == (position.bot_id, {"KRW": D("-7.5")}, D("-57.5"))
    assert Transfer.objects.get().amount == 500_000


def test_the_opening_balance_is_what_the_first_reading_told_less_what_is_booked():
    position = bought()
    told = {"KRW": D(900_000), "BTC": D("0.001"), "XRP": D(7)}

    assert ledger.open_balances(account=position.account, told=told, at=SLOT)
    assert not ledger.open_balances(account=position.account, told={"KRW": D(1)}, at=SLOT)
    assert held(position) == told


def test_an_adjustment_needs_a_reason_and_keeps_it():
    account, operator = factories.account(), factories.user("kim")
    for wrong in ({"reason": " "}, {"amount": D(0)}, {"amount": D("NaN")}):
        with pytest.raises(BadInput, match="Nothing was adjusted"):
            ledger.adjust(**{"account": account, "asset": "BTC", "amount": D(1), "by": operator, "reason": "airdrop", "at": SLOT, **wrong})
    ledger.adjust(account=account, asset="BTC", amount=D("0.5"), by=operator, reason="airdrop", at=SLOT)

    assert set(LedgerEntry.objects.values_list("note", "entered_by")) == {("airdrop", "kim")}
    assert selectors.holdings(account_id=account.pk) == {"BTC": D("0.5")}


# --- Profit ---


def test_profit_is_realised_by_sales_of_the_period_at_their_mean_cost():
    position = bought("0.002", fee=100)
    sold(position, "0.001", price=PRICE * D("1.1"), fee=55)
    later = sold(position, "0.001", price=PRICE * D("0.9"), fee=45, trade_id="s2", executed_at=SLOT + HOUR)

    (first,) = selectors.summaries(accounts=[later.account_id], end=SLOT + HOUR)
    (second,) = selectors.summaries(accounts=[later.account_id], start=SLOT + HOUR)
    assert (first.realised, first.fees, first.sales) == (10_000, {"KRW": D(155)}, 1)
    assert (second.realised, second.fees, second.net("KRW")) == (-10_000, {"KRW": D(45)}, D(-10_045))
    (whole,) = selectors.summaries(accounts=[later.account_id])
    assert whole.net("KRW") == later.realised_profit == D(-200)


def test_open_profit_is_unknown_without_a_price():
    position = bought()
    prices = {"KRW-BTC": PRICE * D("1.01")}

    assert selectors.summaries(accounts=[position.account_id])[0].unrealised is None
    assert selectors.summaries(accounts=[position.account_id], prices=prices)[0].unrealised == 1_000


@pytest.mark.parametrize(
    ("symbol", "assets"), [("KRW-BTC", ("BTC", "KRW")), ("ETH/USDT:USDT", ("ETH", "USDT")), ("ETH/USDT", ("ETH", "USDT"))]
)
def test_a_symbol_names_its_assets(symbol: str, assets: tuple[str, str]):
    assert assets_of(symbol) == assets


# --- The check ---


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("UPDATE positions SET fees = fees + 1", "fees is stored as 51.0*, and the append-only rows say 50"),
        ("UPDATE positions SET bought_total = 1", "bought_total"),
        ("UPDATE orders SET filled_amount = filled_amount / 2", "filled is stored"),
        ("UPDATE orders SET status = 'cancelled'", "status is stored as cancelled"),
        ("UPDATE ledger_entries SET amount = amount * 2", "trade .*: ledger"),
        ("DELETE FROM ledger_entries", "the append-only rows say .*held 0.001.* BTC"),
    ],
)
def test_what_was_written_past_the_rules_is_found(sabotage: str, told: str):
    bought()
    assert not [one for one in books_check.differences() if "status" not in one.what]
    with triggers_off():
        execute(sabotage)

    assert any(re.search(told, str(one)) for one in books_check.differences())


# --- The admin ---


def test_an_operator_adjusts_the_ledger_and_sees_the_profit(client: Client):
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    position = bought()
    form = {"for_account": position.account_id, "asset_name": "BTC", "change": "-0.001", "reason": "moved to a cold wallet"}

    assert "changes nothing" in client.post(reverse("admin:trading_ledgerentry_add"), {**form, "change": "0"}).content.decode()
    assert client.post(reverse("admin:trading_ledgerentry_add"), form).status_code == 302
    assert "BTC" not in held(position) and "cold wallet" in client.get(reverse("admin:trading_ledgerentry_changelist")).content.decode()
    page = client.get(reverse("admin:trading_exchangeaccount_change", args=[position.account_id])).content.decode()
    assert position.bot.name in page and "50" in page
