"""A stop or target at a real market fires on two signs, not on one odd price. Pure: no clock, no I/O.

    price reaches it ──► suspected ──► best bid reaches it, too ──┐
                             │    ──► another price reaches it ───┼──► fires
                             │    ──► two seconds, and it still does ┘
                             └──── the next price does not ──► forgotten

Source: order-path §2.8. A single print far from the book is a mistake or a bait; a real move shows again at once.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from dgbot.core.types import Ticker
from risk.domain.exits import exit_due

LONGEST_WAIT_S = 2.0  # then the last price decides alone: a quiet market may have no second print


@dataclass(frozen=True)
class Suspected:
    """The first price that reached a stop or target."""

    reason: str
    tick: Ticker
    at: float  # monotonic, seconds


@dataclass
class Witnesses:
    """What is suspected of each position, from look to look."""

    longest_wait_s: float = LONGEST_WAIT_S
    suspected: dict[Hashable, Suspected] = field(default_factory=dict)

    def due(
        self,
        key: Hashable,
        *,
        tick: Ticker,
        best_bid: Decimal | None,
        stop_price: Decimal | None,
        target_price: Decimal | None,
        at: float,
    ) -> str | None:
        """Why this long position has to be left now, or None. key: the position. best_bid None: unknown. at: monotonic, seconds."""
        reason = exit_due(price=tick.price, stop_price=stop_price, target_price=target_price)
        if reason is None:
            self.suspected.pop(key, None)
            return None
        first = self.suspected.get(key)
        if first is None or first.reason != reason:
            first = self.suspected[key] = Suspected(reason, tick, at)
        bid_agrees = best_bid is not None and exit_due(price=best_bid, stop_price=stop_price, target_price=target_price) == reason
        is_second = (tick.known_at, tick.price) != (first.tick.known_at, first.tick.price)
        if bid_agrees or is_second or at - first.at >= self.longest_wait_s:
            return reason
        return None

    def clear(self, keys: Iterable[Hashable]) -> None:
        """The newest price reaches none of them: what was suspected was a mistake."""
        for key in keys:
            self.suspected.pop(key, None)

    def forget_all_but(self, keys: set[Hashable]) -> None:
        """Drop what was suspected of positions that are closed."""
        self.suspected = {key: value for key, value in self.suspected.items() if key in keys}
