"""Partial levels and the trailing stop over real rows: nothing is sold twice, nothing loosens, whoever dies in between."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from dgbot.core.errors import ExchangeRejected, ExchangeUnavailable
from tests import factories
from tests.factories import PLAN, PRICE, SLOT, Died, World, choppy, dies, planned_entry, planned_exit, world
from trading.models import Order, Position, StageResult, Trade
from trading.models import VenueOrder as VenueOrderRow
from trading.services import cycles, exits, guardian

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])

D = Decimal
AMOUNT = D(200_000)
HALVES = [{"profit_fraction": "0.05", "share": "0.5"}, {"profit_fraction": "0.08", "share": "1"}]
FIRST, SECOND = PRICE * D("1.06"), PRICE * D("1.09")


def holding(**plan: Any) -> tuple[World, Position]:
    """A bot that has bought, with this in its plan."""
    w = world(trade_amount=AMOUNT)
    order = w.fill(planned_entry(w.bot, quote_amount=AMOUNT, plan={**PLAN, "levels": HALVES, **plan}))
    assert order.position is not None
    return w, order.position


def tick(w: World, price: Decimal) -> list[Order]:
    """The guardian sees a price."""
    w.quotes.price = price
    return guardian.step(account_id=w.bot.account_id, exchange=w.venue.exchange, tick=w.edge.ticker(w.bot.symbol), now=SLOT)


def run_cycle(w: World, *, slot: datetime = SLOT + timedelta(hours=1)) -> None:
    """One cycle of the bot; the entry's was at SLOT."""
    assert cycles.run(bot_id=w.bot.pk, slot=slot, venue=w.venue) is not None


def sold(position: Position) -> Decimal:
    """Base currency sold by now."""
    return sum(Trade.objects.filter(position=position, side="sell").values_list("amount", flat=True), D(0))


def test_each_level_sells_once_however_often_it_is_seen_and_whoever_starts_anew():
    w, position = holding()
    for _ in range(3):
        tick(w, FIRST)
        w.gateway_step()
        connection.close()  # as a new process finds it
    position.refresh_from_db()
    assert (position.levels_taken, sold(position)) == (1, position.bought_amount / 2)

    for _ in range(2):
        tick(w, SECOND)
        w.gateway_step()

    position.refresh_from_db()
    assert (position.levels_taken, position.exit_reason, sold(position)) == (2, "partial", position.bought_amount)
    assert [order.plan for order in Order.objects.filter(purpose="exit").order_by("pk")] == [{"level": 1}, {"level": 2}]


def test_cycle_and_guardian_make_one_order_of_a_level_and_the_row_says_why():
    w, position = holding()
    planned = tick(w, FIRST)

    run_cycle(w)

    assert [order.pk for order in planned] == list(Order.objects.filter(purpose="exit").values_list("pk", flat=True))
    row = StageResult.objects.get(stage="risk_check")
    assert row.reasons[0]["message"] == (
        f"Level 1 of position {position.pk} at 105021000 is reached at 106000000; 50.00 % of what is held is sold now."
    )


def test_a_stop_waits_for_the_levels_order_and_sells_the_rest():
    w, position = holding()
    tick(w, FIRST)

    assert tick(w, PRICE * D("0.9")) == []  # it is on its way
    w.gateway_step()
    (stop,) = tick(w, PRICE * D("0.9"))
    w.gateway_step()

    position.refresh_from_db()
    assert (stop.exit_reason, position.amount, position.exit_reason) == ("stop", 0, "stop")


def test_a_level_whose_order_was_refused_is_due_again():
    w, position = holding()

    def refuse(*_: Any, **__: Any) -> None:
        raise ExchangeRejected("not now", code="no")

    w.edge.before["place"] = refuse
    tick(w, FIRST)
    w.gateway_step()
    position.refresh_from_db()
    assert (position.levels_taken, sold(position)) == (0, 0)

    w.edge.before.clear()
    tick(w, FIRST)
    w.gateway_step()

    position.refresh_from_db()
    assert (position.levels_taken, sold(position)) == (1, position.bought_amount / 2)


