"""Closed bars from a stream of trades: the same candles an exchange would report, known the moment they close.

    trade ──► open bar ──► complete(until) ──► closed bars, oldest first

A bar closes when the stream says that everything up to its end has been told, never because a clock has moved on: a
stream that stands still closes nothing. An interval without a trade has no bar. Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from dgbot.core.interval import Interval
from dgbot.core.types import Candle, MarketTrade


@dataclass
class BarBuilder:
    """Bars of one symbol on one interval. Trades come in the order of their sequence; one seen twice counts once."""

    interval: Interval
    open_bar: Candle | None = None
    last_sequence: int = -1
    closed_until: datetime | None = None  # start of the interval that is still open
    late: int = 0  # trades that came after their bar had closed; such a bar stays as it was

    def add(self, trades: Iterable[MarketTrade]) -> list[Candle]:
        """Take trades in; the bars that they close, oldest first."""
        closed = []
        for trade in trades:
            if trade.sequence <= self.last_sequence:
                continue
            self.last_sequence = trade.sequence
            if self.closed_until is not None and trade.executed_at < self.closed_until:
                self.late += 1
                continue
            opened_at = self.interval.open_of(trade.executed_at)
            closed += self.complete(opened_at)
            self.open_bar = _with(self.open_bar, trade, opened_at=opened_at)
        return closed

    def complete(self, until: datetime) -> list[Candle]:
        """Everything executed before `until` (aware) has been told: the bar that thereby closes, if any."""
        told = self.interval.open_of(until)
        self.closed_until = told if self.closed_until is None else max(told, self.closed_until)
        if self.open_bar is None or self.open_bar.opened_at >= self.closed_until:
            return []
        closed, self.open_bar = self.open_bar, None
        return [closed]


def _with(bar: Candle | None, trade: MarketTrade, *, opened_at: datetime) -> Candle:
    if bar is None:
        price = trade.price
        return Candle(opened_at=opened_at, open=price, high=price, low=price, close=price, volume=trade.amount)
    return replace(
        bar,
        high=max(bar.high, trade.price),
        low=min(bar.low, trade.price),
        close=trade.price,
        volume=bar.volume + trade.amount,
    )
