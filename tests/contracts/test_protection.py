"""Every position is covered by the guardian or by a stop at the exchange, and the seconds without either are counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dgbot.core.clock import SystemClock
from dgbot.core.types import Mode, OrderRequest, OrderType, Side, StopRequest
from risk import kill_switch
from tests import factories
from tests.contracts.bitget.stage import RAW, SYMBOL, connected
from tests.factories import execute
from tests.fakes.bitget import FakeBitget
from tests.fakes.core.faults import html
from trading.domain.reconcile import Scope, Verdict
from trading.exchanges.bitget import BitgetExchange
from trading.exchanges.venue import Venue
from trading.models import Bot, BotStatus, ExchangeAccount, ExternalOrder, Order, Position, ProtectiveStop, Trade
from trading.services import gateway, orders, protection, reconciling, resident_stops

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
PLACE_STOP = "POST *place-tpsl-order"


def stops(*columns: str) -> list[tuple[Any, ...]]:
    return list(ProtectiveStop.objects.order_by("position", "version").values_list(*columns))


# --- The guardian's own ---


def held(count: int = 1) -> list[Position]:
    home = factories.account(mode=Mode.PAPER)
    return [factories.position(factories.bot(home=home)) for _ in range(count)]


def test_what_the_guardian_watches_is_written_once_and_again_when_it_changes() -> None:
    (position,) = held()
    for _ in range(3):
        protection.tell([position.pk])
    Position.objects.update(amount=position.amount / 2)
    protection.tell([position.pk])

    assert stops("version", "covered_amount", "state", "kept_by") == [
        (1, position.amount, "replaced", "local"),
        (2, position.amount / 2, "live", "local"),
    ]
    assert [price for (price,) in stops("trigger_price")] == [position.stop_price] * 2


def test_a_silence_of_the_guardian_is_counted_whole_and_a_short_pause_is_not() -> None:
    first, second = held(2)
    protection.tell([first.pk, second.pk])
    execute("UPDATE protective_stops SET covered_until = clock_timestamp() - interval '40 s' WHERE position_id = %s", first.pk)
    execute("UPDATE protective_stops SET covered_until = clock_timestamp() - interval '6 s' WHERE position_id = %s", second.pk)

    assert {pk: round(seconds) for pk, seconds in protection.unprotected().items()} == {first.pk: 40}
    protection.tell([first.pk, second.pk])

    assert [round(naked / 1000) for (naked,) in stops("naked_ms")] == [40, 0]
    assert protection.unprotected() == {}


def test_a_closed_position_needs_no_protection() -> None:
    (position,) = held()
    protection.tell([position.pk])
    Position.objects.update(amount=0, closed_at=position.opened_at, exit_reason="stop")

    protection.tell([])

    assert stops("state") == [("ended",)] and protection.unprotected() == {}


# --- At the exchange ---


@dataclass
class Stage:
    """A position of ours at a fake Bitget, and the gateway's view of it."""

    fake: FakeBitget
    exchange: BitgetExchange
    position: Position

    @property
    def account(self) -> ExchangeAccount:
        return self.position.account

    @property
    def venue(self) -> Venue:
        return Venue(mode=Mode.LIVE, clock=SystemClock(), exchange=self.exchange, history=None)  # type: ignore[arg-type]

    def tend(self) -> None:
        resident_stops.tend(self.account, venue=self.venue)

    def reconcile(self) -> dict[str, int]:
        """What a run has booked."""
        tenure = gateway.take_account(self.account.pk)
        assert tenure is not None
        made = reconciling.run(account=self.account, venue=self.venue, tenure=tenure, scope=Scope.FILLS)
        assert made.verdict == Verdict.READ, made.cause
        return made.booked

    def pass_seconds(self, seconds: int) -> None:
        """As if everything had been asked for and seen so much earlier."""
        execute(
            "UPDATE protective_stops SET asked_at = asked_at - %s * interval '1 s', covered_until = covered_until - %s * interval '1 s'",
            seconds,
            seconds,
        )

    def buy(self, amount: str) -> None:
        """At the exchange and in our books."""
        self.exchange.place(OrderRequest(f"B{amount}".replace(".", "_"), SYMBOL, Side.BUY, OrderType.MARKET, amount=D(amount)))
        Position.objects.filter(pk=self.position.pk).update(amount=self.held, bought_amount=self.held, bought_total=self.held * 3000)

    @property
    def held(self) -> Decimal:
        return sum((one.amount for one in self.exchange.positions()), D(0))

    def resting(self) -> list[tuple[Decimal, Decimal]]:
        return sorted((stop.trigger_price, stop.amount or D(0)) for stop in self.exchange.stops(SYMBOL))


