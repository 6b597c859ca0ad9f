"""The procedure itself: claim, send once, book the answer; ask about what is unclear; cancel. The only part that acts.

Every write to the exchange stands between two commits. Where the process may die, a place is named to `mark`; tests stop it there.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from dgbot.core.errors import DgbotError, ExchangeError
from dgbot.core.protocols import Clock
from dgbot.core.types import TradingRules, VenueOrder
from trading.domain.lifecycle import CLOSED, MAYBE_SENT, Actor, Status
from trading.domain.order_path import answers, booking, cancelling, claiming, requests, settling
from trading.domain.order_path.answers import NotSent, Rejected, Unclear, Verdict
from trading.domain.order_path.ports import CannotBook, Market, Store
from trading.domain.order_path.settling import Finding
from trading.domain.order_path.values import Change, Grounds, OrderFacts, Permit, Tenure, Waits

log = logging.getLogger(__name__)

# What an answer raises that cannot be read or booked: it proves nothing, so the order stays unclear and is asked for again.
VOID_ANSWER = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, CannotBook, DgbotError)
CLOCKS_DIFFER_BY = timedelta(minutes=5)  # at most: the exchange's from the database's, when lists are searched for an order

Outcome = VenueOrder | Verdict  # of one request to place


@dataclass(frozen=True)
class OrderPath:
    """One account at one exchange, and the right to send for it. All methods are harmless to call again, and after a crash."""

    store: Store
    market: Market
    clock: Clock
    monotonic: Callable[[], float]
    tenure: Tenure
    waits: Waits
    mark: Callable[[str], None] = lambda _place: None
    on_key_refused: Callable[[str], None] = lambda _why: None
    on_unbooked: Callable[[Permit, Outcome], None] = lambda _permit, _outcome: None  # an answer the store could not take

    def settle_and_send(self, account_id: int, *, is_hurried: bool = False) -> list[int]:
        """Everything that is due in this account. Returns the orders looked at, by primary key."""
        due = list(self.store.unsettled(account_id, is_hurried=is_hurried))
        for order_pk in due:
            self.advance(order_pk)
        return due

    def advance(self, order_pk: int) -> None:
        """Whatever this order needs next: sent, cancelled or settled."""
        facts = self.store.read(order_pk)
        if facts.wanted_cancel is not None:
            self.cancel(order_pk)
        if facts.status is Status.PLANNED:
            self.submit(order_pk)
        else:
            self.settle(order_pk)

    # --- Sending ---
    def submit(self, order_pk: int) -> None:
        """Send an order at most once in this call, if it may leave."""
        permit = self.claim(order_pk)
        if permit is not None:
            self.send(permit)

    def claim(self, order_pk: int) -> Permit | None:
        """Leave to send, committed before the first byte."""
        started = self.monotonic()

        def decide(facts: OrderFacts, grounds: Grounds) -> Change | None:
            return claiming.decide(facts, grounds, waits=self.waits)

        claimed = self.store.claim(order_pk, tenure=self.tenure, now=self.clock.now(), decide=decide)
        if claimed is None or claimed[1].send is None:
            return None
        self.mark("claim committed")
        facts, send = claimed[0], claimed[1].send
        # Recorded market time does not run out while we work; a slow machine must not change a replay.
        return Permit(facts, send.send_no, math.inf if facts.mode.is_recorded else started + send.permit_s)

    def send(self, permit: Permit) -> None:
        """Write a claimed order to the exchange, unless permit or account were lost since, and book what it answers."""
        request = requests.of_order(permit.order)
        # The time is looked at last: asking the database may have taken any length of it.
        if not self.store.holds(self.tenure) or self.monotonic() > permit.deadline:
            self._book_verdict(permit, NotSent("the permit or the account was lost before the write"))
            return
        began = self.monotonic()
        try:
            answer = self.market.place(request)
            is_order = isinstance(answer, VenueOrder)
            outcome: Outcome = answer if is_order else Unclear(f"the answer is no order but {type(answer).__name__}")
        except Exception as error:  # whatever it was, the exchange may have the order, unless the error proves otherwise
            outcome = answers.verdict_on(error, took_s=self.monotonic() - began, waits=self.waits)
            if isinstance(outcome, Unclear):
                log.warning("order=%s outcome unknown", permit.order.pk, exc_info=True)
        else:
            self.mark("answer read")
        try:
            self.book(permit, outcome)
        except Exception:  # the books are away: what the exchange has said must outlive us
            self.on_unbooked(permit, outcome)
            raise
        self.mark("answer committed")

    def book(self, permit: Permit, outcome: Outcome) -> None:
        """Write what the exchange answered to our request, whoever holds the account by now. Again changes nothing."""
        if isinstance(outcome, VenueOrder):
            self._book_acknowledgement(permit, outcome)
        else:
            self._book_verdict(permit, outcome)

    def _book_acknowledgement(self, permit: Permit, answer: VenueOrder) -> None:
        try:
            rules = self.market.trading_rules(permit.order.symbol, at=answer.created_at)
            self._change(permit.order.pk, lambda facts: settling.acknowledged(facts, answer, rules=rules), is_ours=False)
        except VOID_ANSWER as error:
            log.warning("order=%s outcome unknown: the answer cannot be booked", permit.order.pk, exc_info=True)
            self._book_verdict(permit, Unclear(f"{type(error).__name__}: {error}"))

    def _book_verdict(self, permit: Permit, verdict: Verdict) -> None:
        self._change(permit.order.pk, lambda facts: settling.after(facts, verdict, send_no=permit.send_no), is_ours=False)
        if isinstance(verdict, Rejected) and verdict.is_key_refused:
            self.on_key_refused(verdict.why)

    # --- Settling ---
    def settle(self, order_pk: int) -> None:
        """Ask the exchange what became of an order whose send is over; an exit it does not know may then leave once more."""
        facts = self.store.read(order_pk)
        if facts.status in CLOSED:
            return
        if facts.status is Status.SUBMITTING and not settling.is_send_over(facts, tenure=self.tenure, waits=self.waits):
            return
        try:
            finding = self._look_for(facts)
            self.mark("fills fetched")
            self._settle(facts, finding)
        except VOID_ANSWER as error:
            log.warning("order=%s not settled: %s", order_pk, error, exc_info=not isinstance(error, ExchangeError))
            self._change(order_pk, lambda now: settling.void(now, waits=self.waits))

    def hear(self, order_pk: int, answer: VenueOrder) -> None:
        """Book what a list or a feed told of an order, closed ones included. Raises CannotBook."""
        self.mark("fills fetched")
        rules = self.market.trading_rules(answer.symbol, at=answer.created_at)
        self._change(order_pk, lambda now: self._with_wish(booking.told(now, answer, rules=rules, actor=Actor.RECONCILER), now, answer))

    def _settle(self, facts: OrderFacts, finding: Finding) -> None:
        answer = finding.answer
        if answer is not None:
            rules = self.market.trading_rules(facts.symbol, at=answer.created_at)
            self._change(facts.pk, lambda now: self._found(now, answer, rules=rules))
            return
        self._change(facts.pk, lambda now: settling.not_found(now, finding, waits=self.waits))
        if facts.status is Status.UNKNOWN and not facts.is_entry and not facts.mode.is_recorded:
            self.submit(facts.pk)  # the claim decides whether the same client id may leave again

    def _found(self, facts: OrderFacts, answer: VenueOrder, *, rules: TradingRules) -> Change:
        return self._with_wish(settling.found(facts, answer, rules=rules), facts, answer)

    def _with_wish(self, change: Change, facts: OrderFacts, answer: VenueOrder) -> Change:
        """Cancel again what was to be cancelled and still rests, and what rests although it was believed absent."""
        again = None if change.moves else cancelling.wish_again(facts, answer, waits=self.waits)
        return change if again is None else replace(change, cancel=again)

    def _look_for(self, facts: OrderFacts) -> Finding:
        """One round of questions. Raises ExchangeError when one goes unanswered: then the round is void."""
        found = self.market.order(symbol=facts.symbol, client_id=facts.client_id)
        if found is None and facts.exchange_order_id is not None:
            found = self.market.order(symbol=facts.symbol, exchange_order_id=facts.exchange_order_id)
        if found is not None or facts.mode.is_recorded or facts.status not in MAYBE_SENT:
            return Finding(found, facts.read_at, is_whole=False)
        listed = self._listed(facts)
        if listed is None:
            return Finding(None, facts.read_at, is_whole=True)
        # The lists know it: its fills stand in its own answer alone, and without that nothing is proven either way.
        return Finding(self.market.order(symbol=facts.symbol, exchange_order_id=listed), facts.read_at, is_whole=False)

    def _listed(self, facts: OrderFacts) -> str | None:
        """Exchange id under which a list knows this order."""
        first = facts.sends[0].permit_until if facts.sends else facts.read_at
        start, end = first - CLOCKS_DIFFER_BY, facts.read_at + CLOCKS_DIFFER_BY
        resting = self.market.open_orders(facts.symbol)
        ended = self.market.closed_orders(symbol=facts.symbol, start=start, end=end)
        fills = self.market.fills(symbol=facts.symbol, since=start)
        known = [(item.client_id, item.exchange_order_id) for items in (resting, ended, fills) for item in items]
        return next((order_id for client_id, order_id in known if client_id == facts.client_id), None)

    # --- Cancelling ---
    def wish_cancel(self, order_pk: int, *, reason: str) -> None:
        """Note that this order is to be cancelled; the gateway of its account carries it out."""
        self._change(order_pk, lambda facts: cancelling.wish(facts, reason=reason), is_ours=False)

    def cancel(self, order_pk: int) -> None:
        """Carry out a wish to cancel: committed, then one request, then its answer booked."""
        began = self.monotonic()
        claimed = self.store.claim(order_pk, tenure=self.tenure, now=self.clock.now(), decide=cancelling.claim)
        if claimed is None or claimed[1].cancel is None or claimed[1].cancel.sent_at is None:
            return
        self.mark("cancel recorded")
        facts, n = claimed[0], claimed[1].cancel.n
        if not self.store.holds(self.tenure) or self.monotonic() - began > self.waits.exit_permit_s:
            return  # it is wished again while the order rests
        try:
            answer = self.market.cancel(symbol=facts.symbol, exchange_order_id=facts.exchange_order_id, client_id=facts.client_id)
            self.mark("cancel answered")
            rules = self.market.trading_rules(facts.symbol, at=answer.created_at)
            self._change(order_pk, lambda now: cancelling.answered(now, answer, n=n, rules=rules), is_ours=False)
        except Exception as error:  # cancelling again is safe, and only the order's own state ends it
            log.warning("order=%s not cancelled: %s", order_pk, error, exc_info=not isinstance(error, ExchangeError))
            verdict = answers.verdict_on(error, took_s=0.0, waits=self.waits)
            self._change(order_pk, lambda now: cancelling.failed(now, verdict, n=n), is_ours=False)

    def _change(self, order_pk: int, decide: Callable[[OrderFacts], Change | None], *, is_ours: bool = True) -> None:
        """One transaction. is_ours: only while we hold the account; news of our own request is booked whoever holds it by now."""
        self.store.change(order_pk, tenure=self.tenure if is_ours else None, now=self.clock.now(), decide=decide)
