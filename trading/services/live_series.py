"""Candles that grow while bots watch: history from the exchange up to now, then bars built from its trades.

    history … now │ stream of trades ──► BarBuilder ──► closed bars ──► every series in use, one per anchor

The stream begins at the open of the interval in which the watching began, so no trade is missing and none counts twice.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from backtests.candles.series import COLUMNS, Candles
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import Quotes
from dgbot.core.types import Candle
from trading.domain.bars import BarBuilder
from trading.exchanges.streams import TradeStream
from trading.exchanges.venue import Venue

KEPT = 2000  # candles behind a new anchor; several times the longest look-back of the shipped strategies


@dataclass
class LiveSeries:
    """One symbol on one interval at one exchange: its stream, its bars, and the series of every anchor in use."""

    exchange: str
    symbol: str
    interval: Interval
    quotes: Quotes
    stream: TradeStream
    builder: BarBuilder
    known_at: datetime  # every trade before it has been told
    newest: Candle | None = None
    series: dict[datetime, Candles] = field(default_factory=dict)

    @classmethod
    def begin(cls, *, exchange: str, symbol: str, interval: Interval, venue: Venue) -> "LiveSeries":
        """Start watching now. Raises ExchangeUnavailable."""
        start = interval.open_of(venue.exchange.server_time())
        stream = venue.trades(symbol, since=start)
        return cls(exchange, symbol, interval, quotes=venue.exchange, stream=stream, builder=BarBuilder(interval), known_at=start)

    def poll(self) -> list[Candle]:
        """Bars that closed since the last poll, already added to every series. Raises ExchangeUnavailable."""
        told = self.stream.poll()
        closed = self.builder.add(told.trades) + self.builder.complete(told.until)
        if closed:
            self.series = {anchor: candles.followed_by(closed) for anchor, candles in self.series.items()}
            self.newest = closed[-1]
        self.known_at = told.until
        return closed

    def watch_from(self, anchor_at: datetime | None) -> datetime:
        """Keep a series from the candle opened at `anchor_at` on; None takes the one KEPT back. Returns the anchor.

        Raises ExchangeUnavailable, and ValueError when no candle opens at the anchor.
        """
        now = self.interval.open_of(self.known_at)
        start = now - KEPT * self.interval.length if anchor_at is None else anchor_at
        if start in self.series:
            return start
        history = self.quotes.candles(self.symbol, self.interval, start=start, end=now)
        if not history:
            raise ExchangeUnavailable(f"{self.symbol} has no {self.interval} candle since {start.isoformat()}")
        if anchor_at is not None and history[0].opened_at != anchor_at:
            raise ValueError(f"{self.symbol} {self.interval} has no candle opened at the anchor {anchor_at.isoformat()}")
        if self.newest is not None and history[-1].opened_at < self.newest.opened_at:
            raise ExchangeUnavailable(f"the exchange does not tell the {self.interval} candle of {self.newest.opened_at.isoformat()} yet")
        self.series.setdefault(history[0].opened_at, self._empty().followed_by(history))
        return history[0].opened_at

    def candles(self, anchor_at: datetime) -> Candles:
        """The series from this anchor on, to the newest closed bar. Raises ValueError when nobody watches from there."""
        if anchor_at not in self.series:
            raise ValueError(f"{self.symbol} {self.interval} is not watched from the anchor {anchor_at.isoformat()}")
        return self.series[anchor_at]

    def move_anchor(self, anchor_at: datetime) -> datetime:
        """A later anchor, KEPT candles back, cut from the series that has grown to twice as many; else the same."""
        candles = self.candles(anchor_at)
        if len(candles) <= 2 * KEPT:
            return anchor_at
        shorter = candles.from_anchor(candles.candle(len(candles) - KEPT).opened_at)
        assert shorter.first_opened_at is not None
        self.series.setdefault(shorter.first_opened_at, shorter)
        return shorter.first_opened_at

    def forget_all_but(self, anchors: set[datetime]) -> None:
        """Drop the series of anchors nobody uses any more."""
        self.series = {anchor: candles for anchor, candles in self.series.items() if anchor in anchors}

    def _empty(self) -> Candles:
        columns: dict[str, Any] = {name: np.empty(0, dtype=np.int64 if name == "open_time" else np.float64) for name in COLUMNS}
        return Candles(exchange=self.exchange, symbol=self.symbol, interval=self.interval, **columns)
