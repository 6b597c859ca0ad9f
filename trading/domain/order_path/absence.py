"""Not found is not absent: when silence proves that the exchange has no order of a client id, and when an exit may be sent again.

A round asks for the order by its id, among open and closed orders and among executions; it counts only when every question was
answered and none knew the order. Void rounds count for nothing but the pause before the next. Source: order path, section 2.6.

    permit ends ──D── no byte can arrive any more ──H── an order accepted before must have shown
                      └ proofs: at least 4 rounds from here on, the last at least H after the first
"""

from dataclasses import replace
from datetime import datetime, timedelta

from trading.domain.lifecycle import Status
from trading.domain.order_path.values import MOST_SENDS, Inquiry, OrderFacts, Waits

LEAST_PROOFS = 4
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
LONGEST_PAUSE_OPEN_S = 8.0  # an order that rests is known; only its fills are news


def begin(facts: OrderFacts) -> Inquiry:
    """The first question is due at once after the first pause."""
    return Inquiry(since=facts.read_at, next_ask_at=facts.read_at + timedelta(seconds=PAUSES_S[0]))


def after_negative(facts: OrderFacts, *, asked_at: datetime, waits: Waits) -> Inquiry:
    """A round that found nothing. asked_at: machine time before its first question."""
    inquiry = after_round(facts)
    inquiry = replace(inquiry, negatives=inquiry.negatives + 1)
    if asked_at < _abandoned_at(facts, waits=waits):
        return inquiry
    return replace(inquiry, proofs=inquiry.proofs + 1, first_proof_at=inquiry.first_proof_at or asked_at, last_proof_at=asked_at)


def after_round(facts: OrderFacts) -> Inquiry:
    """Any round, void ones included: only the pause before the next one grows."""
    inquiry = facts.inquiry or begin(facts)
    longest = PAUSES_S[-1] if facts.status in (Status.UNKNOWN, Status.DISPUTED) else LONGEST_PAUSE_OPEN_S
    pause_s = min(PAUSES_S[min(inquiry.rounds, len(PAUSES_S) - 1)], longest)
    return replace(inquiry, rounds=inquiry.rounds + 1, next_ask_at=facts.read_at + timedelta(seconds=pause_s))


def is_proven(facts: OrderFacts, inquiry: Inquiry, *, waits: Waits) -> bool:
    """Whether the exchange certainly has no such order. One that showed anything of itself once is never absent."""
    if facts.filled_amount > 0 or facts.fills or facts.exchange_order_id is not None:
        return False
    if inquiry.proofs < LEAST_PROOFS or inquiry.first_proof_at is None or inquiry.last_proof_at is None:
        return False
    return (inquiry.last_proof_at - inquiry.first_proof_at).total_seconds() >= waits.visible_within_s


def may_send_again(facts: OrderFacts) -> bool:
    """Whether an unclear exit may leave once more: the exchange folds a repeat of its client id into one order.

    A duplicate answer proves that an earlier request was recorded, so a further one could add nothing.
    """
    if facts.is_entry or len(facts.sends) >= MOST_SENDS or facts.exchange_order_id is not None or facts.filled_amount > 0:
        return False
    if any(send.is_duplicate for send in facts.sends):
        return False
    return facts.inquiry is not None and facts.inquiry.negatives >= 1


def is_overdue(facts: OrderFacts, inquiry: Inquiry, *, waits: Waits) -> bool:
    """Whether it has been unclear for so long that a person must look."""
    return (facts.read_at - inquiry.since).total_seconds() >= waits.dispute_after_s


def _abandoned_at(facts: OrderFacts, *, waits: Waits) -> datetime:
    """From when on no byte of any send can be accepted."""
    latest = max((send.permit_until for send in facts.sends), default=facts.read_at)
    return latest + timedelta(seconds=waits.abandoned_after_s)
