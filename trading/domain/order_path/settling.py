"""What is written when a send is over: acknowledged, refused, never left, or unclear – and when the exchange is asked later."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dgbot.core.types import TradingRules, VenueOrder
from trading.domain.lifecycle import MAYBE_SENT, Actor, Status
from trading.domain.order_path import absence, booking
from trading.domain.order_path.answers import NotSent, Rejected, Unclear, Verdict
from trading.domain.order_path.claiming import ended_unsent
from trading.domain.order_path.endings import with_effects
from trading.domain.order_path.values import (
    MOST_SENDS,
    Change,
    Inquiry,
    Move,
    OrderFacts,
    SendResult,
    SendVerdict,
    Tenure,
    Waits,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one round of questions found. answer None: every question was answered, and none knew the order."""

    answer: VenueOrder | None
    asked_at: datetime  # machine time before the first question
    is_whole: bool  # lists were asked too; a single "not found" proves nothing


def acknowledged(facts: OrderFacts, answer: VenueOrder, *, rules: TradingRules) -> Change:
    """The exchange took it. A successor may have settled it meanwhile; then this is late news, which is booked all the same."""
    actor = Actor.GATEWAY if facts.status is Status.SUBMITTING else Actor.RECONCILER
    result = SendVerdict(SendResult.ACKNOWLEDGED, {"exchange_order_id": answer.exchange_order_id, "status": answer.status.value})
    return booking.told(facts, answer, rules=rules, actor=actor, verdict=result)


def after(facts: OrderFacts, verdict: Verdict, *, send_no: int) -> Change | None:
    """What one send came to. None when a successor has settled it meanwhile, or has sent the order again."""
    if facts.status is not Status.SUBMITTING or facts.last_send is None or facts.last_send.send_no != send_no:
        return None
    if isinstance(verdict, NotSent):
        return not_sent(facts, verdict)
    return rejected(facts, verdict) if isinstance(verdict, Rejected) else unclear(facts, verdict)


def rejected(facts: OrderFacts, verdict: Rejected) -> Change:
    """Certainly refused – unless an earlier send of the same order may have been accepted: then nothing is proven."""
    if sum(send.may_have_left for send in facts.sends) > 1:
        return unclear(facts, Unclear(f"a repeat was refused ({verdict.code}: {verdict.why}), the first send is still unproven"))
    move = Move(Status.FAILED, Actor.GATEWAY, {"code": verdict.code}, error_message=verdict.why)
    change = Change(moves=(move,), verdict=SendVerdict(SendResult.REJECTED, {"code": verdict.code, "message": verdict.why}))
    return with_effects(change, facts=facts, after=Status.FAILED, filled=facts.filled_amount)


def unclear(facts: OrderFacts, verdict: Unclear) -> Change:
    """The exchange may have it: only the exchange can tell, and an entry is never sent again."""
    answer = {"error": verdict.why, "duplicate": verdict.is_duplicate}
    move = Move(Status.UNKNOWN, Actor.GATEWAY, {"error": verdict.why}, error_message=verdict.why)
    return Change(moves=(move,), verdict=SendVerdict(SendResult.AMBIGUOUS, answer), inquiry=_fresh_inquiry(facts))


def not_sent(facts: OrderFacts, verdict: NotSent) -> Change:
    """Zero bytes left: an entry lapses, since its moment is over; an exit is planned again, after its last send as another order."""
    result = SendVerdict(SendResult.NOT_SENT, {"error": verdict.why})
    if any(send.may_have_left for send in facts.sends[:-1]):  # this repeat did not leave, an earlier send may have
        move = Move(Status.UNKNOWN, Actor.GATEWAY, {"error": verdict.why})
        return Change(moves=(move,), verdict=result, inquiry=_fresh_inquiry(facts))
    if facts.is_entry or len(facts.sends) >= MOST_SENDS:
        return replace(ended_unsent(facts, Status.LAPSED, actor=Actor.GATEWAY, why=verdict.why), verdict=result)
    return Change(moves=(Move(Status.PLANNED, Actor.GATEWAY, {"error": verdict.why}),), verdict=result)


