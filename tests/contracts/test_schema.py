"""What PostgreSQL itself refuses, asked in plain SQL: no code of ours stands between these statements and the tables."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from dgbot.accounts import audit
from dgbot.core.types import Mode
from monitoring.models import MetricTotal
from risk.models import FILTER_RANGES, VALIDATOR_RANGES, AccountLimits, BotLimits, Reservation, RiskEvent, RiskState, Transfer
from risk.seeds import create_profiles
from tests import factories
from tests.factories import SLOT, SYMBOL, execute, rows, triggers_off
from trading.domain.ledger import Book, Source
from trading.domain.ledger import moved as moved_legs
from trading.domain.lifecycle import MAYBE_SENT, MOVES, Actor, Status
from trading.models import (
    AccountBalance,
    AccountFee,
    Analyst,
    AnalystCall,
    Bot,
    Decision,
    ExternalOrder,
    KrwRate,
    LedgerEntry,
    MarginSetting,
    Order,
    PortfolioSnapshot,
    Position,
    PromptTemplate,
    ProtectiveStop,
    ReconcileBreak,
    Trade,
    VenueAccount,
    VenueFill,
    VenueOrder,
)
from trading.services import config, ledger

pytestmark = pytest.mark.django_db

ROOMS = ("accounts", "risk", "backtests", "trading", "monitoring")
MONEY = (38, 18)
NOT_MONEY = {  # every other NUMERIC column, with its digits: a new one must be argued for here
    ("ai_decisions", "confidence"): (5, 2),
    ("portfolio_snapshots", "total_value_krw"): (20, 2),
    ("portfolio_snapshots", "total_value_usd"): (20, 2),
    ("simulated_markets", "speed"): (10, 2),
    ("analysts", "temperature"): (3, 2),
    ("risk_profiles", "rsi_buy_limit"): (5, 2),
    **{
        ("risk_profiles", name): (6, 4)
        for name in (
            "stop_fraction",
            "target_fraction",
            "daily_loss_fraction",
            "weekly_loss_fraction",
            "position_fraction",
            "slippage_limit",
        )
    },
    **{
        ("risk_profiles", name): (7, 4)
        for name in (
            *("equity_fraction", "risk_fraction", "volatility_fraction", "buy_ratio", "sell_ratio", "drawdown_fraction"),
            *("stop_atr_multiple", "target_atr_multiple", "trailing_atr_multiple"),
            *("first_gain_fraction", "first_share", "second_gain_fraction", "liquidation_gap_fraction"),
            *("account_exposure_fraction", "symbol_exposure_fraction", "group_exposure_fraction", "leverage_limit"),
            *VALIDATOR_RANGES,
            *(name for name in FILTER_RANGES if name != "filter_trades"),
        )
    },
    **{
        (table, name): (7, 4)
        for table in ("account_limits", "bot_limits")
        for name in (
            *("stop_fraction", "daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction", "position_fraction"),
            *("account_exposure_fraction", "symbol_exposure_fraction", "group_exposure_fraction", "leverage_limit"),
            *("slippage_limit", "rsi_buy_limit"),
        )
    },
}
MAY_BE_NEGATIVE = {
    ("risk_profiles", "filter_sharpe"),
    ("positions", "fees"),
    ("trades", "fee"),
    ("venue_fills", "fee"),
    ("risk_profiles", "filter_sharpe"),
    ("risk_states", "start_equity"),
    ("risk_states", "equity"),
    ("risk_states", "daily_pnl"),
    ("risk_states", "weekly_pnl"),
    ("risk_states", "capital"),
    ("risk_states", "start_capital"),
    ("risk_states", "peak_profit"),
    ("risk_states", "released_profit"),
    ("transfers", "amount"),
    ("ledger_entries", "amount"),
    ("reconcile_breaks", "told"),
    ("account_fees", "maker_rate"),
    ("reconcile_breaks", "booked"),
    ("portfolio_snapshots", "total_value_krw"),
    ("portfolio_snapshots", "total_value_usd"),
    ("metric_totals", "value"),  # fees may be rebates
}
NEVER_ZERO = {
    ("ledger_entries", "amount"),
    ("transfers", "amount"),
    ("risk_profiles", "leverage_limit"),
    ("account_limits", "position_fraction"),
    ("bot_limits", "drawdown_fraction"),
    ("orders", "amount"),
    ("orders", "quote_amount"),
    ("orders", "price"),
    ("trades", "price"),
    ("trades", "amount"),
    ("bots", "allocation"),
    ("bots", "trade_amount"),
    ("positions", "stop_price"),
    ("positions", "target_price"),
    ("protective_stops", "trigger_price"),
    ("protective_stops", "covered_amount"),
    ("reservations", "notional"),
    ("venue_fills", "price"),
    ("venue_fills", "amount"),
    ("venue_orders", "amount"),
    ("venue_orders", "quote_amount"),
    ("venue_orders", "price"),
}


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """The statements inside must be refused, deferred rules included, for a reason that holds one of `words`."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        yield
        execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert any(word in str(caught.value) for word in words), f"refused for another reason: {caught.value}"


