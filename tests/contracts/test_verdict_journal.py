"""The database goes away between the request and its booking: what the exchange answered is kept on the disk and booked later."""

from contextlib import suppress
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections

from dgbot.core.errors import ExchangeRejected, ExchangeUnavailable
from tests.factories import World, execute, planned_entry, world
from trading.domain.lifecycle import Status
from trading.models import Order, Trade
from trading.services import books_check, gateway, verdict_journal

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Any) -> None:
    """A journal of this test alone."""
    settings.DATA_DIR = tmp_path


def cut() -> None:
    """PostgreSQL ends this connection, as it does when its server goes down."""
    with suppress(OperationalError, InterfaceError):
        execute("SELECT pg_terminate_backend(pg_backend_pid())")


def back() -> None:
    """The next statement connects anew."""
    connections["default"].close()


def sent_while_away(w: World, order: Order, *, error: Exception | None = None) -> None:
    """The claim commits, the request leaves, and then nothing can be written. error: how the wire ends, if not with an answer."""

    def before(*_: Any, **__: Any) -> None:
        if error is not None:
            cut()
            raise error

    def after(answer: Any) -> Any:
        cut()
        return answer

    permit = gateway.claim(order_pk=order.pk, venue=w.venue, tenure=w.tenure)
    assert permit is not None
    w.edge.before["place"], w.edge.after["place"] = before, after
    with pytest.raises((OperationalError, InterfaceError)):
        gateway.send(permit, venue=w.venue, tenure=w.tenure)
    back()
    w.edge.before.clear()
    w.edge.after.clear()
    order.refresh_from_db()
    assert order.status == Status.SUBMITTING


def replayed(w: World) -> int:
    """The database is back."""
    return verdict_journal.replay(w.bot.account_id, gateway.path(venue=w.venue, tenure=w.tenure))


def test_an_acknowledgement_is_booked_with_its_fills_when_the_database_is_back():
    w = world()
    order = planned_entry(w.bot)
    sent_while_away(w, order)

    assert replayed(w) == 1 and replayed(w) == 0
    order.refresh_from_db()
    assert order.status == Status.FILLED and order.sends.get().result == "acknowledged"
    assert Trade.objects.count() == len(w.store.orders(start=None, end=None)[0].fills) and not books_check.differences()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ExchangeRejected("too small", code="under_min_total"), Status.FAILED),
        (ExchangeUnavailable("no route"), Status.LAPSED),
        (TimeoutError("no answer"), Status.UNKNOWN),
    ],
)
def test_every_kind_of_answer_survives(error: Exception, status: Status):
    w = world()
    order = planned_entry(w.bot)
    sent_while_away(w, order, error=error)

    assert replayed(w) == 1
    order.refresh_from_db()
    assert order.status == status


def test_a_database_that_goes_away_again_leaves_the_journal():
    w = world()
    sent_while_away(w, planned_entry(w.bot))
    cut()
    with pytest.raises((OperationalError, InterfaceError)):
        replayed(w)
    back()

    assert replayed(w) == 1


def test_a_line_cut_off_by_a_crash_is_left_to_the_exchange(settings: Any):
    w = world()
    order = planned_entry(w.bot)
    sent_while_away(w, order)
    file = settings.DATA_DIR / "journal" / f"account-{w.bot.account_id}.jsonl"
    file.write_bytes(file.read_bytes()[:-30])

    assert replayed(w) == 0 and not file.exists()
    w.wait_out_the_send()
    assert w.fill(order).status == Status.FILLED
