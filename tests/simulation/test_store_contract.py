"""One suite over both stores of the order path: what PostgreSQL does, the simulator's memory does too."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest

from dgbot.core.types import Mode, OrderRequest, OrderType, Purpose, Side, TradingRules, VenueFill
from risk import kill_switch
from risk.models import Reservation
from tests import factories
from tests.simulation.memory import HELD, Held, MemoryStore
from trading.domain.lifecycle import Actor, Status
from trading.domain.order_path.ports import CannotBook, Store
from trading.domain.order_path.values import (
    Cancel,
    CancelResult,
    Change,
    Inquiry,
    Move,
    NewSend,
    OrderFacts,
    ReservationChange,
    SendResult,
    SendVerdict,
    Tenure,
)
from trading.models import Position
from trading.services import gateway
from trading.services.order_store import DatabaseStore

pytestmark = pytest.mark.django_db(databases=["default", "venue"])

D = Decimal
NOW = factories.SLOT
RULES = TradingRules("KRW-BTC", "BTC", "KRW", D("0.00000001"), D(5000), ((D(0), D(1000)),))


class Books(Protocol):
    """A store with an account in it, and the right to send for it."""

    store: Store
    account_id: int
    tenure: Tenure

    def entry(self) -> int:
        """A planned entry with its reservation."""

    def exit(self) -> int:
        """A planned exit of a position of HELD."""

    def reservation(self, order_pk: int) -> str:
        """What became of the money set aside."""

    def held(self, order_pk: int) -> tuple[Decimal, int]:
        """What the order's position holds, and its next exit's version."""

    def successor(self) -> Tenure:
        """Another gateway's right, after ours ran out."""


class InMemory:
    """Books of the simulator."""

    def __init__(self) -> None:
        self.store = MemoryStore(mode=Mode.PAPER, machine_now=lambda: datetime.now(UTC), absent_hold_s=900.0, limit=D(10**9))
        self.account_id = 1
        self.tenure = self._taken("a")

    def entry(self) -> int:
        return self._planned(Purpose.ENTRY, Side.BUY, quote_amount=D(50_000))

    def exit(self) -> int:
        position = Held(1, 1, "KRW-BTC", amount=factories.HELD)
        self.store.positions.append(position)
        return self._planned(Purpose.EXIT, Side.SELL, position=position, amount=factories.HELD)

    def reservation(self, order_pk: int) -> str:
        return self.store.rows[order_pk].reservation

    def held(self, order_pk: int) -> tuple[Decimal, int]:
        position = self.store.rows[order_pk].position
        assert position is not None
        return position.amount, position.exit_version

    def successor(self) -> Tenure:
        self.store.leases["gateway:1"].expires_at = datetime.min.replace(tzinfo=UTC)
        return self._taken("b")

    def _taken(self, holder: str) -> Tenure:
        tenure = self.store.take_lease("gateway:1", holder=holder, seconds=30)
        assert tenure is not None
        return tenure

    def _planned(self, purpose: Purpose, side: Side, *, position: Held | None = None, **sizes: Decimal) -> int:
        request = OrderRequest(f"P{len(self.store.rows)}", "KRW-BTC", side, OrderType.MARKET, reduce_only=bool(position), **sizes)
        row = self.store.plan(bot=1, key=f"{len(self.store.rows)}", request=request, purpose=purpose, position=position)
        assert row is not None
        return row.pk


class InPostgres:
    """Books of the platform."""

    def __init__(self) -> None:
        self.world = factories.world(mode=Mode.PAPER)
        self.store, self.account_id, self.tenure = DatabaseStore(), self.world.bot.account_id, self.world.tenure

    def entry(self) -> int:
        return factories.planned_entry(self.world.bot).pk

    def exit(self) -> int:
        return factories.planned_exit(factories.position(self.world.bot)).pk

    def reservation(self, order_pk: int) -> str:
        return str(Reservation.objects.get(order_id=order_pk).status)

    def held(self, order_pk: int) -> tuple[Decimal, int]:
        position = Position.objects.get(orders=order_pk)
        return position.amount, position.exit_version

    def successor(self) -> Tenure:
        return factories.successor(self.tenure)


