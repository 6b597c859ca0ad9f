"""Keeping a stop at the exchange over a position: which step comes next. Pure: what is wanted, what we did, what is seen there.

    wanted ─► place ─► seen: live ─► another trigger or amount wanted ─► place the new one ─► seen ─► cancel the old one
                └─ not seen for 5 s ─► place again ─ not seen ─► leave the position now

Source: order-path §2.8. A larger stop is placed before the smaller one goes, so that no instant is uncovered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

VISIBLE_WITHIN_S = 5.0
MOST_FAILURES = 2
LONGEST_NAKED_S = 20.0


class Step(StrEnum):
    """What to do now."""

    PLACE = "place"
    WAIT = "wait"
    HOLD = "hold"  # it is there
    LEAVE = "leave"  # the position cannot be protected, so it is sold


@dataclass(frozen=True)
class Kept:
    """One version of ours. asked_s: seconds since the exchange was asked for it, None: it was not. has_failed: refused, never seen, or
    gone. was_seen: it was listed once, so the exchange did take it.
    """

    client_id: str
    trigger_price: Decimal
    amount: Decimal
    asked_s: float | None
    has_failed: bool = False
    was_seen: bool = False

    def covers(self, *, trigger_price: Decimal, amount: Decimal) -> bool:
        """Whether it is what is wanted. One that would sell more than is held is not: it is made anew."""
        return (self.trigger_price, self.amount) == (trigger_price, amount)


@dataclass(frozen=True)
class Verdict:
    """The step, and which of our stops at the exchange are to be cancelled, by client id. failed: versions that will not come any more."""

    step: Step
    surplus: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def next_step(*, trigger_price: Decimal, amount: Decimal, kept: Sequence[Kept], seen: frozenset[str], naked_s: float) -> Verdict:
    """kept: our versions that hold or failed for what is wanted now, newest first. seen: client ids listed at the exchange.

    naked_s: seconds since anything covered the position.
    """
    fitting = [one for one in kept if one.covers(trigger_price=trigger_price, amount=amount)]
    there = next((one for one in fitting if one.client_id in seen), None)
    if there is not None:
        return Verdict(Step.HOLD, surplus=tuple(one.client_id for one in kept if one.client_id in seen and one is not there))
    lost = tuple(one.client_id for one in fitting if not one.has_failed and one.asked_s is not None and one.asked_s >= VISIBLE_WITHIN_S)
    failures = sum((one.has_failed or one.client_id in lost) and not one.was_seen for one in fitting)
    was_tried = any(not one.was_seen for one in fitting)  # after a long sleep of ours the exchange is asked once before anything is sold
    if failures >= MOST_FAILURES or (naked_s >= LONGEST_NAKED_S and was_tried):
        return Verdict(Step.LEAVE, failed=lost)
    is_pending = any(not one.has_failed and one.client_id not in lost and one.asked_s is not None for one in fitting)
    return Verdict(Step.WAIT if is_pending else Step.PLACE, failed=lost)