def tables() -> set[str]:
    """Every table of ours."""
    return {model._meta.db_table for label in ROOMS for model in apps.get_app_config(label).get_models()}


def numeric_columns() -> dict[tuple[str, str], tuple[int, int]]:
    """(table, column) → (precision, scale), as PostgreSQL tells it."""
    found = rows(
        "SELECT table_name, column_name, numeric_precision, numeric_scale FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'numeric'"
    )
    return {(table, column): (precision, scale) for table, column, precision, scale in found if table in tables()}


def copy_of(table: str, key: int, *, key_column: str = "id", **changes: Any) -> int:
    """Insert a copy of one row with `changes`; its new primary key."""
    fresh = {} if key_column in changes else {key_column: rows("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", table)[0][0]}
    wanted = json.dumps({**fresh, **changes}, default=str)
    sql = (
        f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(was) || %s::jsonb)).*"
        f" FROM {table} was WHERE {key_column} = %s RETURNING {key_column}"
    )
    return int(rows(sql, wanted, key)[0][0])


def client_id(mode: Mode, number: int = 0) -> str:
    """A client id with the prefix of `mode`."""
    return mode.value[0].upper() + f"{number:030d}".translate(str.maketrans("0189", "ABCD"))


def event(order: Order, after: str, *, actor: str = "gateway") -> None:
    """Insert the next event of an order."""
    execute(
        "INSERT INTO order_events (order_pk, seq, from_status, to_status, actor, evidence, created_at)"
        " VALUES (%s, %s, %s, %s, %s, '{}', now())",
        order.pk,
        order.version + 1,
        order.status,
        after,
        actor,
    )


def moved(order: Order, *statuses: str, actor: str = "gateway") -> Order:
    """Walk an order along legal moves."""
    for status in statuses:
        event(order, status, actor=actor)
        execute("UPDATE orders SET status = %s, version = version + 1 WHERE id = %s", status, order.pk)
        order.refresh_from_db()
    return order


def send(order: Order, number: int, *, result: str = "claimed") -> None:
    """Insert a send row."""
    execute(
        "INSERT INTO order_sends (order_pk, send_no, gateway, gateway_epoch, permit_until, result, answer)"
        " VALUES (%s, %s, 'g', 1, now(), %s, '{}')",
        order.pk,
        number,
        result,
    )


def trade_of(order: Order, held: Position, *, trade_id: str = "t1") -> int:
    """Insert a fill; its primary key."""
    return int(
        rows(
            "INSERT INTO trades (trade_id, order_pk, position_id, bot_id, account_id, user_id, mode, symbol, side, purpose, exit_reason,"
            " price, amount, total, fee, fee_currency, status, source, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'buy', 'entry', '', 100, 2, 200, 0.1, 'KRW', 'completed', 'exchange', now(), now())"
            " RETURNING id",
            trade_id,
            order.pk,
            held.pk,
            order.bot_id,
            order.account_id,
            order.user_id,
            order.mode,
            order.symbol,
        )[0][0]
    )


def entry_of(bot: Bot) -> int:
    """A deposit of 1 KRW in the ledger; the primary key of its first leg."""
    ledger.enter(
        account_id=bot.account_id,
        user_id=bot.user_id,
        mode=bot.mode,
        groups=[ledger.Group(source=Source.DEPOSIT, source_id="d", legs=moved_legs("KRW", Decimal(1), against=Book.OUTSIDE), at=SLOT)],
    )
    return LedgerEntry.objects.get(account=bot.account_id, source_id="d", leg=1).pk


def decision_of(bot: Bot, cycle_pk: int) -> int:
    """Insert a decision; its primary key."""
    return Decision.objects.create(
        cycle_id=cycle_pk,
        bot=bot,
        account=bot.account,
        user=bot.user,
        mode=bot.mode,
        symbol=SYMBOL,
        decision="hold",
        confidence=50,
        reason="-",
        market_data={},
        analyst="rules",
        hash="-",
        created_at=SLOT,
    ).pk


def call_of(bot: Bot) -> AnalystCall:
    """A question to a model, on its way."""
    prompt = PromptTemplate.objects.create(name=f"schema{bot.pk}", version=1, system="Judge.")
    analyst = Analyst.objects.create(name=f"schema{bot.pk}", model="m", prompt=prompt, input_price=1, output_price=1)
    return AnalystCall.objects.create(
        analyst=analyst, bot=bot, user=bot.user, purpose="decision", prompt=prompt, model="m", messages=[], reserved_cost=1
    )


