"""Orders whose answer was lost, at an exchange that is asked for real: what silence proves, and what it does not."""

from typing import Any

import pytest

from dgbot.core.errors import ExchangeUnavailable, OutcomeUnknown
from dgbot.core.types import Mode
from risk.models import Reservation
from tests.factories import World, execute, planned_entry, planned_exit, position, successor, world
from trading.models import Order, OrderInquiry
from trading.models import VenueOrder as VenueOrderRow
from trading.services import gateway, orders

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])


@pytest.fixture(autouse=True)
def _short_waits(settings: Any) -> None:
    """Tenths of seconds instead of minutes."""
    settings.ABANDONED_AFTER_S = settings.VISIBLE_WITHIN_S = settings.ABSENT_HOLD_S = 0.05
    settings.ENTRY_PERMIT_S = 5.0  # a busy machine must not let it run out before the write


@pytest.fixture
def w() -> World:
    """A paper account: its exchange is asked, and one answer is not the truth."""
    return world(mode=Mode.PAPER)


def lost(*_: Any, **__: Any) -> None:
    """The request never arrives, and nobody knows."""
    raise OutcomeUnknown("timeout")


def ask(w: World) -> None:
    """One round of questions, before its time."""
    gateway.settle_and_send(account_id=w.bot.account_id, venue=w.venue, tenure=w.tenure, is_hurried=True)


def permits_ended(order: Order) -> None:
    """As if it had been sent an hour ago."""
    execute("SET session_replication_role = replica")
    execute("UPDATE order_sends SET permit_until = permit_until - interval '1 hour' WHERE order_pk = %s", order.pk)
    execute("SET session_replication_role = DEFAULT")


def test_a_lost_entry_is_absent_after_four_whole_rounds_and_keeps_its_money_reserved_for_a_while(w: World, settings: Any):
    settings.ABSENT_HOLD_S = 3600
    w.edge.before["place"] = lost
    order = w.fill(planned_entry(w.bot))
    assert order.status == "unknown"
    permits_ended(order)
    for _ in range(3):
        ask(w)
        order.refresh_from_db()
        assert order.status == "unknown"
    execute("UPDATE order_inquiries SET first_proof_at = first_proof_at - interval '1 minute'")

    ask(w)

    order.refresh_from_db()
    assert order.status == "absent" and order.sends.count() == 1 and Reservation.objects.get(order=order).status == "held"
    settings.ABSENT_HOLD_S = 0.0
    ask(w)
    assert Reservation.objects.get(order=order).status == "released"


def test_rounds_before_the_last_byte_can_have_arrived_prove_nothing(w: World, settings: Any):
    settings.ABANDONED_AFTER_S = 3600
    w.edge.before["place"] = lost
    order = w.fill(planned_entry(w.bot))
    for _ in range(6):
        ask(w)

    order.refresh_from_db()
    inquiry = OrderInquiry.objects.get(order=order)
    assert order.status == "unknown" and (inquiry.negatives, inquiry.proofs) == (6, 0)


def test_a_round_with_an_unanswered_question_proves_nothing_and_a_new_gateway_counts_on(w: World):
    w.edge.before["place"] = lost
    order = w.fill(planned_entry(w.bot))
    permits_ended(order)
    ask(w)

    def closed(*_: Any, **__: Any) -> None:
        raise ExchangeUnavailable("maintenance")

    w.edge.before["closed_orders"] = closed
    ask(w)
    w.edge.before.pop("closed_orders")
    w.tenure = successor(w.tenure)
    ask(w)

    inquiry = OrderInquiry.objects.get(order=order)
    assert (inquiry.rounds, inquiry.negatives, inquiry.proofs) == (3, 2, 2)


def test_a_lost_exit_leaves_again_under_its_one_id_and_sells_once(w: World):
    w.store.open(asset="BTC", amount=position(w.bot).amount)
    order = planned_exit(w.bot.positions.get())
    w.edge.before["place"] = lost
    assert w.fill(order).status == "unknown"
    w.edge.before.clear()

    ask(w)

    order.refresh_from_db()
    assert order.status == "filled" and order.sends.count() == 2
    assert VenueOrderRow.objects.filter(client_id=order.client_id).count() == 1


def test_an_order_that_waits_to_be_sent_lapses_when_it_is_cancelled(w: World):
    order = planned_entry(w.bot)
    assert orders.request_cancel(order_pk=order.pk, reason="by hand") and orders.request_cancel(order_pk=order.pk, reason="twice")

    w.fill(order)

    assert order.status == "lapsed" and order.cancel_commands.get().result == "pointless"
    assert not orders.request_cancel(order_pk=order.pk, reason="too late")


def test_questions_come_further_apart_while_nothing_is_known(w: World):
    w.edge.before["place"] = lost
    order = w.fill(planned_entry(w.bot))
    w.edge.before["order"] = lambda *_, **__: pytest.fail("asked before its time")

    w.fill(order)

    assert order.status == "unknown"