@pytest.fixture(params=[InMemory, InPostgres])
def books(request: pytest.FixtureRequest) -> Books:
    """Each of the two."""
    return request.param()


def write(books: Books, order_pk: int, change: Change | None, *, tenure: Tenure | None = None) -> Any:
    """One change, whoever writes it."""
    return books.store.change(order_pk, tenure=tenure, now=NOW, decide=lambda _facts: change)


def claim(books: Books, order_pk: int, *, tenure: Tenure | None = None) -> Any:
    """A claim that sends."""

    def decide(facts: OrderFacts, _grounds: Any) -> Change:
        return Change(moves=(move(Status.SUBMITTING),), send=NewSend(len(facts.sends) + 1, 3.0))

    return books.store.claim(order_pk, tenure=tenure or books.tenure, now=NOW, decide=decide)


def move(to: Status, actor: Actor = Actor.GATEWAY) -> Move:
    """A move without evidence."""
    return Move(to, actor, {})


def unclear(books: Books, order_pk: int) -> None:
    """Claimed, sent, and never answered."""
    claim(books, order_pk)
    write(books, order_pk, Change(moves=(move(Status.UNKNOWN),), verdict=SendVerdict(SendResult.AMBIGUOUS, {"duplicate": True})))


def fill(trade_id: str = "T1", amount: Decimal = factories.HELD, side: Side = Side.BUY) -> VenueFill:
    """An execution at PRICE."""
    return VenueFill(trade_id, "X1", None, "KRW-BTC", side, factories.PRICE, amount, D(25), "KRW", NOW)


def refused(books: Books, order_pk: int, change: Change) -> None:
    """The books refuse it, and nothing of it stays."""
    before = seen(books.store.read(order_pk))
    with pytest.raises(CannotBook):
        write(books, order_pk, change)
    assert seen(books.store.read(order_pk)) == before


def seen(facts: OrderFacts) -> tuple[Any, ...]:
    """All that a change may alter."""
    return facts.status, facts.version, facts.filled_amount, facts.sends, dict(facts.fills), facts.cancels, facts.inquiry, facts.held


def test_a_claim_is_read_back_with_its_send_and_its_next_version(books: Books):
    order_pk = books.entry()

    facts, change = claim(books, order_pk)

    after = books.store.read(order_pk)
    assert facts.status is Status.PLANNED and change.send == NewSend(1, 3.0)
    assert (after.status, after.version, len(after.sends)) == (Status.SUBMITTING, 2, 1)
    send = after.sends[0]
    assert (send.send_no, send.result, send.gateway_epoch) == (1, SendResult.CLAIMED, books.tenure.epoch)
    assert timedelta(seconds=2) < send.permit_until - facts.read_at < timedelta(seconds=5)


def test_what_is_not_decided_is_not_written(books: Books):
    order_pk = books.entry()
    before = seen(books.store.read(order_pk))

    assert write(books, order_pk, None) is None

    assert seen(books.store.read(order_pk)) == before


def test_a_right_to_send_that_was_lost_writes_nothing(books: Books):
    order_pk, old = books.entry(), books.tenure
    new = books.successor()

    assert claim(books, order_pk, tenure=old) is None
    assert write(books, order_pk, Change(cancel=Cancel(1, "x")), tenure=old) is None

    assert not books.store.holds(old) and books.store.holds(new)
    assert books.store.read(order_pk).status is Status.PLANNED and not books.store.read(order_pk).cancels


def test_an_illegal_move_is_refused(books: Books):
    refused(books, books.entry(), Change(moves=(move(Status.FILLED),)))


def test_a_move_by_the_wrong_actor_is_refused(books: Books):
    refused(books, books.entry(), Change(moves=(move(Status.DENIED, Actor.RECONCILER),)))


