"""Candles for the signals of paper and live bots: the archive, topped up with what has closed at the exchange since."""

from dataclasses import dataclass
from datetime import datetime

from backtests import selectors as archive
from backtests.candles.series import Candles
from backtests.services import candles as candle_service
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource, Clock

FIRST_BARS = 1000  # fetched within a cycle for a market the archive never held: a few questions, and enough for any strategy


@dataclass(frozen=True)
class LiveHistory:
    """Fulfils CandleHistory. What was fetched once is kept in the archive, so the anchor never moves by itself.

    page: candles the exchange tells in one answer.
    """

    exchange: str
    source: CandleSource
    clock: Clock
    page: int

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> Candles:
        """See CandleHistory. Raises ExchangeUnavailable when the newest candles cannot be told: an old one decides nothing."""
        boundary = interval.open_of(min(until, self.clock.now()))
        stored = self._stored(symbol, interval)
        if stored is None or stored.last_closed_at is None or stored.last_closed_at < boundary:
            first = None if stored is not None else anchor_at or boundary - FIRST_BARS * interval.length
            self._top_up(symbol, interval, boundary=boundary, since=first)
            stored = self._stored(symbol, interval)
        if stored is None:
            raise ExchangeUnavailable(f"{self.exchange} has told no {interval} candle of {symbol} yet")
        closed = stored.closed_at(boundary)
        return closed if anchor_at is None else closed.from_anchor(anchor_at)

    def _top_up(self, symbol: str, interval: Interval, *, boundary: datetime, since: datetime | None) -> None:
        try:
            candle_service.sync(
                self.source,
                root=archive.archive_root(),
                exchange=self.exchange,
                symbol=symbol,
                interval=interval,
                since=since,
                until=boundary,
                now=self.clock.now(),
                page=self.page,
            )
        except BadInput as error:
            raise ExchangeUnavailable(f"the candles of {symbol} cannot be used: {error}") from error

    def _stored(self, symbol: str, interval: Interval) -> Candles | None:
        try:
            return archive.candles_of(exchange=self.exchange, symbol=symbol, interval=interval)
        except BadInput as error:
            if archive.series_of(exchange=self.exchange, symbol=symbol, interval=interval) is None:
                return None
            # A series that is there and cannot be read must not begin anew at another anchor.
            raise ExchangeUnavailable(str(error)) from error
