"""Bugs planted into the order path, its store or its wiring, one at a time. The simulator must find every one of them.

Each is a generator that plants with `patch` and yields once. Those that PostgreSQL would refuse also take its rule away
(`without_rule`): the core must be right by itself, and the database is the second line.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from dgbot.core.errors import ClientIdKnown, ExchangeError, OutcomeUnknown
from dgbot.core.types import VenueOrderStatus
from tests.simulation.memory import MemoryStore, Row
from tests.simulation.violations import Violation
from tests.simulation.wire import Wire
from tests.simulation.world import World
from trading.domain.lifecycle import CLOSED, Actor, Status
from trading.domain.order_path import absence, answers, booking, cancelling, claiming, endings, procedure, requests, settling
from trading.domain.order_path.answers import Rejected, Unclear
from trading.domain.order_path.procedure import OrderPath
from trading.domain.order_path.settling import Finding
from trading.domain.order_path.values import Change, Grounds, Move, OrderFacts, ReservationChange

MOST_SEEDS = 1_000
Bug = Callable[[], Iterator[None]]
BUGS: dict[str, Bug] = {}


def bug(function: Bug) -> Bug:
    """Register under its name, in words."""
    BUGS[function.__name__.replace("_", " ")] = function
    return function


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The world with this bug in it."""
    with contextmanager(BUGS[name])():
        yield


def seeds_until_found(name: str) -> int | None:
    """How many seeds it takes to find a planted bug; None when MOST_SEEDS do not."""
    with planted(name):
        for seed in range(MOST_SEEDS):
            try:
                World(seed).run()
            except (Violation, AssertionError, TypeError):  # some bugs, such as money in floats, fall over their own feet first
                return seed + 1
    return None


@contextmanager
def instead(**replaced: tuple[Any, Any]) -> Iterator[None]:
    """Put (owner, replacement) in the place of each named attribute."""
    with ExitStack() as stack:
        for name, (owner, replacement) in replaced.items():
            stack.enter_context(patch.object(owner, name, replacement))
        yield


@contextmanager
def without_rule() -> Iterator[None]:
    """The database refuses nothing."""
    with instead(_refuse_what_the_database_refuses=(MemoryStore, lambda *_: None)):
        yield


# --- Claim and send ---
@bug
def send_before_the_commit() -> Iterator[None]:
    def submit(self: OrderPath, order_pk: int) -> None:
        facts = self.store.read(order_pk)
        if facts.status is Status.PLANNED:
            self.market.place(requests.of_order(facts))
        self.claim(order_pk)

    with instead(submit=(OrderPath, submit)):
        yield


@bug
def send_although_the_commit_is_unknown() -> Iterator[None]:
    claim = OrderPath.claim

    def claim_anyhow(self: OrderPath, order_pk: int) -> Any:
        try:
            return claim(self, order_pk)
        except Exception:
            return procedure.Permit(self.store.read(order_pk), 1, self.monotonic() + 1)

    with instead(claim=(OrderPath, claim_anyhow)):
        yield


@bug
def the_client_retries_three_times() -> Iterator[None]:
    place = Wire.place

    def stubborn(self: Wire, request: Any) -> Any:
        for _ in range(2):
            try:
                return place(self, request)
            except OutcomeUnknown:
                pass
        return place(self, request)

    with instead(place=(Wire, stubborn)):
        yield


@bug
def a_new_id_for_the_second_send() -> Iterator[None]:
    of_order = requests.of_order

    def renamed(facts: OrderFacts) -> Any:
        return replace(of_order(facts), client_id=f"{facts.client_id[:-1]}Z") if len(facts.sends) else of_order(facts)

    with instead(of_order=(requests, renamed)):
        yield