def test_an_entry_that_may_have_left_gets_no_second_send(books: Books):
    order_pk = books.entry()
    unclear(books, order_pk)

    with pytest.raises(CannotBook):
        claim(books, order_pk)

    assert len(books.store.read(order_pk).sends) == 1


def test_an_unclear_exit_gets_another_send_and_never_a_sixth(books: Books):
    order_pk = books.exit()
    for _ in range(5):
        unclear(books, order_pk)

    with pytest.raises(CannotBook):
        claim(books, order_pk)

    facts = books.store.read(order_pk)
    assert [send.send_no for send in facts.sends] == [1, 2, 3, 4, 5] and all(send.is_duplicate for send in facts.sends)


def test_executions_position_and_status_stand_or_fall_together(books: Books):
    order_pk = books.entry()
    claim(books, order_pk)
    refused(books, order_pk, Change(fills=(fill(),), rules=RULES, filled_amount=factories.HELD, moves=(move(Status.CANCELLING),)))

    done = Change(fills=(fill(),), rules=RULES, filled_amount=factories.HELD, exchange_order_id="X1", moves=(move(Status.FILLED),))
    write(books, order_pk, replace_reservation(done, ReservationChange.CONVERT))

    facts = books.store.read(order_pk)
    assert facts.status is Status.FILLED and facts.filled_amount == factories.HELD and set(facts.fills) == {"T1"}
    assert facts.exchange_order_id == "X1" and books.held(order_pk)[0] == factories.HELD and books.reservation(order_pk) == "converted"


def replace_reservation(change: Change, reservation: ReservationChange) -> Change:
    """The same with what becomes of the reservation."""
    return Change(
        fills=change.fills,
        rules=change.rules,
        filled_amount=change.filled_amount,
        exchange_order_id=change.exchange_order_id,
        moves=change.moves,
        reservation=reservation,
    )


def test_an_execution_is_booked_once_in_an_account(books: Books):
    order_pk = books.entry()
    claim(books, order_pk)
    booked = Change(fills=(fill(),), rules=RULES, filled_amount=factories.HELD, moves=(move(Status.PARTIALLY_FILLED),))
    write(books, order_pk, booked)

    refused(books, order_pk, Change(fills=(fill(),), rules=RULES, filled_amount=2 * factories.HELD))


def test_what_is_filled_never_falls(books: Books):
    order_pk = books.entry()
    claim(books, order_pk)
    booked = Change(fills=(fill(),), rules=RULES, filled_amount=factories.HELD, moves=(move(Status.PARTIALLY_FILLED),))
    write(books, order_pk, booked)

    refused(books, order_pk, Change(filled_amount=factories.HELD / 2))


def test_an_exit_takes_no_more_than_its_position_holds_unless_it_is_booked_as_stray(books: Books):
    order_pk = books.exit()
    claim(books, order_pk)
    much = fill(amount=2 * factories.HELD, side=Side.SELL)
    refused(books, order_pk, Change(fills=(much,), rules=RULES, filled_amount=much.amount))

    write(books, order_pk, Change(stray_fills=(much,), rules=RULES, filled_amount=much.amount, moves=(move(Status.FILLED),)))

    facts = books.store.read(order_pk)
    assert facts.status is Status.FILLED and set(facts.fills) == {"T1"} and books.held(order_pk)[0] == factories.HELD == facts.held


def test_an_exit_that_is_over_lets_the_next_one_be_planned(books: Books):
    order_pk = books.exit()
    claim(books, order_pk)

    write(books, order_pk, Change(moves=(move(Status.FAILED),), exit_is_over=True))

    assert books.held(order_pk) == (factories.HELD, 2)


def test_money_stays_reserved_while_the_exchange_may_have_the_order(books: Books):
    order_pk = books.entry()
    unclear(books, order_pk)

    refused(books, order_pk, Change(reservation=ReservationChange.RELEASE))

    assert books.reservation(order_pk) == HELD


