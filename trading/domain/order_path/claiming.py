"""Whether an order may leave: decided in one transaction, committed before the first byte does."""

from trading.domain.lifecycle import Actor, Status
from trading.domain.order_path import absence
from trading.domain.order_path.endings import with_effects
from trading.domain.order_path.values import MOST_SENDS, Change, Grounds, Move, NewSend, OrderFacts, Waits

NO_OPEN, FREEZE = 1, 4  # levels of the kill switch: the least that forbids entries, and the one that forbids every write


def decide(facts: OrderFacts, grounds: Grounds, *, waits: Waits) -> Change | None:
    """Send it, end it unsent, or (None) leave it alone. An entry leaves once, ever; an exit again, under its one client id."""
    if facts.status is Status.UNKNOWN:
        may_leave = absence.may_send_again(facts) and not denial(facts, grounds)
        return _claimed(facts, waits=waits) if may_leave else None
    if facts.status is not Status.PLANNED:
        return None
    if facts.valid_until is not None and facts.read_at > facts.valid_until:
        return ended_unsent(facts, Status.LAPSED, actor=Actor.GATEWAY, why="its time to be sent has passed")
    why = denial(facts, grounds)
    if why:
        return ended_unsent(facts, Status.DENIED, actor=Actor.GATEWAY, why=why)
    return _claimed(facts, waits=waits)


def denial(facts: OrderFacts, grounds: Grounds) -> str:
    """Why this order may not leave, or an empty text. Entries need everything in order; exits only a level below freeze."""
    if grounds.kill_level >= (NO_OPEN if facts.is_entry else FREEZE):
        return f"the kill switch is at level {grounds.kill_level}"
    if facts.is_entry:
        return grounds.refusal
    held = grounds.reducible
    if held is None:
        return "what is left of its position is unknown"
    is_covered = facts.amount is not None and facts.amount - facts.filled_amount <= held
    return "" if is_covered else f"only {held} is left of its position"


def ended_unsent(facts: OrderFacts, after: Status, *, actor: Actor, why: str) -> Change:
    """It ends here and nothing of it ever left."""
    move = Move(after, actor, {"why": why}, error_message=f"Order {facts.pk} not sent: {why}.")
    return with_effects(Change(moves=(move,)), facts=facts, after=after, filled=facts.filled_amount)


def permit_s(facts: OrderFacts, *, waits: Waits) -> float:
    """Seconds within which a claimed order must be written."""
    return waits.entry_permit_s if facts.is_entry else waits.exit_permit_s


def _claimed(facts: OrderFacts, *, waits: Waits) -> Change | None:
    send_no = len(facts.sends) + 1
    if send_no > MOST_SENDS:
        return None
    move = Move(Status.SUBMITTING, Actor.GATEWAY, {"send": send_no})
    return Change(moves=(move,), send=NewSend(send_no, permit_s(facts, waits=waits)), forgets_inquiry=True)