def one_of_everything(mode: Mode = Mode.PAPER) -> dict[str, int]:
    """One legal row in every table that holds money or belongs to a user; table → primary key."""
    bot = factories.bot(mode=mode)
    owner = {"account": bot.account, "user": bot.user, "mode": bot.mode}
    order, held = factories.planned_entry(bot), factories.position(bot)
    create_profiles()
    key = f"account-{bot.account_id}"
    call = call_of(bot)
    return {
        "analysts": call.analyst_id,
        "analyst_calls": call.pk,
        "exchange_accounts": bot.account_id,
        "bots": bot.pk,
        "cycles": order.cycle_id or 0,
        "ai_decisions": decision_of(bot, order.cycle_id or 0),
        "orders": order.pk,
        "reservations": order.pk,
        "positions": held.pk,
        "trades": trade_of(order, held),
        "account_balances": AccountBalance.objects.create(
            account=bot.account, asset="KRW", free=1, locked=1, known_at=SLOT, recorded_at=SLOT
        ).pk,
        "margin_settings": MarginSetting.objects.create(account=bot.account, symbol=SYMBOL, leverage=1, asked_at=SLOT).pk,
        "krw_rates": KrwRate.objects.get_or_create(
            currency="USDT", defaults={"krw_per_unit": 1, "source": "test", "known_at": SLOT, "recorded_at": SLOT}
        )[0].pk,
        "portfolio_snapshots": PortfolioSnapshot.objects.create(
            **owner, total_value_krw=1, total_value_usd=1, positions={}, created_at=SLOT
        ).pk,
        "risk_profiles": rows("SELECT min(id) FROM risk_profiles")[0][0],
        "risk_states": RiskState.objects.create(
            bot=bot,
            **owner,
            trading_day=SLOT.date(),
            start_equity=1,
            equity=1,
            daily_pnl=1,
            weekly_pnl=1,
            updated_at=SLOT,
            peak_profit=1,
            released_profit=1,
            released_day=SLOT.date(),
        ).pk,
        "account_limits": AccountLimits.objects.create(account=bot.account, stop_fraction=1).pk,
        "bot_limits": BotLimits.objects.create(bot=bot, stop_fraction=1).pk,
        "transfers": Transfer.objects.create(account=bot.account, user=bot.user, amount=1, reference="t", at=SLOT).pk,
        "ledger_entries": entry_of(bot),
        "account_fees": AccountFee.objects.create(account=bot.account, symbol=SYMBOL, maker_rate=0, taker_rate=0, recorded_at=SLOT).pk,
        "reconcile_breaks": ReconcileBreak.objects.create(account=bot.account, kind="difference", subject="KRW", told=1, booked=1).pk,
        "external_orders": ExternalOrder.objects.create(
            account=bot.account,
            exchange_order_id="x",
            symbol=SYMBOL,
            side="buy",
            status="open",
            is_resting=True,
            filled_amount=1,
            created_at=SLOT,
        ).pk,
        "protective_stops": ProtectiveStop.objects.create(
            position=held, bot=bot, **owner, version=1, kept_by="local", trigger_price=1, covered_amount=1, state="wanted"
        ).pk,
        "simulated_markets": factories.simulated_market().pk,
        "metric_totals": MetricTotal.objects.get_or_create(metric="test", labels={}, defaults={"value": 1})[0].pk,
        "venue_accounts": VenueAccount.objects.using("default").create(account_key=key, asset="KRW", free=1).pk,
        "venue_orders": VenueOrder.objects.using("default")
        .create(
            account_key=key,
            exchange_order_id=key,
            client_id="c",
            symbol=SYMBOL,
            side="buy",
            order_type="limit",
            amount=1,
            quote_amount=1,
            price=1,
            filled_amount=1,
            status="filled",
            created_at=SLOT,
        )
        .pk,
        "venue_fills": VenueFill.objects.using("default")
        .create(
            account_key=key, exchange_order_id=key, exchange_trade_id=key, price=1, amount=1, fee=1, fee_currency="KRW", executed_at=SLOT
        )
        .pk,
    }