@bug
def an_entry_is_sent_again() -> Iterator[None]:
    def may_send_again(facts: OrderFacts) -> bool:
        return facts.inquiry is not None and facts.inquiry.negatives >= 1 and len(facts.sends) < 5

    def settle(self: OrderPath, facts: OrderFacts, finding: Finding) -> None:
        original(self, facts, finding)
        if finding.answer is None and facts.status is Status.UNKNOWN:
            self.submit(facts.pk)

    def denial(facts: OrderFacts, grounds: Grounds) -> str:
        return "" if facts.status is Status.UNKNOWN and not grounds.kill_level else denied(facts, grounds)

    original, denied = OrderPath._settle, claiming.denial
    with without_rule(), instead(may_send_again=(absence, may_send_again), _settle=(OrderPath, settle), denial=(claiming, denial)):
        yield


@bug
def found_submitting_is_planned_again() -> Iterator[None]:
    def not_found(facts: OrderFacts, finding: Finding, *, waits: Any) -> Change:
        if facts.status is Status.SUBMITTING:
            return Change(moves=(Move(Status.PLANNED, Actor.GATEWAY, {}),))
        return original(facts, finding, waits=waits)

    original = settling.not_found
    with without_rule(), instead(not_found=(settling, not_found)):
        yield


@bug
def the_permit_is_not_looked_at_before_the_write() -> Iterator[None]:
    def claim(self: OrderPath, order_pk: int) -> Any:
        permit = original(self, order_pk)
        return permit and replace(permit, deadline=float("inf"))

    original = OrderPath.claim
    with instead(claim=(OrderPath, claim)):
        yield


@bug
def the_time_is_looked_at_before_the_lease() -> Iterator[None]:
    """As the gateway did until the simulator was written."""

    def send(self: OrderPath, permit: Any) -> None:
        is_in_time = self.monotonic() <= permit.deadline
        original(self, replace(permit, deadline=float("inf") if is_in_time else permit.deadline))

    original = OrderPath.send
    with instead(send=(OrderPath, send)):
        yield


@bug
def the_lease_is_not_checked_in_the_claim() -> Iterator[None]:
    with instead(holds=(MemoryStore, lambda _self, _tenure: True)):
        yield


@bug
def the_kill_switch_is_read_outside_the_claim() -> Iterator[None]:
    def grounds(self: MemoryStore, row: Row) -> Grounds:
        seen = self.__dict__.setdefault("seen_level", {})
        level = seen.setdefault(row.pk, self.kill_level)
        return replace(original(self, row), kill_level=level)

    def unsettled(self: MemoryStore, account_id: int, *, is_hurried: bool) -> Any:
        for row in self.rows.values():
            if row.status is Status.PLANNED:
                self.__dict__.setdefault("seen_level", {}).setdefault(row.pk, self.kill_level)
        return listed(self, account_id, is_hurried=is_hurried)

    def plan(self: MemoryStore, **named: Any) -> Any:
        row = made(self, **named)
        if row is not None:
            self.__dict__.setdefault("seen_level", {})[row.pk] = self.kill_level
        return row

    original, listed, made = MemoryStore._grounds, MemoryStore.unsettled, MemoryStore.plan
    with instead(_grounds=(MemoryStore, grounds), unsettled=(MemoryStore, unsettled), plan=(MemoryStore, plan)):
        yield


@bug
def level_one_stops_no_entry() -> Iterator[None]:
    with instead(NO_OPEN=(claiming, 2)):
        yield


@bug
def an_entry_never_lapses() -> Iterator[None]:
    def decide(facts: OrderFacts, grounds: Grounds, *, waits: Any) -> Any:
        return original(replace(facts, valid_until=None), grounds, waits=waits)

    original = claiming.decide
    with instead(decide=(claiming, decide)):
        yield


@bug
def limits_are_not_looked_at_in_the_claim() -> Iterator[None]:
    def decide(facts: OrderFacts, grounds: Grounds, *, waits: Any) -> Any:
        return original(facts, replace(grounds, refusal=""), waits=waits)

    original = claiming.decide
    with instead(decide=(claiming, decide)):
        yield


@bug
def an_exit_may_take_more_than_its_bot_holds() -> Iterator[None]:
    def decide(facts: OrderFacts, grounds: Grounds, *, waits: Any) -> Any:
        return original(facts, replace(grounds, reducible=None if facts.is_entry else Decimal(10**9)), waits=waits)

    original = claiming.decide
    with instead(decide=(claiming, decide)):
        yield


