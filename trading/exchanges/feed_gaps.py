"""No execution missing, none twice: what was seen of one symbol's trades, before, in and after a gap. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from dgbot.core.types import MarketTrade

REMEMBERED = 50_000  # sequences; more than a minute's worth of the busiest market
OVERLAP = timedelta(seconds=2)  # read again from this much before the last one seen: same milliseconds, late lists


class TradeTracker:
    """One symbol's executions. While a gap is being filled, live ones wait so that the order stays."""

    def __init__(self, symbol: str, *, since: datetime | None = None) -> None:
        self.symbol = symbol
        self.needs_recovery = False
        self.gap_number = 0
        self.gap_since: datetime | None = None  # stays until the gap is confirmed filled, so that a newer one covers it
        self._last_at = since  # None: whatever came before the first one seen is of no interest
        self._order: deque[int] = deque()
        self._known: set[int] = set()
        self._waiting: list[MarketTrade] | None = None

    def begin_gap(self) -> None:
        """The stream was interrupted: from now on live executions wait for the missed ones."""
        if self._last_at is None:
            return  # nothing was wanted before, so nothing can be missed
        since = self._last_at - OVERLAP
        self.gap_since = since if self.gap_since is None else min(since, self.gap_since)
        self.gap_number += 1
        self.needs_recovery = True
        if self._waiting is None:
            self._waiting = []

    def seen(self, trade: MarketTrade) -> Sequence[MarketTrade]:
        """A live execution: what may be told now (nothing, if it is known or has to wait)."""
        if self._waiting is not None:
            self._waiting.append(trade)
            return ()
        return self._fresh([trade])

    def end_gap(self, missed: Iterable[MarketTrade]) -> list[tuple[MarketTrade, bool]]:
        """The missed ones and those that waited, in order, each once; True for those the stream never brought."""
        waiting = self._waiting or []
        self._waiting = None
        live = {trade.sequence for trade in waiting}
        together = sorted([*missed, *waiting], key=lambda trade: (trade.executed_at, trade.sequence))
        return [(trade, trade.sequence not in live) for trade in self._fresh(together)]

    def confirm(self, number: int) -> None:
        """The gap is closed for good, unless a newer one has begun."""
        if number == self.gap_number:
            self.gap_since = None

    def late(self, again: Iterable[MarketTrade]) -> Sequence[MarketTrade]:
        """What a second reading shows that was never seen. While a new gap is open, it will be read there."""
        return () if self._waiting is not None else self._fresh(again)

    def _fresh(self, trades: Iterable[MarketTrade]) -> list[MarketTrade]:
        fresh = []
        for trade in trades:
            if trade.sequence in self._known:
                continue
            self._known.add(trade.sequence)
            self._order.append(trade.sequence)
            if len(self._order) > REMEMBERED:
                self._known.discard(self._order.popleft())
            if self._last_at is None or trade.executed_at > self._last_at:
                self._last_at = trade.executed_at
            fresh.append(trade)
        return fresh