def is_send_over(facts: OrderFacts, *, tenure: Tenure, waits: Waits) -> bool:
    """Whether nobody can still be writing: the sender lost its lease, or its permit and the time-out have passed."""
    send = facts.last_send
    if send is None or send.gateway_epoch != tenure.epoch:
        return True
    return facts.read_at > send.permit_until + timedelta(seconds=waits.submit_timeout_s)


def found(facts: OrderFacts, answer: VenueOrder, *, rules: TradingRules) -> Change:
    """The exchange was asked and knows the order."""
    change = booking.told(facts, answer, rules=rules, actor=Actor.RECONCILER, verdict=_settled(is_found=True))
    if change.forgets_inquiry or facts.mode.is_recorded:
        return change
    return replace(change, inquiry=absence.after_round(facts))


def not_found(facts: OrderFacts, finding: Finding, *, waits: Waits) -> Change:
    """The exchange was asked and does not know the order: absent when that is proven, else asked again."""
    change = Change(verdict=_settled(is_found=False))
    if facts.status not in MAYBE_SENT:
        return replace(change, inquiry=absence.after_round(facts))  # it was there before: this answer is wrong or late
    if facts.mode.is_recorded:  # a pretended exchange commits before it answers: "not found" is the truth
        return _absent(facts, change, evidence={"answer": "the exchange has no order of this client id"})
    moves = () if facts.status is not Status.SUBMITTING else (_found_submitting(),)
    if not finding.is_whole:
        return replace(change, moves=moves, inquiry=absence.after_round(facts))
    inquiry = absence.after_negative(facts, asked_at=finding.asked_at, waits=waits)
    if not moves and absence.is_proven(facts, inquiry, waits=waits):
        return replace(_absent(facts, change, evidence=_proof(inquiry)), inquiry=inquiry)
    return _overdue(facts, replace(change, moves=moves, inquiry=inquiry), inquiry=inquiry, waits=waits)


def void(facts: OrderFacts, *, waits: Waits) -> Change | None:
    """A round in which a question went unanswered, or was answered with nonsense: no verdict, only a longer pause."""
    if facts.mode.is_recorded:
        return None
    inquiry = absence.after_round(facts)
    if facts.status is Status.SUBMITTING:
        return Change(moves=(_found_submitting(),), verdict=_settled(is_found=False), inquiry=inquiry)
    return _overdue(facts, Change(inquiry=inquiry), inquiry=inquiry, waits=waits)


def _overdue(facts: OrderFacts, change: Change, *, inquiry: Inquiry, waits: Waits) -> Change:
    if facts.status is not Status.UNKNOWN or not absence.is_overdue(facts, inquiry, waits=waits):
        return change
    why = f"unclear for {waits.dispute_after_s:g} s"
    told = booking.disputed(facts, why=why, actor=Actor.RECONCILER)
    return replace(change, moves=told.moves, alarm=told.alarm)


def _absent(facts: OrderFacts, change: Change, *, evidence: dict[str, object]) -> Change:
    moves = () if facts.status is not Status.SUBMITTING else (_found_submitting(),)
    absent = Move(Status.ABSENT, Actor.RECONCILER, evidence, error_message="It never reached the exchange.")
    return with_effects(replace(change, moves=(*moves, absent)), facts=facts, after=Status.ABSENT, filled=facts.filled_amount)


def _found_submitting() -> Move:
    return Move(Status.UNKNOWN, Actor.RECONCILER, {"found": "submitting after its send was over"})


def _settled(*, is_found: bool) -> SendVerdict:
    return SendVerdict(SendResult.AMBIGUOUS, {"settled": is_found})


def _proof(inquiry: Inquiry) -> dict[str, object]:
    first, last = inquiry.first_proof_at, inquiry.last_proof_at
    return {"rounds": inquiry.proofs, "from": str(first), "to": str(last)}


def _fresh_inquiry(facts: OrderFacts) -> Inquiry | None:
    """Counted anew since this send, but unclear since the first."""
    if facts.mode.is_recorded:
        return None
    fresh = absence.begin(facts)
    return fresh if facts.inquiry is None else replace(fresh, since=facts.inquiry.since)