@bug
def an_exit_is_not_reduce_only() -> Iterator[None]:
    original = requests.of_order
    with instead(of_order=(requests, lambda facts: replace(original(facts), reduce_only=False))):
        yield


@bug
def the_amount_is_rounded_up_when_sent() -> Iterator[None]:
    def rounded(facts: OrderFacts) -> Any:
        request = original(facts)
        return request if request.amount is None else replace(request, amount=request.amount + Decimal("0.001"))

    original = requests.of_order
    with instead(of_order=(requests, rounded)):
        yield


@bug
def money_is_a_float() -> Iterator[None]:
    def floating(facts: OrderFacts) -> Any:
        request = original(facts)
        return request if request.quote_amount is None else replace(request, quote_amount=float(request.quote_amount))

    original = requests.of_order
    with instead(of_order=(requests, floating), hash_of=(requests, lambda _request: "")), without_hash():
        yield


@contextmanager
def without_hash() -> Iterator[None]:
    """Nobody compares hashes."""
    with patch("tests.simulation.violations.hash_of", lambda _request: ""), patch("tests.simulation.memory.hash_of", lambda _request: ""):
        yield


@bug
def a_frozen_account_still_sells() -> Iterator[None]:
    with instead(FREEZE=(claiming, 5)):
        yield


# --- Answers ---
@bug
def a_timeout_counts_as_refused() -> Iterator[None]:
    def verdict_on(error: Exception, **named: Any) -> Any:
        verdict = original(error, **named)
        return Rejected("timeout", verdict.why) if isinstance(verdict, Unclear) else verdict

    original = answers.verdict_on
    with instead(verdict_on=(answers, verdict_on)):
        yield


@bug
def a_known_client_id_counts_as_refused() -> Iterator[None]:
    def verdict_on(error: Exception, **named: Any) -> Any:
        return Rejected("duplicate", str(error)) if isinstance(error, ClientIdKnown) else original(error, **named)

    original = answers.verdict_on
    with without_rule(), instead(verdict_on=(answers, verdict_on), rejected=(settling, _always_failed)):
        yield


@bug
def a_refused_repeat_counts_as_refused() -> Iterator[None]:
    with instead(rejected=(settling, _always_failed)):
        yield


@bug
def a_repeat_that_did_not_leave_counts_as_unsent() -> Iterator[None]:
    def not_sent(facts: OrderFacts, verdict: Any) -> Any:
        return (
            None
            if facts.status is not Status.SUBMITTING
            else replace(
                claiming.ended_unsent(facts, Status.LAPSED, actor=Actor.GATEWAY, why=verdict.why),
                verdict=settling.SendVerdict(settling.SendResult.NOT_SENT, {}),
            )
        )

    with instead(not_sent=(settling, not_sent)):
        yield


@bug
def the_verdict_on_an_old_send_counts_for_a_new_one() -> Iterator[None]:
    def after(facts: OrderFacts, verdict: Any, *, send_no: int) -> Any:
        return original(facts, verdict, send_no=len(facts.sends))

    original = settling.after
    with instead(after=(settling, after)):
        yield


@bug
def a_late_refusal_counts_as_refused() -> Iterator[None]:
    """As the gateway did until the simulator was written."""
    original = answers.verdict_on
    with instead(verdict_on=(answers, lambda error, *, took_s, waits: original(error, took_s=0.0, waits=waits))):
        yield


@bug
def the_echo_is_not_checked() -> Iterator[None]:
    with without_rule(), instead(mismatch=(booking, lambda *_: "")):
        yield


# --- Silence ---
@bug
def one_not_found_is_absent() -> Iterator[None]:
    with instead(is_proven=(absence, lambda *_, **__: True)):
        yield