@pytest.fixture
def stage() -> Iterator[Stage]:
    account = ExchangeAccount.objects.create(
        user=factories.user(), name="perpetuals", exchange="bitget", mode=Mode.LIVE.value, quote_currency="USDT"
    )
    bot = Bot.objects.create(
        user=account.user,
        account=account,
        mode="live",
        name="perp",
        symbol=SYMBOL,
        strategy="ai",
        is_running=True,
        status=BotStatus.RUNNING,
    )
    position = Position.objects.create(
        bot=bot,
        account=account,
        user=account.user,
        mode="live",
        symbol=SYMBOL,
        amount=0,
        stop_price=2900,
        target_price=3300,
        plan=factories.PLAN,
        opened_at=datetime.now(tz=UTC),
    )
    with FakeBitget() as fake:
        fake.open_market(RAW)
        made = Stage(fake, connected(fake, fake.add_account()), position)
        made.buy("0.05")
        yield made
        assert fake.disagreements() == []


def test_a_position_carries_a_stop_of_its_size_that_was_read_back(stage: Stage) -> None:
    stage.tend()
    stage.tend()

    assert stage.resting() == [(D(2900), D("0.05"))]
    assert stops("version", "kept_by", "state", "covered_amount") == [(1, "exchange", "live", D("0.05"))]
    assert len(stage.fake.server.requests("POST /api/v2/mix/order/place-tpsl-order")) == 1


def test_more_bought_places_the_larger_stop_before_the_smaller_goes(stage: Stage) -> None:
    stage.tend()
    stage.buy("0.03")
    stage.tend()
    assert stage.resting() == [(D(2900), D("0.05")), (D(2900), D("0.08"))]

    stage.pass_seconds(11)
    stage.tend()

    assert stage.resting() == [(D(2900), D("0.08"))] and stops("state") == [("replaced",), ("live",)]


def test_a_stop_that_vanished_is_placed_again(stage: Stage) -> None:
    stage.tend()
    (stop,) = stage.exchange.stops(SYMBOL)
    stage.exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)
    stage.pass_seconds(11)

    stage.tend()

    assert stage.resting() == [(D(2900), D("0.05"))] and not Order.objects.exists()


def test_a_lost_answer_is_found_by_reading_and_nothing_is_placed_twice(stage: Stage) -> None:
    stage.fake.server.faults.set(PLACE_STOP, html(502, is_processed=True), times=1)
    stage.tend()
    stage.tend()

    assert stage.resting() == [(D(2900), D("0.05"))] and stops("state") == [("live",)]


def test_two_stops_that_are_never_seen_end_the_position(stage: Stage) -> None:
    stage.fake.desk.hides_new_stops = True
    stage.tend()
    assert not Order.objects.exists()
    stage.pass_seconds(6)
    stage.tend()
    assert not Order.objects.exists()
    stage.pass_seconds(6)
    stage.tend()
    stage.tend()

    order = Order.objects.get()
    assert (order.purpose, order.exit_reason, order.reduce_only, order.amount) == ("emergency", "unprotected", True, D("0.05"))
    assert order.decision_key == f"exit:{stage.position.pk}:1"


def test_two_refusals_end_the_position(stage: Stage) -> None:
    Position.objects.update(stop_price=3100)  # above the mark price: the exchange takes no such stop
    stage.tend()
    stage.tend()
    stage.tend()

    assert Order.objects.get().purpose == "emergency" and set(stops("state")) == {("failed",)}