def test_a_gateway_that_dies_after_the_sale_sells_no_level_twice():
    w, position = holding()
    tick(w, FIRST)
    w.edge.after["place"] = dies
    with pytest.raises(Died):
        w.gateway_step()
    w.edge.after.clear()
    tick(w, FIRST)
    w.wait_out_the_send()
    w.gateway_step()
    tick(w, FIRST)
    w.gateway_step()

    position.refresh_from_db()
    assert (position.levels_taken, sold(position)) == (1, position.bought_amount / 2)
    assert VenueOrderRow.objects.filter(side="sell").count() == 1


def test_a_cycle_that_is_taken_over_leaves_a_level_the_guardian_has_sold():
    w, position = holding()
    tick(w, FIRST)
    w.gateway_step()

    rules = w.venue.exchange.trading_rules("KRW-BTC", at=SLOT)
    found_anew = exits.look(Position.objects.get(pk=position.pk), price=FIRST, rules=lambda: rules)

    assert found_anew.due is None


def test_an_operators_sale_sells_all_whatever_the_levels_say():
    w, position = holding()
    planned_exit(position, reason="manual")
    tick(w, FIRST)
    w.gateway_step()

    position.refresh_from_db()
    assert (position.amount, position.levels_taken, Order.objects.filter(purpose="exit").count()) == (0, 0, 1)


def test_a_level_too_small_to_be_sold_is_spent_at_once():
    w, position = holding(levels=[{"profit_fraction": "0.05", "share": "0.01"}, {"profit_fraction": "0.08", "share": "1"}])

    assert tick(w, FIRST) == []

    position.refresh_from_db()
    assert (position.levels_taken, position.amount) == (1, position.bought_amount)


def test_the_trailing_stop_follows_closes_and_survives_a_restart():
    w, position = holding(trail_distance="300000", levels=[])
    w.quotes.recording = choppy(factories.BARS + 3)
    later = SLOT + timedelta(hours=2)
    w.clock.move_to(later)
    run_cycle(w, slot=later)
    connection.close()

    position.refresh_from_db()
    best = max(w.quotes.recording.candle(index).high for index in range(factories.BARS, factories.BARS + 2))
    assert position.high_water == best
    assert position.trailing_stop_price == position.current_stop
    assert position.stop_price is not None and position.trailing_stop_price > position.stop_price
    (order,) = tick(w, position.trailing_stop_price)
    assert order.exit_reason == "trailing"


def test_a_trailing_stop_that_cannot_follow_says_so_and_stays():
    w, position = holding(trail_distance="300000", levels=[])
    later = SLOT + timedelta(hours=1)
    w.clock.move_to(later)
    w = replace(w, venue=replace(w.venue, history=Silent()))

    run_cycle(w, slot=later)

    row = StageResult.objects.get(stage="risk_check", cycle__slot=later)
    assert [reason["code"] for reason in row.reasons] == ["trailing_stop_waits"]
    assert "stays where it is: the candles are away." in row.reasons[0]["message"]
    position.refresh_from_db()
    assert position.trailing_stop_price is None


class Silent:
    """A history that cannot be asked."""

    def closed(self, *_: Any, **__: Any) -> Any:
        """See CandleHistory."""
        raise ExchangeUnavailable("the candles are away")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trailing_stop_price": PRICE * D("0.97")}, "never loosens"),
        ({"trailing_stop_price": None}, "never loosens"),
        ({"high_water": PRICE}, "never falls"),
        ({"levels_taken": 0}, "stays so"),
        ({"levels_taken": 5}, "position_levels_taken_in_range"),
        ({"stop_price": PRICE}, "position_trailing_stop_is_nearer"),
    ],
)
def test_what_a_position_remembers_goes_one_way(change: dict[str, Any], told: str):
    position = factories.position(factories.bot())
    rows = Position.objects.filter(pk=position.pk)
    rows.update(trailing_stop_price=PRICE * D("0.98"), high_water=PRICE * D("1.01"), levels_taken=1)

    with pytest.raises(DatabaseError, match=told), transaction.atomic():
        rows.update(**change)