def test_counters_of_an_inquiry_outlive_whoever_counted(books: Books):
    order_pk = books.entry()
    unclear(books, order_pk)
    at = NOW.replace(microsecond=0)
    kept = Inquiry(at, at, rounds=5, negatives=4, proofs=2, first_proof_at=at, last_proof_at=at)

    write(books, order_pk, Change(inquiry=kept))
    assert books.store.read(order_pk).inquiry == kept

    write(books, order_pk, Change(forgets_inquiry=True))
    assert books.store.read(order_pk).inquiry is None


def test_orders_are_listed_when_they_are_due(books: Books):
    order_pk = books.entry()
    unclear(books, order_pk)

    def listed(is_hurried: bool) -> list[int]:
        return list(books.store.unsettled(books.account_id, is_hurried=is_hurried))

    assert listed(False) == [order_pk]

    later = books.store.read(order_pk).read_at + timedelta(minutes=5)
    write(books, order_pk, Change(inquiry=Inquiry(later, later)))
    assert listed(False) == [] and listed(True) == [order_pk]

    write(books, order_pk, Change(cancel=Cancel(1, "wanted")))
    assert listed(False) == [order_pk]

    pointless = Cancel(1, "wanted", result=CancelResult.POINTLESS)
    write(books, order_pk, Change(cancel=pointless, moves=(move(Status.ABSENT, Actor.RECONCILER),)))
    assert listed(True) == []


def test_a_wish_to_cancel_is_kept_sent_and_answered(books: Books):
    order_pk = books.entry()
    claim(books, order_pk)
    write(books, order_pk, Change(moves=(move(Status.OPEN),), cancel=Cancel(1, "kill switch")))
    wanted = books.store.read(order_pk).wanted_cancel
    assert wanted == Cancel(1, "kill switch")

    write(books, order_pk, Change(moves=(move(Status.CANCELLING),), cancel=Cancel(1, "kill switch", sent_at=NOW)))
    write(books, order_pk, Change(cancel=Cancel(1, "kill switch", sent_at=NOW, result=CancelResult.ACCEPTED)))

    facts = books.store.read(order_pk)
    assert facts.status is Status.CANCELLING and facts.wanted_cancel is None
    assert facts.cancels == (Cancel(1, "kill switch", sent_at=NOW, result=CancelResult.ACCEPTED),)


@pytest.mark.parametrize(("age_s", "released"), [(60, 0), (1000, 1)])
def test_what_an_absent_entry_reserved_is_kept_for_a_while(books: Books, age_s: float, released: int):
    order_pk = books.entry()
    unclear(books, order_pk)
    at = books.store.read(order_pk).read_at - timedelta(seconds=age_s)
    proof = Inquiry(at, at, rounds=4, negatives=4, proofs=4, first_proof_at=at, last_proof_at=at)
    write(books, order_pk, Change(moves=(move(Status.ABSENT, Actor.RECONCILER),), inquiry=proof))

    assert books.store.release_absent(books.account_id, tenure=books.tenure) == released

    assert books.reservation(order_pk) == ("released" if released else HELD)


def test_a_claim_sees_the_kill_switch_and_what_the_position_holds():
    books = InPostgres()
    order_pk = books.exit()
    kill_switch.change(scope="platform", scope_id="", level=3, by=books.world.bot.user, reason="test")
    told: list[Any] = []

    books.store.claim(order_pk, tenure=books.tenure, now=NOW, decide=lambda _facts, grounds: told.append(grounds))

    assert (told[0].kill_level, told[0].reducible) == (3, factories.HELD)


def test_the_gateways_waits_come_from_the_settings(settings: Any):
    settings.VISIBLE_WITHIN_S, settings.ABANDONED_AFTER_S = 7.0, 5.0

    assert (gateway.waits().visible_within_s, gateway.waits().abandoned_after_s) == (7.0, 5.0)