def test_twenty_seconds_without_cover_end_the_position(stage: Stage) -> None:
    stage.tend()
    stage.fake.server.faults.set(PLACE_STOP, html(502))
    (stop,) = stage.exchange.stops(SYMBOL)
    stage.exchange.cancel_stop(symbol=SYMBOL, exchange_stop_id=stop.exchange_stop_id)
    stage.pass_seconds(21)

    stage.tend()
    assert not Order.objects.exists()  # asked for once more
    stage.tend()

    assert Order.objects.get().purpose == "emergency"


def test_an_unknown_list_of_stops_decides_nothing(stage: Stage) -> None:
    stage.fake.server.faults.set("GET *orders-plan-pending", html(502))

    stage.tend()

    assert not Order.objects.exists() and not ProtectiveStop.objects.exists()


def test_a_frozen_account_gets_no_stop(stage: Stage) -> None:
    kill_switch.change(scope="account", scope_id=str(stage.account.pk), level=4, by=stage.account.user, reason="drill")

    stage.tend()

    assert stage.resting() == [] and not ProtectiveStop.objects.exists()


def test_a_closed_positions_stop_is_taken_away(stage: Stage) -> None:
    stage.tend()
    Position.objects.update(amount=0, closed_at=stage.position.opened_at, exit_reason="target")

    stage.tend()

    assert stage.resting() == [] and stops("state") == [("ended",)]


# --- It fires ---


def test_what_a_fired_stop_sold_closes_its_bots_position(stage: Stage) -> None:
    stage.tend()
    stage.fake.desk.set_mark(RAW, 2890)
    assert stage.held == 0

    assert stage.reconcile() == {"fired_stops": 1}
    assert stage.reconcile() == {}
    stage.tend()

    position, order, trade = Position.objects.get(), Order.objects.get(), Trade.objects.get()
    assert (order.status, order.purpose, order.exit_reason, order.position_id) == ("filled", "exit", "stop", position.pk)
    assert order.client_id == ProtectiveStop.objects.get().client_id and order.events.count() == 4
    assert (trade.bot_id, trade.position_id, trade.amount) == (position.bot_id, position.pk, D("0.05"))
    assert (position.amount, position.exit_reason, position.is_open) == (0, "stop", False)
    assert stops("state") == [("ended",)] and not ExternalOrder.objects.filter(side="sell").exists()


def test_a_stop_that_fired_is_not_placed_again_before_its_sale_is_told(stage: Stage) -> None:
    stage.tend()
    stage.fake.desk.set_mark(RAW, 2890)
    stage.pass_seconds(11)

    stage.tend()
    stage.tend()

    assert len(stage.fake.server.requests("POST /api/v2/mix/order/place-tpsl-order")) == 1 and not Order.objects.exists()
    stage.reconcile()
    assert not Position.objects.get().is_open


def test_an_exit_that_meets_a_fired_stop_sells_nothing_twice(stage: Stage) -> None:
    stage.tend()
    exit_order = orders.plan_exit(position=Position.objects.get(), reason="target", now=datetime.now(tz=UTC))
    stage.fake.desk.set_mark(RAW, 2890)
    stage.reconcile()

    tenure = gateway.take_account(stage.account.pk)
    assert tenure is not None
    gateway.step(account_id=stage.account.pk, venue=stage.venue, tenure=tenure)

    exit_order.refresh_from_db()
    assert exit_order.status == "denied" and "only 0" in exit_order.error_message
    assert Trade.objects.count() == 1


def test_somebody_elses_stop_is_nobodys_exit(stage: Stage) -> None:
    stage.exchange.place_stop(StopRequest("THEIRS0000000000000000000000001", SYMBOL, Side.SELL, D(2950), D("0.05")))
    stage.fake.desk.set_mark(RAW, 2940)

    stage.reconcile()

    assert Position.objects.get().is_open and not Order.objects.exists()
    assert ExternalOrder.objects.filter(side="sell").count() == 1
