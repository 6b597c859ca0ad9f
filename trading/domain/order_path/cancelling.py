"""Cancelling an order that rests: the wish is committed before the call, and only the exchange's word on the order ends it."""

from dataclasses import replace
from datetime import timedelta

from dgbot.core.types import TradingRules, VenueOrder
from trading.domain.lifecycle import CLOSED, Actor, Status
from trading.domain.order_path import booking
from trading.domain.order_path.answers import Rejected, Verdict
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
    if has_come_back(facts):
        return Change(cancel=replace(wanted, sent_at=facts.read_at))
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


def failed(facts: OrderFacts, verdict: Verdict, *, n: int) -> Change | None:
    """No such answer. "Already done" proves nothing either: the order is asked for, and cancelled again if it still rests."""
    result = CancelResult.REFUSED if isinstance(verdict, Rejected) else CancelResult.AMBIGUOUS
    cancel = _with_result(facts, n, result)
    return None if cancel is None else Change(cancel=cancel)


def wish_again(facts: OrderFacts, answer: VenueOrder, *, waits: Waits) -> Cancel | None:
    """A wish for an order that rests and should not: sent a while ago and without effect, or believed absent; None to leave it."""
    if booking.STATUS_OF[answer.status] in CLOSED or facts.wanted_cancel is not None or len(facts.cancels) >= MOST_CANCELS:
        return None
    last = facts.cancels[-1] if facts.cancels else None
    if last is not None and last.sent_at is not None and facts.read_at < last.sent_at + timedelta(seconds=waits.cancel_again_s):
        return None
    if facts.status in booking.CAME_BACK:
        return Cancel(n=len(facts.cancels) + 1, reason=f"it was {facts.status} and came back")
    return Cancel(n=last.n + 1, reason=last.reason) if last is not None and facts.status is Status.CANCELLING else None


def has_come_back(facts: OrderFacts) -> bool:
    """Whether the exchange has it although we closed it as one that it does not have."""
    return facts.status in booking.CAME_BACK and facts.exchange_order_id is not None


def _with_result(facts: OrderFacts, n: int, result: CancelResult) -> Cancel | None:
    cancel = next((cancel for cancel in facts.cancels if cancel.n == n), None)
    return None if cancel is None or cancel.result is not None else replace(cancel, result=result)
