"""What an order's new status brings about: money given back or turned into a position, the next exit allowed."""

from dataclasses import replace
from decimal import Decimal

from trading.domain.lifecycle import CLOSED, Status
from trading.domain.order_path.values import Change, OrderFacts, ReservationChange

ENDED_UNFILLED = frozenset({Status.DENIED, Status.LAPSED, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.ABSENT})


def with_effects(change: Change, *, facts: OrderFacts, after: Status, filled: Decimal) -> Change:
    """`change` with what follows from the order being `after` with `filled` of it executed, base currency.

    What an absent entry reserved is kept for a while: a verdict drawn from silence may be wrong (`Store.release_absent`).
    """
    if not facts.is_entry:
        return replace(change, exit_is_over=after in CLOSED and facts.has_position)
    if filled > 0:
        # Until it is closed the rest of it may still fill, and what is reserved for the rest stays at stake.
        return replace(change, reservation=ReservationChange.CONVERT) if after in CLOSED else change
    keeps = after is Status.ABSENT and not facts.mode.is_recorded
    return replace(change, reservation=ReservationChange.RELEASE) if after in ENDED_UNFILLED and not keeps else change
