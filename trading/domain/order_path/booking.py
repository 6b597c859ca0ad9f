"""Booking what the exchange tells of an order: its fills once, its status forward only. Booking it twice changes nothing."""

from dataclasses import replace
from decimal import Decimal

from dgbot.core.types import OrderType, TradingRules, VenueFill, VenueOrder, VenueOrderStatus
from trading.domain.lifecycle import CLOSED, Actor, Status, is_legal
from trading.domain.order_path.endings import with_effects
from trading.domain.order_path.values import BookedFill, Change, Move, OrderFacts, SendVerdict

STATUS_OF = {
    VenueOrderStatus.OPEN: Status.OPEN,
    VenueOrderStatus.PARTIALLY_FILLED: Status.PARTIALLY_FILLED,
    VenueOrderStatus.FILLED: Status.FILLED,
    VenueOrderStatus.CANCELLED: Status.CANCELLED,
    VenueOrderStatus.EXPIRED: Status.EXPIRED,
}
CAME_BACK = frozenset({Status.ABSENT, Status.FAILED})  # closed, because the exchange was believed not to have it
NOTHING = Decimal(0)


def told(facts: OrderFacts, answer: VenueOrder, *, rules: TradingRules, actor: Actor, verdict: SendVerdict | None = None) -> Change:
    """What is written when the exchange describes the order. rules: of its market when the order was made."""
    wrong = mismatch(facts, answer)
    if wrong:
        return replace(disputed(facts, why=wrong, actor=actor), verdict=verdict)
    fresh = fresh_fills(facts, answer)
    filled = facts.filled_amount + sum((fill.amount for fill in fresh), NOTHING)
    after = status_after(facts, answer, filled=filled, rules=rules, actor=actor)
    covered, stray = split_covered(facts, fresh)
    change = Change(verdict=verdict, fills=covered, stray_fills=stray, rules=rules, filled_amount=filled)
    change = replace(change, exchange_order_id=answer.exchange_order_id)
    change = replace(change, alarm=_alarm(facts, fresh=fresh, stray=stray, after=after))
    if fresh or after is not facts.status:
        change = replace(change, forgets_inquiry=True)
    if after is not facts.status:
        evidence = {"exchange_order_id": answer.exchange_order_id, "fills": [fill.exchange_trade_id for fill in answer.fills]}
        change = replace(change, moves=(Move(after, actor, evidence),))
    return with_effects(change, facts=facts, after=after, filled=filled)


def fresh_fills(facts: OrderFacts, answer: VenueOrder) -> tuple[VenueFill, ...]:
    """Each execution that is not in our books, once."""
    return tuple({fill.exchange_trade_id: fill for fill in answer.fills if fill.exchange_trade_id not in facts.fills}.values())


def split_covered(facts: OrderFacts, fresh: tuple[VenueFill, ...]) -> tuple[tuple[VenueFill, ...], tuple[VenueFill, ...]]:
    """What folds into the order's position, and what an exit took beyond it: an order that came back when another had closed it."""
    if facts.is_entry:
        return fresh, ()
    covered, left = [], facts.held
    for fill in fresh:
        if fill.amount <= left:
            covered.append(fill)
            left -= fill.amount
    return tuple(covered), tuple(fill for fill in fresh if fill not in covered)


def status_after(facts: OrderFacts, answer: VenueOrder, *, filled: Decimal, rules: TradingRules, actor: Actor) -> Status:
    """Where the order stands now. An older snapshot takes nothing back, and what is not legal does not happen."""
    after = STATUS_OF[answer.status]
    if after is Status.CANCELLED and is_spent(facts, answer, rules=rules):
        after = Status.FILLED
    if after in CLOSED and filled != answer.filled_amount:
        after = facts.status  # its fills are still to be told, or this is old: asked again, never given up
    elif after is Status.OPEN and filled > 0:
        after = Status.PARTIALLY_FILLED
    if facts.status in CAME_BACK and after is Status.EXPIRED:
        after = Status.CANCELLED  # the one unfilled end the lifecycle knows for an order that came back
    if facts.status is Status.CANCELLING and after in (Status.OPEN, Status.PARTIALLY_FILLED):
        after = Status.CANCELLING  # the wish to cancel stands until the order ends
    if facts.status is Status.SUBMITTING and after is Status.SUBMITTING:
        return Status.UNKNOWN
    return after if is_legal(facts.status, after, actor) else facts.status