@bug
def a_failed_question_counts_as_not_found() -> Iterator[None]:
    def look_for(self: OrderPath, facts: OrderFacts) -> Finding:
        try:
            return original(self, facts)
        except (ExchangeError, ValueError):
            return Finding(None, facts.read_at, is_whole=True)

    original = OrderPath._look_for
    with instead(_look_for=(OrderPath, look_for)):
        yield


@bug
def the_lists_are_not_asked() -> Iterator[None]:
    with instead(_listed=(OrderPath, lambda *_: None)):
        yield


@bug
def proofs_are_counted_from_the_first_question() -> Iterator[None]:
    with instead(_abandoned_at=(absence, lambda facts, **_: facts.sends[0].permit_until)):
        yield


@bug
def four_proofs_need_no_time() -> Iterator[None]:
    def is_proven(_facts: OrderFacts, inquiry: Any, *, waits: Any) -> bool:
        return inquiry.proofs >= 4

    def after_round(facts: OrderFacts) -> Any:
        return replace(original(facts), next_ask_at=facts.read_at)

    original = absence.after_round
    with instead(is_proven=(absence, is_proven), after_round=(absence, after_round)):
        yield


@bug
def a_void_round_counts_as_a_negative_one() -> Iterator[None]:
    def void(facts: OrderFacts, *, waits: Any) -> Any:
        return settling.not_found(facts, Finding(None, facts.read_at, is_whole=True), waits=waits)

    with instead(void=(settling, void)):
        yield


@bug
def an_unknown_entry_gives_its_money_back() -> Iterator[None]:
    def unclear(facts: OrderFacts, verdict: Any) -> Any:
        change = original(facts, verdict)
        return change and replace(change, reservation=ReservationChange.RELEASE)

    original = settling.unclear
    with without_rule(), instead(unclear=(settling, unclear)):
        yield


@bug
def an_absent_entry_gives_its_money_back_at_once() -> Iterator[None]:
    def with_effects(change: Change, *, facts: OrderFacts, after: Status, filled: Decimal) -> Change:
        is_unfilled_end = facts.is_entry and after in endings.ENDED_UNFILLED and not filled
        return replace(original(change, facts=facts, after=after, filled=filled), **_release(is_unfilled_end))

    original = endings.with_effects
    with instead(with_effects=(settling, with_effects)):
        yield


# --- Booking ---
@bug
def an_old_snapshot_lowers_what_is_filled() -> Iterator[None]:
    def told(facts: OrderFacts, answer: Any, **named: Any) -> Change:
        change = original(facts, answer, **named)
        return replace(change, filled_amount=answer.filled_amount) if change.filled_amount is not None else change

    original = booking.told
    with without_rule(), instead(told=(booking, told)):
        yield


@bug
def an_old_snapshot_moves_an_order_back() -> Iterator[None]:
    with without_rule(), instead(is_legal=(booking, lambda *_: True)):
        yield


@bug
def a_residue_makes_a_market_buy_cancelled() -> Iterator[None]:
    with instead(is_spent=(booking, lambda *_, **__: False)):
        yield


@bug
def an_order_ends_before_its_executions_are_told() -> Iterator[None]:
    def status_after(facts: OrderFacts, answer: Any, *, filled: Decimal, rules: Any, actor: Actor) -> Status:
        return original(facts, answer, filled=answer.filled_amount, rules=rules, actor=actor)

    original = booking.status_after
    with instead(status_after=(booking, status_after)), answers_without_executions():
        yield


@contextmanager
def answers_without_executions() -> Iterator[None]:
    """Upbit tells executions only in some answers."""
    original = Wire._spoiled

    def spoiled(self: Wire, answer: Any, fault: str, request: Any) -> Any:
        told = original(self, answer, fault, request)
        return replace(told, fills=()) if hasattr(told, "fills") else told

    with instead(_spoiled=(Wire, spoiled)):
        yield


@bug
def executions_are_booked_twice() -> Iterator[None]:
    def book(self: MemoryStore, row: Row, change: Change) -> None:
        original(self, row, change)
        for fill in change.fills:
            self._position_of(row).entered += fill.price * fill.amount

    original = MemoryStore._book
    with instead(_book=(MemoryStore, book)):
        yield