def accepted(value: str, *, columns: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The columns of `columns` whose CHECKs and type let `value` in."""
    made = one_of_everything()
    without = {table for table, _column in columns} - set(made)
    assert not without, f"give these tables a row in one_of_everything: {without}"
    let_in = set()
    for table, column in sorted(columns):
        key = {"reservations": "order_pk", "account_limits": "account_id", "bot_limits": "bot_id"}.get(table, "id")
        try:
            with transaction.atomic(), triggers_off():
                execute(f"UPDATE {table} SET {column} = %s::numeric WHERE {key} = %s", value, made[table])
                let_in.add((table, column))
                transaction.set_rollback(True)
        except DatabaseError:
            execute("SET session_replication_role = DEFAULT")
    return let_in


# --- Money ---

STATISTICS = {("research_trials", "sharpe")}  # a ratio of floats, never an amount


def test_money_is_numeric_38_18_and_never_float():
    floats = rows("SELECT table_name, column_name FROM information_schema.columns WHERE data_type IN ('real', 'double precision')")

    assert {column for column in floats if column[0] in tables()} == STATISTICS
    assert {column: digits for column, digits in numeric_columns().items() if digits != MONEY} == NOT_MONEY


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e30", "-1e30", "1e20", "-1e20"])
def test_what_is_not_an_amount_of_money_is_refused_in_every_column(value: str):
    assert accepted(value, columns=set(numeric_columns())) == set()


def test_negative_is_refused_wherever_it_makes_no_sense():
    assert accepted("-1", columns=set(numeric_columns())) == MAY_BE_NEGATIVE


def test_what_must_be_positive_refuses_zero():
    assert set(numeric_columns()) >= NEVER_ZERO
    assert accepted("0", columns=NEVER_ZERO) == set()


def test_what_is_legal_is_let_in():
    """The control: had these tests tried impossible updates, everything would seem refused."""
    unsized = {
        ("orders", "amount"),
        ("orders", "price"),
        ("trades", "price"),
        ("trades", "amount"),
        ("trades", "total"),
        ("positions", "amount"),
        ("positions", "trailing_stop_price"),  # above the stop of the entry only
        ("risk_profiles", "first_gain_fraction"),
    }

    assert accepted("1", columns=set(numeric_columns())) >= set(numeric_columns()) - unsized


def test_a_reversing_trade_may_be_negative_and_no_other():
    made = one_of_everything()

    with refused("trade_amount_positive_or_reversing"):
        copy_of("trades", made["trades"], trade_id="t2", amount=-2, total=-200)
    copy_of("trades", made["trades"], trade_id="t2", amount=-2, total=-200, reverses_trade_pk=made["trades"])


def test_a_trade_totals_its_price_times_its_amount():
    made = one_of_everything()

    with refused("trade_total_is_price_times_amount"):
        copy_of("trades", made["trades"], trade_id="t2", total=201)


# --- Once ---


def test_one_decision_makes_one_order():
    order = factories.planned_entry(factories.bot())

    with refused("order_once_per_decision"):
        copy_of("orders", order.pk, client_id=client_id(Mode.REPLAY))


def test_a_client_id_is_used_once():
    order = factories.planned_entry(factories.bot())

    with refused("order_client_id_once"):
        copy_of("orders", order.pk, decision_key="another")


def test_a_trade_of_one_exchange_id_is_booked_once_per_account():
    made, others = one_of_everything(), one_of_everything()

    with refused("trade_once_per_exchange_id"):
        copy_of("trades", made["trades"])
    assert Trade.objects.filter(exchange_trade_id="t1", pk=others["trades"]).exists()


def test_one_slot_has_one_cycle_and_one_cycle_one_decision():
    made = one_of_everything()

    with refused("cycle_once_per_slot"):
        copy_of("cycles", made["cycles"])
    with refused("ai_decisions_cycle_id"):
        copy_of("ai_decisions", made["ai_decisions"])


def test_a_bot_holds_one_open_position_per_symbol():
    held = factories.position(factories.bot())

    with refused("position_one_open_per_bot"):
        copy_of("positions", held.pk)
    copy_of("positions", held.pk, closed_at="2026-01-02T00:00Z", amount=0)


@pytest.mark.parametrize("on_its_way", [(), ("submitting",), ("submitting", "unknown"), ("submitting", "open"), ("submitting", "disputed")])
def test_a_second_entry_waits_until_the_first_has_ended(on_its_way: tuple[str, ...]):
    order = moved(factories.planned_entry(factories.bot()), *on_its_way)

    with triggers_off(), refused("order_one_open_entry"):
        copy_of("orders", order.pk, decision_key="another", client_id=client_id(Mode.REPLAY))


# --- Facts stay ---


@pytest.mark.parametrize("table", ["trades", "order_events", "config_versions", "audit_log", "risk_events", "ai_decisions"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_was_recorded_is_never_changed(table: str, statement: str):
    one_of_everything()
    bot = Bot.objects.get()
    config.create_missing()
    audit.record(actor="test", action="test", target="test:1")
    RiskEvent.objects.create(bot=bot, account=bot.account, user=bot.user, code="c", message="m", actor="a", created_at=SLOT)
    assert rows(f"SELECT count(*) FROM {table}")[0][0] > 0
    execute("SET CONSTRAINTS ALL IMMEDIATE")

    with refused(f"{table} is append-only"):
        execute(statement.format(table))


def test_orders_and_sends_are_never_deleted():
    order = factories.planned_entry(factories.bot())
    send(order, 1)
    execute("SET CONSTRAINTS ALL IMMEDIATE")

    with refused("never deleted"):
        execute("DELETE FROM order_sends")
    with refused("cannot be deleted"):
        execute("DELETE FROM orders")
    with refused("append-only"):
        execute("TRUNCATE orders CASCADE")


def test_only_decisions_of_simulated_bots_may_be_cleared():
    bot = factories.bot(mode=Mode.SIMULATED)
    decision_of(bot, factories.cycle(bot).pk)

    execute("DELETE FROM ai_decisions")

    assert not Decision.objects.exists()


# --- Lifecycle ---


TRY_EVERY_EVENT = """
CREATE TEMPORARY TABLE let_in (before text, after text, who text) ON COMMIT DROP;
DO $$
DECLARE
    number int := 1;
    a text; b text; c text;
BEGIN
    FOREACH a IN ARRAY %(befores)s LOOP FOREACH b IN ARRAY %(afters)s LOOP FOREACH c IN ARRAY %(actors)s LOOP
        number := number + 1;
        BEGIN
            INSERT INTO order_events (order_pk, seq, from_status, to_status, actor, evidence, created_at)
            VALUES (%(order)s, number, a, b, c, '{}', now());
            INSERT INTO let_in VALUES (a, b, c);
        EXCEPTION WHEN check_violation THEN NULL;
        END;
    END LOOP; END LOOP; END LOOP;
END $$;
"""


def test_the_check_on_events_is_the_table_of_moves():
    order = factories.planned_entry(factories.bot())
    words = {"befores": ["", *map(str, Status)], "afters": list(map(str, Status)), "actors": list(map(str, Actor))}

    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(TRY_EVERY_EVENT, {**words, "order": order.pk})

    assert {(before or None, after, actor) for before, after, actor in rows("SELECT * FROM let_in")} == set(MOVES)


@pytest.mark.parametrize("before", Status)
def test_an_order_makes_only_the_moves_of_the_table(before: Status):
    order = factories.planned_entry(factories.bot())
    with triggers_off():
        execute("UPDATE orders SET status = %s WHERE id = %s", before, order.pk)
    let_in = set()
    for after in set(Status) - {before}:
        try:
            with transaction.atomic():
                execute("UPDATE orders SET status = %s, version = version + 1 WHERE id = %s", after, order.pk)
                let_in.add(after)
                transaction.set_rollback(True)
        except DatabaseError as error:
            assert f"may not move from {before} to {after}" in str(error)

    assert let_in == {after for first, after, _actor in MOVES if first == before}


def test_an_order_is_born_planned():
    order = factories.planned_entry(factories.bot(), slot=SLOT)

    for wrong in ({"status": "filled"}, {"version": 2}, {"filled_amount": 1}):
        with refused("a new order is planned"):
            copy_of("orders", order.pk, decision_key="b", client_id=client_id(Mode.REPLAY), **wrong)


def test_an_order_is_not_born_without_its_event():
    held = factories.position(factories.bot())
    order = factories.planned_exit(held)

    with refused("without an event"):
        copy_of("orders", order.pk, decision_key="b", client_id=client_id(Mode.REPLAY))


def test_a_status_does_not_change_without_its_event():
    order = factories.planned_entry(factories.bot())

    with refused("without an event"):
        execute("UPDATE orders SET status = 'submitting', version = 2 WHERE id = %s", order.pk)


def test_an_event_of_another_status_does_not_do():
    order = factories.planned_entry(factories.bot())

    with refused("without an event"):
        event(order, "lapsed")
        execute("UPDATE orders SET status = 'submitting', version = 2 WHERE id = %s", order.pk)


def test_an_event_does_not_come_without_its_move():
    order = factories.planned_entry(factories.bot())

    with refused("without its move"):
        event(order, "submitting")


def test_the_version_counts_the_moves():
    order = factories.planned_entry(factories.bot())

    with refused("may not move"):
        execute("UPDATE orders SET status = 'submitting', version = 3 WHERE id = %s", order.pk)
    with refused("has no new status"):
        execute("UPDATE orders SET version = 2 WHERE id = %s", order.pk)


@pytest.mark.parametrize(
    ("seq", "before", "after"), [(3, "planned", "submitting"), (2, "open", "filled"), (1, "planned", "submitting"), (0, "", "planned")]
)
def test_events_are_numbered_without_a_gap_and_follow_each_other(seq: int, before: str, after: str):
    order = factories.planned_entry(factories.bot())

    with refused("does not follow", "order_event_number_once", "seq_check"):
        execute(
            "INSERT INTO order_events (order_pk, seq, from_status, to_status, actor, evidence, created_at)"
            " VALUES (%s, %s, %s, %s, 'gateway', '{}', now())",
            order.pk,
            seq,
            before,
            after,
        )


@pytest.mark.parametrize(
    "change",
    [
        "decision_key = 'x'",
        "client_id = 'R' || repeat('B', 30)",
        "quote_amount = 6000",
        "symbol = 'KRW-ETH'",
        "params_hash = 'x'",
        "lease_epoch = 9",
        "purpose = 'exit', reduce_only = true",
        "side = 'sell'",
        "cycle_id = NULL",
        "created_at = now()",
        "plan = '{}'",
    ],
)
def test_what_an_order_asks_for_never_changes(change: str):
    order = factories.planned_entry(factories.bot())

    with refused("never changes"):
        execute(f"UPDATE orders SET {change} WHERE id = %s", order.pk)


def test_the_exchanges_id_is_told_once():
    order = moved(factories.planned_entry(factories.bot()), "submitting")
    execute("UPDATE orders SET order_id = 'x1' WHERE id = %s", order.pk)

    for value in ("x2", None):
        with refused("never changes"):
            execute("UPDATE orders SET order_id = %s WHERE id = %s", value, order.pk)


def test_one_exchange_id_belongs_to_one_order():
    bot = factories.bot()
    first = moved(factories.planned_entry(bot), "submitting", "filled")
    execute("UPDATE orders SET order_id = 'x1' WHERE id = %s", first.pk)
    second = factories.planned_entry(bot, slot=SLOT + timedelta(hours=1))

    with refused("order_exchange_id_once"):
        execute("UPDATE orders SET order_id = 'x1' WHERE id = %s", second.pk)


def test_the_filled_amount_never_falls():
    order = moved(factories.planned_entry(factories.bot()), "submitting")
    execute("UPDATE orders SET filled_amount = 2 WHERE id = %s", order.pk)

    with refused("never falls"):
        execute("UPDATE orders SET filled_amount = 1 WHERE id = %s", order.pk)


# --- Sends, reservations, leases ---


@pytest.mark.parametrize("result", ["claimed", "acknowledged", "rejected", "ambiguous"])
@pytest.mark.parametrize("now", ["submitting", "unknown"])
def test_an_entry_that_may_have_been_sent_is_not_sent_again(result: str, now: str):
    order = moved(factories.planned_entry(factories.bot()), *dict.fromkeys(("submitting", now)))
    send(order, 1, result=result)

    with refused("is not sent again"):
        send(order, 2)


def test_an_entry_that_was_certainly_not_sent_may_be_sent():
    order = moved(factories.planned_entry(factories.bot()), "submitting")
    send(order, 1, result="not_sent")

    send(order, 2)


def test_an_exit_is_sent_again_only_while_its_fate_is_open_and_five_times_at_most():
    order = moved(factories.planned_exit(factories.position(factories.bot())), "submitting", "unknown")
    for number in range(1, 6):
        send(order, number, result="ambiguous")

    with refused("order_send_number_in_range"):
        send(order, 6)
    moved(order, "filled", actor="reconciler")
    with refused("is not sent again"):
        send(order, 5)


def test_only_the_result_of_a_send_is_told_and_once():
    order = moved(factories.planned_entry(factories.bot()), "submitting")
    send(order, 1)

    with refused("only the result"):
        execute("UPDATE order_sends SET gateway_epoch = 7")
    execute("UPDATE order_sends SET result = 'ambiguous'")
    with refused("is told already"):
        execute("UPDATE order_sends SET result = 'not_sent'")


@pytest.mark.parametrize("status", sorted(MAYBE_SENT))
def test_money_stays_reserved_while_the_exchange_may_have_the_order(status: Status):
    order = factories.planned_entry(factories.bot())
    moved(order, *dict.fromkeys(("submitting", status.value)))

    with refused("its reservation stays"):
        execute("UPDATE reservations SET status = 'released' WHERE order_pk = %s", order.pk)


def test_a_reservation_keeps_its_order_and_amount():
    Reservation.objects.get(order=factories.planned_entry(factories.bot()))

    for statement in ("UPDATE reservations SET notional = 1", "DELETE FROM reservations"):
        with refused("keeps its order and amount"):
            execute(statement)


def test_the_epoch_of_a_lease_never_falls():
    execute("INSERT INTO leases (name, holder, epoch, expires_at) VALUES ('bot:1', 'a', 5, now())")

    with refused("never falls"):
        execute("UPDATE leases SET epoch = 4")


def test_a_lease_is_kept_for_its_epoch():
    execute("INSERT INTO leases (name, holder, epoch, expires_at) VALUES ('bot:1', 'a', 5, now())")

    with refused("kept for its epoch"):
        execute("DELETE FROM leases")


def test_a_kill_switch_has_a_known_scope():
    with refused("kill_switch_scope_known"):
        execute("INSERT INTO kill_switches (scope, scope_id, level, epoch, reason, set_by_name) VALUES ('galaxy', '', 1, 1, 'x', 'x')")


def test_a_risk_event_belongs_to_the_owner_of_its_account():
    made, others = one_of_everything(), one_of_everything()
    stranger = Bot.objects.get(pk=others["bots"]).user_id

    with refused("risk_events_fit_their_account"):
        execute(
            'INSERT INTO risk_events (account_id, user_id, code, message, value, "limit", actor, created_at)'
            " SELECT account_id, %s, 'x', 'x', '', '', 'x', now() FROM bots WHERE id = %s",
            stranger,
            made["bots"],
        )


# --- The wall between users and modes ---

FRESH: dict[str, dict[str, Any]] = {  # what a copy needs to be legal but for the wall
    "bots": {"name": "copy"},
    "cycles": {"slot": SLOT + timedelta(hours=1)},
    "orders": {"decision_key": "copy", "cycle_id": None, "client_id": client_id(Mode.PAPER), "purpose": "exit", "reduce_only": True},
    "positions": {"closed_at": SLOT, "amount": 0},
    "trades": {"trade_id": "copy", "order_pk": None, "position_id": None},
    "portfolio_snapshots": {"created_at": SLOT + timedelta(hours=1)},
    "risk_states": {"trading_day": "2030-01-01"},
    "ai_decisions": {},
}


def fresh(table: str, made: dict[str, int]) -> dict[str, Any]:
    """Values that make a copy differ from its original where it must."""
    if table == "ai_decisions":
        return {"cycle_id": copy_of("cycles", made["cycles"], slot=SLOT + timedelta(days=1))}
    return FRESH[table]


@pytest.mark.parametrize("table", FRESH)
@pytest.mark.parametrize("wrong", ["user", "account", "mode"])
def test_no_row_crosses_the_wall(table: str, wrong: str):
    made, others = one_of_everything(), one_of_everything()
    theirs = Bot.objects.get(pk=others["bots"])
    change = {"user": {"user_id": theirs.user_id}, "account": {"account_id": theirs.account_id}, "mode": {"mode": "live"}}[wrong]
    if table == "orders" and wrong == "mode":
        change = {"mode": "live", "client_id": client_id(Mode.LIVE)}

    with refused("foreign key", "fit"):
        copy_of(table, made[table], **{**fresh(table, made), **change})


@pytest.mark.parametrize("table", ["cycles", "orders", "positions", "trades", "risk_states", "ai_decisions"])
def test_no_row_belongs_to_somebody_elses_bot(table: str):
    made, others = one_of_everything(), one_of_everything()

    with refused("foreign key"):
        copy_of(table, made[table], **{**fresh(table, made), "bot_id": others["bots"]})


@pytest.mark.parametrize("table", FRESH)
def test_within_the_wall_the_same_copy_is_legal(table: str):
    made = one_of_everything()

    with triggers_off() if table == "orders" else transaction.atomic():
        copy_of(table, made[table], **fresh(table, made))


def test_a_paper_bot_cannot_reach_a_live_account():
    owner = factories.user()
    live = factories.account(owner=owner, mode=Mode.LIVE)
    bot = factories.bot(home=factories.account(owner=owner, mode=Mode.PAPER))

    with refused("bot_fits_account_mode_and_owner"):
        copy_of("bots", bot.pk, name="copy", account_id=live.pk)


@pytest.mark.parametrize("column", ["order_pk", "position_id", "cycle_id"])
def test_rows_of_two_bots_are_never_tied_together(column: str):
    made, others = one_of_everything(), one_of_everything()
    theirs = {"order_pk": others["orders"], "position_id": others["positions"], "cycle_id": others["cycles"]}[column]
    table = "orders" if column == "cycle_id" else "trades"

    with refused("foreign key"):
        copy_of(table, made[table], **{**FRESH[table], "position_id": None, column: theirs})


def test_a_trade_names_the_bot_of_its_position():
    made, others = one_of_everything(), one_of_everything()

    with refused("trade_position_names_its_bot"):
        copy_of("trades", made["trades"], **{**FRESH["trades"], "bot_id": None, "position_id": others["positions"]})


def test_a_reservation_fits_its_order():
    made, others = one_of_everything(), one_of_everything()
    order = factories.planned_exit(Position.objects.get(pk=made["positions"]))

    for wrong in ({"bot_id": others["bots"]}, {"account_id": others["exchange_accounts"]}):
        with refused("reservations_fit_their_order"):
            copy_of("reservations", made["orders"], key_column="order_pk", order_pk=order.pk, **wrong)
    copy_of("reservations", made["orders"], key_column="order_pk", order_pk=order.pk)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("prefix", Mode)
def test_the_client_id_begins_with_the_letter_of_the_mode(mode: Mode, prefix: Mode):
    order = factories.planned_entry(factories.bot(mode=mode))
    given = {"decision_key": "copy", "client_id": client_id(prefix), "purpose": "exit", "reduce_only": True}

    with triggers_off():
        if mode is prefix:
            copy_of("orders", order.pk, **given)
        else:
            with refused("order_client_id_fits_mode"):
                copy_of("orders", order.pk, **given)


@pytest.mark.parametrize("wrong", ["SHORT", "P" + "a" * 30, "P" + "1" * 30, "P" + "A" * 29 + "\n", "P" + "A" * 29 + "-"])
def test_a_client_id_has_31_characters_of_the_alphabet(wrong: str):
    order = factories.planned_entry(factories.bot(mode=Mode.PAPER))

    with triggers_off(), refused("order_client_id_fits_mode"):
        copy_of("orders", order.pk, decision_key="copy", client_id=wrong, purpose="exit", reduce_only=True)


@pytest.mark.parametrize(
    ("table", "column"),
    [*product(["bots"], ["user_id", "account_id", "mode", "symbol"]), *product(["exchange_accounts"], ["user_id", "mode", "exchange"])],
)
def test_owner_mode_account_and_symbol_never_change(table: str, column: str):
    bot, other = factories.bot(), factories.bot()
    others = {"user_id": other.user_id, "account_id": other.account_id, "mode": "paper", "symbol": "KRW-ETH", "exchange": "bitget"}

    with refused("never change"):
        execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", others[column], bot.pk if table == "bots" else bot.account_id)


def test_only_an_account_with_the_mode_live_may_be_a_demo():
    account = factories.account(mode=Mode.PAPER)

    with refused("account_demo_is_live"):
        execute("UPDATE exchange_accounts SET is_demo = true WHERE id = %s", account.pk)


def test_an_exit_only_reduces():
    order = factories.planned_exit(factories.position(factories.bot()))

    with triggers_off(), refused("order_exit_only_reduces"):
        execute("UPDATE orders SET reduce_only = false WHERE id = %s", order.pk)


def test_an_order_is_sized_in_base_or_in_quote():
    order = factories.planned_entry(factories.bot())

    for wrong in ({"amount": 1}, {"quote_amount": None}, {"order_type": "limit"}, {"price": 1}):
        with triggers_off(), refused("order_sized_in_base_or_quote", "order_price_fits_type"):
            copy_of("orders", order.pk, decision_key="copy", client_id=client_id(Mode.REPLAY), purpose="exit", reduce_only=True, **wrong)


# --- Names that operators rely on ---

COLUMNS = {
    "trades": "trade_id order_pk symbol side price amount total fee fee_currency status created_at updated_at",
    "orders": "order_id client_id symbol side order_type price amount quote_amount filled_amount status error_message"
    " created_at updated_at",
    "order_sends": "order_pk",
    "order_events": "order_pk seq from_status to_status",
    "reservations": "order_pk",
    "ai_decisions": "symbol decision confidence reason market_data created_at",
    "portfolio_snapshots": "total_value_krw total_value_usd positions created_at",
    "bot_config": "key value description updated_at",
    "bots": "is_running status",
    "account_balances": "asset free locked known_at",
    "risk_states": "start_equity daily_pnl weekly_pnl daily_trade_count last_trade_time safe_mode safe_mode_reason trading_day",
}
INDEXES = {
    "trades": {"symbol", "status", "created_at", "symbol, created_at", "UNIQUE account_id, trade_id"},
    "orders": {
        "symbol",
        "status",
        "created_at",
        "symbol, status, created_at",
        "UNIQUE account_id, order_id",
        "UNIQUE account_id, client_id",
        "UNIQUE bot_id, decision_key",
    },
    "ai_decisions": {"symbol", "decision", "created_at", "symbol, decision, created_at", "gin market_data", "UNIQUE cycle_id"},
    "portfolio_snapshots": {"created_at DESC"},
    "bot_config": {"UNIQUE key"},
    "cycles": {"UNIQUE bot_id, slot"},
    "order_events": {"UNIQUE order_pk, seq"},
    "order_sends": {"UNIQUE order_pk, send_no"},
}


OTHER_TABLES = (
    "exchange_accounts cycles stage_results positions leases risk_profiles risk_events kill_switches heartbeats audit_log config_versions"
    " simulated_markets venue_accounts venue_orders venue_fills"
)


def indexes_of(table: str) -> set[str]:
    """Whole (not partial) indexes as `UNIQUE a, b`, `gin a` or `a DESC`."""
    found = set()
    for (text,) in rows("SELECT indexdef FROM pg_indexes WHERE tablename = %s AND indexdef NOT LIKE '%% WHERE %%'", table):
        method, columns = text.split(" USING ", 1)[1].split(" ", 1)
        prefix = "UNIQUE " if " UNIQUE " in text else "" if method == "btree" else f"{method} "
        found.add(prefix + columns.strip("()"))
    return found


@pytest.mark.parametrize("table", COLUMNS)
def test_tables_and_columns_have_their_promised_names(table: str):
    found = {column for (column,) in rows("SELECT column_name FROM information_schema.columns WHERE table_name = %s", table)}

    assert set(COLUMNS[table].split()) <= found


def test_the_other_promised_tables_exist():
    assert set(OTHER_TABLES.split()) <= tables()


@pytest.mark.parametrize("table", INDEXES)
def test_promised_indexes_exist(table: str):
    assert INDEXES[table] <= indexes_of(table)


def test_every_time_is_stored_with_its_zone():
    naive = rows("SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'timestamp without time zone'")

    assert not [column for column in naive if column[0] in tables()]


def test_every_digit_of_money_survives_the_round_trip():
    bot = factories.bot()
    bot.trade_amount = Decimal("99999999999999999999.999999999999999999")
    bot.save(update_fields=["trade_amount"])

    assert Bot.objects.get().trade_amount == Decimal("99999999999999999999.999999999999999999")
