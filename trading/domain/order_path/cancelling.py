"""Cancelling an order that rests: the wish is committed before the call, and only the exchange's word on the order ends it."""

from dataclasses import replace
from datetime import timedelta

from dgbot.core.types import TradingRules, VenueOrder
from trading.domain.lifecycle import CLOSED, Actor, Status, is_legal
from trading.domain.order_path import booking
from trading.domain.order_path.answers import NotSent, Rejected, Unclear
from trading.domain.order_path.claiming import FREEZE, ended_unsent
from trading.domain.order_path.values import Cancel, CancelResult, Change, Grounds, Move, OrderFacts, Waits

RESTS = frozenset({Status.OPEN, Status.PARTIALLY_FILLED, Status.CANCELLING})
MOST_CANCELS = 100  # of one order; then a person must look


def wish(facts: OrderFacts, *, reason: str) -> Change | None:
    """Note that somebody wants the order cancelled. Asking again while a wish waits, or after the order ended, changes nothing."""
    if facts.status in CLOSED or facts.wanted_cancel is not None or len(facts.cancels) >= MOST_CANCELS:
        return None
    return Change(cancel=Cancel(n=len(facts.cancels) + 1, reason=reason))


def claim(facts: OrderFacts, grounds: Grounds) -> Change | None:
    """Commit that the wish is being sent. A planned order just lapses; one whose send is unproven waits for the exchange's word."""
    wanted = facts.wanted_cancel
    if wanted is None or grounds.kill_level >= FREEZE:
        return None
    if facts.status in CLOSED:
        return Change(cancel=replace(wanted, result=CancelResult.POINTLESS))
    if facts.status is Status.PLANNED and not any(send.may_have_left for send in facts.sends):
        why = f"it was cancelled first ({wanted.reason})"
        return replace(
            ended_unsent(facts, Status.LAPSED, actor=Actor.GATEWAY, why=why), cancel=replace(wanted, result=CancelResult.POINTLESS)
        )
    if facts.status not in RESTS:
        return None
    moves = () if facts.status is Status.CANCELLING else (Move(Status.CANCELLING, Actor.GATEWAY, {"cancel": wanted.n}),)
    return Change(moves=moves, cancel=replace(wanted, sent_at=facts.read_at))


def answered(facts: OrderFacts, answer: VenueOrder, *, n: int, rules: TradingRules) -> Change:
    """The exchange answered with the order as it is now, which may still be open."""
    change = booking.told(facts, answer, rules=rules, actor=Actor.RECONCILER, verdict=None)
    return replace(change, cancel=_with_result(facts, n, CancelResult.ACCEPTED))


def failed(facts: OrderFacts, verdict: NotSent | Rejected | Unclear, *, n: int) -> Change | None:
    """No such answer. "Already done" proves nothing either: the order is asked for, and cancelled again if it still rests."""
    result = CancelResult.REFUSED if isinstance(verdict, Rejected) else CancelResult.AMBIGUOUS
    cancel = _with_result(facts, n, result)
    return None if cancel is None else Change(cancel=cancel)


def wish_again(facts: OrderFacts, answer: VenueOrder, *, waits: Waits) -> Cancel | None:
    """A further wish, when the last one was sent a while ago and the order still rests; None to leave it."""
    if facts.status is not Status.CANCELLING or booking.STATUS_OF[answer.status] in CLOSED or facts.wanted_cancel is not None:
        return None
    last = facts.cancels[-1] if facts.cancels else None
    if last is None or len(facts.cancels) >= MOST_CANCELS:
        return None
    is_over = last.sent_at is None or facts.read_at >= last.sent_at + timedelta(seconds=waits.cancel_again_s)
    return Cancel(n=last.n + 1, reason=last.reason) if is_over else None


def can_be_cancelled(status: Status) -> bool:
    """Whether the lifecycle lets a gateway cancel from here."""
    return is_legal(status, Status.CANCELLING, Actor.GATEWAY)


def _with_result(facts: OrderFacts, n: int, result: CancelResult) -> Cancel | None:
    cancel = next((cancel for cancel in facts.cancels if cancel.n == n), None)
    return None if cancel is None or cancel.result is not None else replace(cancel, result=result)