def is_spent(facts: OrderFacts, answer: VenueOrder, *, rules: TradingRules) -> bool:
    """Whether a buy sized in quote did all it could: it ends as cancelled because less than one lot's money is given back."""
    if facts.quote_amount is None or facts.order_type is not OrderType.MARKET or not answer.fills or answer.filled_amount <= 0:
        return False
    executions = {fill.exchange_trade_id: fill for fill in answer.fills}.values()
    left = facts.quote_amount - sum((fill.price * fill.amount for fill in executions), NOTHING)
    return left < min(fill.price for fill in executions) * rules.lot_step


def disputed(facts: OrderFacts, *, why: str, actor: Actor) -> Change:
    """Contradictory evidence: a person decides. Where the lifecycle knows no dispute the order stays as it is."""
    if not is_legal(facts.status, Status.DISPUTED, actor):
        return Change(alarm=f"Order {facts.pk}: {why}.")
    return Change(
        moves=(Move(Status.DISPUTED, actor, {"mismatch": why}, error_message=why),), alarm=f"Order {facts.pk} is disputed: {why}."
    )


def mismatch(facts: OrderFacts, answer: VenueOrder) -> str:
    """What an answer says that we did not ask for, or that differs from what is booked; an empty text when it fits."""
    asked: dict[str, object] = {"client id": facts.client_id, "symbol": facts.symbol, "side": facts.side.value}
    told_: dict[str, object] = {"client id": answer.client_id, "symbol": answer.symbol, "side": answer.side.value}
    fills = {fill.exchange_trade_id: fill for fill in answer.fills}.values()
    filled = sum((fill.amount for fill in fills), NOTHING)
    spent = sum((fill.price * fill.amount for fill in fills), NOTHING)
    for name, size, size_told, taken in (
        ("amount", facts.amount, answer.amount, filled),
        ("amount in quote", facts.quote_amount, answer.quote_amount, spent),
    ):
        if size is not None:
            # A size the answer leaves out is as asked; more filled than asked for is another size.
            asked[name], told_[name] = size, max(size, taken) if size_told is None or size_told == size else size_told
    if facts.exchange_order_id is not None:
        asked["exchange id"], told_["exchange id"] = facts.exchange_order_id, answer.exchange_order_id
    for fill in fills:
        booked = facts.fills.get(fill.exchange_trade_id)
        if booked is not None:
            name = f"execution {fill.exchange_trade_id}"
            asked[name], told_[name] = booked, BookedFill(fill.price, fill.amount, fill.fee)
    wrong = [f"{name} {told_[name]!r} instead of {asked[name]!r}" for name in asked if asked[name] != told_[name]]
    return "the exchange answered with " + ", ".join(wrong) if wrong else ""


def _alarm(facts: OrderFacts, *, fresh: tuple[VenueFill, ...], stray: tuple[VenueFill, ...], after: Status) -> str:
    if stray:
        amount = sum((fill.amount for fill in stray), NOTHING)
        return f"Order {facts.pk} took {amount:f} more than its position held; what the account holds must be compared with our books."
    if facts.status in CAME_BACK and facts.exchange_order_id is None:
        return f"Order {facts.pk} was {facts.status} and the exchange has it after all; entries of its account must wait for a look."
    if fresh and facts.status in CLOSED and after in CLOSED:
        return f"Order {facts.pk} was {facts.status} and has filled since."
    return ""
