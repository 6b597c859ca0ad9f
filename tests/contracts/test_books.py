"""Positions are folds over trades, settings never give a mixed reading, and the audit log shows what was tampered with."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgbot.accounts import audit
from dgbot.accounts.models import AuditEntry
from dgbot.core.errors import BadInput
from dgbot.core.money import EXACT
from dgbot.core.types import Side, VenueFill
from risk.models import RiskState
from tests import factories
from tests.factories import PLAN, PRICE, SLOT, Thread, execute, planned_entry, planned_exit, triggers_off
from trading.domain.config import SETTINGS
from trading.exchanges import upbit_rules
from trading.models import BotConfig, ConfigVersion, Order, Position, Trade
from trading.services import config, positions

D = Decimal
HOUR = timedelta(hours=1)
RULES = upbit_rules.rules("KRW-BTC", at=SLOT)

lots = st.integers(1, 10**9).map(lambda count: D(count) * RULES.lot_step)
prices = st.integers(1_000, 200_000).map(lambda thousands: D(thousands) * 1000)


def fill(order: Order, *, amount: Decimal, price: Decimal = PRICE, trade_id: str = "t1", fee: Decimal | None = None) -> VenueFill:
    """One execution as an exchange tells it."""
    return VenueFill(
        exchange_trade_id=trade_id,
        exchange_order_id="x",
        client_id=order.client_id,
        symbol=order.symbol,
        side=Side(order.side),
        price=price,
        amount=amount,
        fee=EXACT.multiply(price * amount, D("0.0005")) if fee is None else fee,
        fee_currency="KRW",
        executed_at=SLOT,
    )


def book(order: Order, fills: Sequence[VenueFill]) -> Decimal:
    """Book fills as the gateway does."""
    with transaction.atomic():
        added = positions.book(order=order, fills=fills, rules=RULES)
        Order.objects.filter(pk=order.pk).update(filled_amount=order.filled_amount + added)
    order.refresh_from_db()
    return added


# --- Positions ---


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(st.tuples(lots, prices), min_size=1, max_size=4),
    exits=st.lists(st.tuples(st.integers(1, 3), prices), max_size=4),
    seed=st.randoms(),
)
def test_a_position_is_the_fold_over_its_trades(entries: list[tuple[Decimal, Decimal]], exits: list[tuple[int, Decimal]], seed: Any):
    with transaction.atomic():
        bot = factories.bot()
        order = planned_entry(bot)
        fills = [fill(order, amount=amount, price=price, trade_id=f"b{number}") for number, (amount, price) in enumerate(entries)]
        for one in fills:
            book(order, [*seed.sample(fills, seed.randint(0, len(fills))), one])  # repeats and disorder, as streams have them
        position = Position.objects.get(bot=bot)
        agree(position)
        assert position.amount == order.filled_amount == sum(amount for amount, _price in entries)
        assert RiskState.objects.get(bot=bot).daily_trade_count == 1
        sale = planned_exit(position)
        for number, (part, price) in enumerate(exits):
            position.refresh_from_db()
            amount = position.amount if number == len(exits) - 1 else (position.amount / (part + 1)).quantize(RULES.lot_step)
            if amount > 0:
                book(sale, [fill(sale, amount=amount, price=price, trade_id=f"s{number}")] * 2)
            agree(position)
        assert (position.closed_at is not None) == (position.amount == 0)
        transaction.set_rollback(True)


def agree(position: Position) -> None:
    """The row must say what its trades add up to."""
    position.refresh_from_db()
    sums = positions.sums_from_trades(position)
    assert {name: getattr(position, name) for name in sums} == sums


@pytest.mark.django_db
def test_booking_twice_changes_nothing():
    order = planned_entry(factories.bot())
    fills = [fill(order, amount=D("0.0005"))]
    assert book(order, fills) == D("0.0005")
    before = Position.objects.values().get()

    assert book(order, fills) == 0 and Position.objects.values().get() == before and Trade.objects.count() == 1


@pytest.mark.django_db
def test_the_same_fill_twice_in_one_answer_is_booked_once():
    order = planned_entry(factories.bot())
    one = fill(order, amount=D("0.0005"))

    assert book(order, [one, one]) == D("0.0005") and Trade.objects.count() == 1


@pytest.mark.django_db
def test_stop_and_target_are_frozen_with_the_first_fill():
    order = planned_entry(factories.bot())
    book(order, [fill(order, amount=D("0.0002"))])
    first = Position.objects.get()
    book(order, [fill(order, amount=D("0.0002"), price=PRICE * D("1.2"), trade_id="t2")])

    second = Position.objects.get()
    assert (second.stop_price, second.target_price) == (first.stop_price, first.target_price) == (PRICE * D("0.95"), PRICE * D("1.1"))


@pytest.mark.django_db
def test_the_strategys_nearer_distances_hold():
    order = planned_entry(factories.bot())
    with triggers_off():
        Order.objects.update(plan={**PLAN, "stop_distance": "1000000", "target_distance": "2000000.4"})
    order.refresh_from_db()
    book(order, [fill(order, amount=D("0.0002"))])

    position = Position.objects.get()
    assert (position.stop_price, position.target_price) == (PRICE - 1_000_000, PRICE + 2_000_000)


@pytest.mark.django_db
def test_profit_is_what_came_in_less_what_went_out_and_the_fees():
    bot = factories.bot()
    order = planned_entry(bot)
    book(order, [fill(order, amount=D("0.001"), fee=D(50))])
    sale = planned_exit(Position.objects.get())
    book(sale, [fill(sale, amount=D("0.001"), price=PRICE * D("1.1"), trade_id="t2", fee=D(55))])

    position = Position.objects.get()
    assert position.closed_at == SLOT and position.realised_profit == D(10_000) - 105 and position.entry_price == PRICE


# --- Settings ---


@pytest.fixture
def first_settings(request: pytest.FixtureRequest) -> None:
    """All settings with their first values."""
    request.getfixturevalue("transactional_db" if request.node.get_closest_marker("django_db").kwargs.get("transaction") else "db")
    config.create_missing()


@pytest.mark.django_db
@pytest.mark.usefixtures("first_settings")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("risk_level", {"level": "brave"}),
        ("risk_level", {"level": []}),
        ("bot_status", True),
        ("trading_interval_minutes", {"minutes": 7}),
        ("nonsense", {}),
    ],
)
def test_a_wrong_change_is_refused_with_the_allowed_form_and_changes_nothing(key: str, value: Any):
    before = list(BotConfig.objects.values("key", "value", "updated_at")), ConfigVersion.objects.count(), AuditEntry.objects.count()

    with pytest.raises(BadInput, match=r"Allowed form|known are"):
        config.change(key=key, value=value, by=factories.user(), reason="try")

    assert (
        list(BotConfig.objects.values("key", "value", "updated_at")),
        ConfigVersion.objects.count(),
        AuditEntry.objects.count(),
    ) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("first_settings")
def test_a_change_is_kept_with_who_when_and_why():
    operator = factories.user("kim")
    version = config.current().version

    config.change(key="risk_level", value={"level": "high"}, by=operator, reason="calm week")

    change = ConfigVersion.objects.latest("pk")
    assert (change.key, change.before, change.after, change.changed_by, change.reason) == (
        "risk_level",
        {"level": "medium"},
        {"level": "high"},
        operator,
        "calm week",
    )
    assert change.changed_at is not None and config.current().version == change.pk != version and config.current().risk_level == "high"
    entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.reason, entry.diff) == ("kim", "calm week", {"risk_level": [{"level": "medium"}, {"level": "high"}]})


@pytest.mark.django_db
@pytest.mark.usefixtures("first_settings")
def test_the_same_value_again_is_no_change():
    config.change(key="risk_level", value={"level": "medium"}, by=factories.user(), reason="-")

    assert ConfigVersion.objects.count() == len(SETTINGS) and not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("first_settings")
def test_what_is_missing_is_added_and_what_is_there_is_kept():
    config.change(key="risk_level", value={"level": "low"}, by=factories.user(), reason="-")
    BotConfig.objects.filter(key="bot_status").delete()

    assert config.create_missing({"risk_level": {"level": "high"}}) == ["bot_status"]
    assert config.create_missing() == [] and config.current().risk_level == "low"


@pytest.mark.django_db
@pytest.mark.usefixtures("first_settings")
def test_a_missing_row_is_told_and_not_made_up():
    BotConfig.objects.filter(key="risk_level").delete()

    with pytest.raises(BadInput, match="risk_level"):
        config.current()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("first_settings")
def test_one_version_names_one_state_of_all_settings():
    """A change that began first and is committed last must not come to light under a version that others have read."""
    by, has_changed, may_commit = factories.user(), threading.Event(), threading.Event()

    def slowly() -> None:
        with transaction.atomic():
            config.change(key="risk_level", value={"level": "low"}, by=by, reason="slow")
            has_changed.set()
            assert may_commit.wait(factories.WAIT_S)

    slow = Thread(slowly)
    assert has_changed.wait(factories.WAIT_S)
    quick = Thread(lambda: config.change(key="bot_status", value={"enabled": True}, by=by, reason="quick"))
    quick.join(0.5)
    first = config.current()
    may_commit.set()
    slow.join_or_fail()
    quick.join_or_fail()
    last = config.current()

    assert first.version != last.version or first == last
    assert (last.risk_level, last.enabled) == ("low", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("first_settings")
def test_concurrent_changes_never_give_a_mixed_reading():
    by, stop = factories.user(), threading.Event()
    levels, amounts = ["low", "high"], [30_000, 15_000]

    def write(key: str, field: str, values: list[Any]) -> None:
        for number in range(12):
            config.change(key=key, value={field: values[number % 2]}, by=by, reason=str(number))

    def read() -> dict[int | None, set[Any]]:
        seen: dict[int | None, set[Any]] = {}
        while not stop.is_set():
            now = config.current()
            seen.setdefault(now.version, set()).add((now.risk_level, now.max_trade_amount_krw))
        return seen

    reader = Thread(read)
    writers = [Thread(lambda: write("risk_level", "level", levels)), Thread(lambda: write("max_trade_amount_krw", "amount", amounts))]
    for writer in writers:
        writer.join_or_fail()
    stop.set()

    assert all(len(states) == 1 for states in reader.join_or_fail().values())
    assert audit.first_broken() is None and AuditEntry.objects.count() == ConfigVersion.objects.count() - len(SETTINGS)


# --- Audit log ---


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "action = 'else'",
        "target = 'bot:9'",
        "reason = 'none'",
        "diff = '{}'",
        "actor_name = 'x'",
        "at = at + interval '1 second'",
        "hash = repeat('0', 64)",
        "previous_hash = ''",
    ],
)
def test_a_tampered_entry_is_found(change: str):
    for number in range(4):
        audit.record(actor=f"process{number}", action="act", target=f"bot:{number}", reason="because", diff={"a": [1, number]})
    assert audit.first_broken() is None
    victim = AuditEntry.objects.order_by("pk")[2].pk

    with triggers_off():
        execute(f"UPDATE audit_log SET {change} WHERE id = %s", victim)

    assert audit.first_broken() == victim


@pytest.mark.django_db
def test_an_entry_cut_out_of_the_chain_is_found():
    for number in range(3):
        audit.record(actor="process", action="act", target=f"bot:{number}")
    first, cut, last = AuditEntry.objects.order_by("pk").values_list("pk", flat=True)

    with triggers_off():
        execute("DELETE FROM audit_log WHERE id = %s", cut)

    assert audit.first_broken() == last and first < cut


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_unbroken_chain():
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait(factories.WAIT_S)
        for turn in range(5):
            audit.record(actor=f"process{number}", action="act", target=f"bot:{turn}")

    for thread in [Thread(lambda number=number: write(number)) for number in range(4)]:
        thread.join_or_fail()

    assert AuditEntry.objects.count() == 20 and audit.first_broken() is None


@pytest.mark.django_db
def test_a_deed_that_is_undone_leaves_no_entry():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        audit.record(actor="process", action="act", target="bot:1")
        raise ZeroDivisionError

    assert not AuditEntry.objects.exists()