@bug
def a_closed_order_hears_nothing_more() -> Iterator[None]:
    def told(facts: OrderFacts, answer: Any, **named: Any) -> Change:
        return Change() if facts.status in CLOSED else original(facts, answer, **named)

    original = booking.told
    with instead(told=(booking, told)):
        yield


@bug
def fees_are_forgotten() -> Iterator[None]:
    def fresh_fills(facts: OrderFacts, answer: Any) -> Any:
        return tuple(replace(fill, fee=Decimal(0)) for fill in original(facts, answer))

    original = booking.fresh_fills
    with instead(fresh_fills=(booking, fresh_fills)):
        yield


@bug
def an_event_is_missing() -> Iterator[None]:
    def written(self: MemoryStore, row: Row, facts: OrderFacts, change: Change | None, **named: Any) -> Any:
        done = original(self, row, facts, change, **named)
        if change is not None and row.status is Status.UNKNOWN and change.moves:
            row.events.pop()
        return done

    original = MemoryStore._written
    with instead(_written=(MemoryStore, written)):
        yield


# --- Cancelling, exits ---
@bug
def a_cancel_that_was_taken_ends_the_order() -> Iterator[None]:
    def answered(facts: OrderFacts, answer: Any, **named: Any) -> Change:
        return original(facts, replace(answer, status=VenueOrderStatus.CANCELLED, fills=(), filled_amount=facts.filled_amount), **named)

    original = cancelling.answered
    with instead(answered=(cancelling, answered)), instead(hear=(OrderPath, lambda *_: None)):
        yield


@bug
def a_cancel_that_was_refused_ends_the_order() -> Iterator[None]:
    def failed(facts: OrderFacts, verdict: Any, *, n: int) -> Any:
        change = original(facts, verdict, n=n)
        is_ended = change and facts.status is Status.CANCELLING and isinstance(verdict, Rejected)
        return replace(change, moves=(Move(Status.CANCELLED, Actor.RECONCILER, {}),)) if is_ended else change

    original = cancelling.failed
    with instead(failed=(cancelling, failed)):
        yield


@bug
def a_cancel_leaves_before_its_row() -> Iterator[None]:
    def cancel(self: OrderPath, order_pk: int) -> None:
        facts = self.store.read(order_pk)
        if facts.status is Status.OPEN:
            self.market.cancel(symbol=facts.symbol, exchange_order_id=facts.exchange_order_id, client_id=facts.client_id)
        original(self, order_pk)

    original = OrderPath.cancel
    with instead(cancel=(OrderPath, cancel)):
        yield


@bug
def what_an_exit_took_too_much_is_not_booked() -> Iterator[None]:
    with instead(split_covered=(booking, lambda _facts, fresh: (fresh, ()))):
        yield


@bug
def what_came_back_is_left_to_rest() -> Iterator[None]:
    def wish_again(facts: OrderFacts, answer: Any, *, waits: Any) -> Any:
        return None if facts.status in booking.CAME_BACK else original(facts, answer, waits=waits)

    original = cancelling.wish_again
    with instead(wish_again=(cancelling, wish_again)):
        yield


@bug
def one_decision_may_make_two_orders() -> Iterator[None]:
    def plan(self: MemoryStore, **named: Any) -> Any:
        self.keys.pop((named["bot"], named["key"]), None)
        return original(self, **named)

    original = MemoryStore.plan
    with instead(plan=(MemoryStore, plan)):
        yield


def _always_failed(facts: OrderFacts, verdict: Rejected) -> Change | None:
    move = Move(Status.FAILED, Actor.GATEWAY, {"code": verdict.code}, error_message=verdict.why)
    result = settling.SendVerdict(settling.SendResult.REJECTED, {})
    return endings.with_effects(Change(moves=(move,), verdict=result), facts=facts, after=Status.FAILED, filled=facts.filled_amount)


def _release(is_wanted: bool) -> dict[str, Any]:
    return {"reservation": ReservationChange.RELEASE} if is_wanted else {}
