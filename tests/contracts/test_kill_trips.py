"""What raises the kill switch by itself, and what a raised one does to orders and positions that are there already."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from dgbot.core.errors import ClientIdKnown, ExchangeRejected, OutcomeUnknown
from dgbot.core.types import Level, OrderBook
from risk import kill_switch
from risk.domain.reasons import Reason
from risk.domain.trips import Facts, clock_trip, stale_trip, trips
from risk.models import KillSwitch, KillSwitchChange
from tests import factories
from tests.factories import PRICE, SLOT, World, execute, planned_entry, rows, world
from trading.models import Order, Position
from trading.services import gateway_duties, kill_trips, sales

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
HOUR = timedelta(hours=1)


def raises(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def some_entries(w: World, count: int, *, home: Any = None) -> None:
    """Entries of as many bots, through the gateway."""
    for _ in range(count):
        planned_entry(factories.bot(home=w.bot.account), quote_amount=D(6_000))
    w.gateway_step()


def tripped() -> list[tuple[str, str, str]]:
    """Rule, value and limit of every trip."""
    kill_trips.look(factories.ExchangeAccount.objects.order_by("pk")[0])
    return list(KillSwitchChange.objects.exclude(code="").order_by("pk").values_list("code", "value", "limit"))


def set_level(w: World, level: int) -> None:
    kill_switch.change(scope="account", scope_id=str(w.bot.account_id), level=level, by=w.bot.user, reason="drill")


# --- Trips ---


@pytest.mark.parametrize(("count", "codes"), [(3, []), (4, [("many_unknown", "4", "3")])])
def test_more_than_three_orders_of_unknown_fate_within_five_minutes_trip(count: int, codes: list[Any]) -> None:
    w = world()
    w.edge.before["place"] = raises(OutcomeUnknown("timeout"))

    some_entries(w, count)

    assert tripped() == codes


def test_old_doubts_trip_nothing() -> None:
    w = world()
    w.edge.before["place"] = raises(OutcomeUnknown("timeout"))
    some_entries(w, 4)
    with factories.triggers_off():
        execute("UPDATE order_events SET recorded_at = recorded_at - interval '6 minutes'")

    assert tripped() == []


@pytest.mark.parametrize(("rejected", "codes"), [(5, []), (6, [("many_rejected", "6", "5")])])
def test_more_than_half_of_the_last_ten_orders_rejected_trip(rejected: int, codes: list[Any]) -> None:
    w = world()
    some_entries(w, 10 - rejected)
    w.edge.before["place"] = raises(ExchangeRejected("no", code="validation_error"))
    some_entries(w, rejected)

    assert tripped() == codes


def test_a_switch_that_was_lowered_trips_on_new_facts_only() -> None:
    w = world()
    w.edge.before["place"] = raises(OutcomeUnknown("timeout"))
    some_entries(w, 4)
    assert len(tripped()) == 1

    set_level(w, 0)
    assert len(tripped()) == 1

    some_entries(w, 4)
    assert len(tripped()) == 2


def test_an_order_that_was_given_up_and_comes_back_trips() -> None:
    w = world()
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    order = w.fill(planned_entry(w.bot))
    with factories.triggers_off():
        execute(
            "INSERT INTO order_events (order_pk, seq, from_status, to_status, actor, evidence, created_at)"
            " VALUES (%s, 9, 'absent', 'filled', 'reconciler', '{}', clock_timestamp())",
            order.pk,
        )

    assert tripped() == [("resurrected", str(order.pk), "none")]


def test_what_the_guardian_notices_trips_too() -> None:
    assert kill_trips.clock(exchange="upbit", offset=timedelta(seconds=-6)) and not kill_trips.clock(exchange="bitget", offset=timedelta(0))
    assert kill_trips.stale(symbol="KRW-BTC", age_s=301) and not kill_trips.stale(symbol="KRW-ETH", age_s=11)
    assert sorted(KillSwitch.objects.values_list("scope", "level")) == [("exchange", 1), ("market", 1)]


def test_an_order_sent_once_whose_id_the_exchange_knew_before_trips() -> None:
    w = world()
    w.edge.before["place"] = raises(ClientIdKnown("40786"))

    order = w.fill(planned_entry(w.bot))

    assert tripped() == [("duplicate_id", str(order.pk), "one send")]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (Facts(sent_by_bot={1: 100, 2: 21}), "rate_account"),
        (Facts(sent_by_bot={1: 13}), "rate_bot"),
        (Facts(unknown=4), "many_unknown"),
        (Facts(answers=10, rejected=6), "many_rejected"),
        (Facts(resurrected=(5,)), "resurrected"),
        (Facts(known_before=(5,)), "duplicate_id"),
    ],
)
def test_every_rule_names_value_limit_and_remedy(facts: Facts, code: str) -> None:
    found = {reason.code: reason for reason in trips(facts, most_by_account=120, most_by_bot=12)}
    more = [clock_trip(6, exchange="upbit"), stale_trip(400, symbol="KRW-BTC")]

    for reason in (found[code], *more):
        assert isinstance(reason, Reason) and reason.value and reason.limit and reason.remedy.endswith(".")


def test_nothing_trips_a_quiet_account() -> None:
    assert trips(Facts(), most_by_account=1, most_by_bot=1) == () and clock_trip(5, exchange="upbit") is None


# --- What a raised switch does ---


def bought(w: World) -> Position:
    order = w.fill(planned_entry(w.bot))
    assert order.position is not None
    return order.position


def turn(w: World) -> None:
    """One turn of the gateway, duties included."""
    gateway_duties.before_sending(w.bot.account, venue=w.venue)
    w.gateway_step()


def test_level_three_sells_what_is_held_and_level_two_does_not() -> None:
    w = world()
    position = bought(w)
    set_level(w, 2)
    turn(w)
    assert not Order.objects.filter(purpose="exit").exists()

    set_level(w, 3)
    turn(w)
    turn(w)

    position.refresh_from_db()
    assert (position.exit_reason, position.amount) == ("kill_switch", 0) and Order.objects.filter(purpose="exit").count() == 1


def test_level_four_sends_nothing_that_was_planned_before() -> None:
    w = world()
    bought(w)
    set_level(w, 4)
    turn(w)

    assert not Order.objects.filter(purpose="exit").exists()


def test_level_two_asks_to_cancel_entries_that_may_rest_once() -> None:
    w = world()
    w.edge.after["place"] = raises(OutcomeUnknown("timeout"))
    order = w.fill(planned_entry(w.bot))
    set_level(w, 2)

    for _ in range(3):
        gateway_duties.before_sending(w.bot.account, venue=w.venue)

    assert rows("SELECT order_pk, reason FROM cancel_commands") == [(order.pk, "the kill switch is at level 2")]


def thin(w: World, *, deep: str) -> None:
    """A real book, ten levels of `deep` each, half a per cent apart."""
    bids = tuple(Level(PRICE * (1 - D("0.005") * place), D(deep)) for place in range(10))
    w.edge.after["order_book"] = lambda _book: OrderBook("KRW-BTC", bids, (Level(PRICE * 2, D(1)),), SLOT)


def test_a_sale_too_large_for_the_book_goes_on_until_nothing_is_left() -> None:
    w = world()
    position = bought(w)
    thin(w, deep=str(position.amount / 8))
    set_level(w, 3)
    for _ in range(8):
        turn(w)

    position.refresh_from_db()
    parts = Order.objects.filter(purpose="exit").order_by("pk")
    assert position.amount == 0 and 2 <= parts.count() <= 10
    assert [part.decision_key for part in parts] == [f"exit:{position.pk}:{number}" for number in range(1, parts.count() + 1)]


def test_a_sale_of_a_part_ends_with_the_part() -> None:
    w = world()
    position = bought(w)
    thin(w, deep=str(position.amount / 20))
    half = (position.amount / 2).quantize(D("0.00000001"))
    sales.sell(Position.objects.select_related("bot__account").get(), reason="operator", venue=w.venue, now=SLOT, amount=half)
    for _ in range(6):
        turn(w)

    left = position.amount - half
    position.refresh_from_db()
    assert position.amount == left and Order.objects.filter(purpose="exit").count() > 1
