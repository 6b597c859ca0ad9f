"""Candles for the signals of paper and live bots: the archive, topped up with what has closed at the exchange since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from backtests import selectors as backtests_selectors
from backtests.candles import archive
from backtests.candles.series import COLUMNS, Candles
from backtests.services import candles as candle_service
from dgbot.core.clock import to_nanoseconds
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import CandleSource, Clock
from dgbot.core.types import Candle

FIRST_BARS = 1000  # fetched for a market the archive has never held; its first candle is the anchor from then on


@dataclass(frozen=True)
class LiveHistory:
    """Fulfils CandleHistory. What was fetched once is kept in the archive: the anchor never moves by itself."""

    exchange: str
    source: CandleSource
    clock: Clock

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> Candles:
        """See CandleHistory. Raises ExchangeUnavailable when the newest candles cannot be told: an old one decides nothing."""
        boundary = interval.open_of(min(until, self.clock.now()))
        stored = self._stored(symbol, interval)
        start = self._missing_from(stored, interval=interval, boundary=boundary, anchor_at=anchor_at)
        if start < boundary:
            fetched = self.source.candles(symbol, interval, start=start, end=boundary)
            stored = self._added(fetched, symbol=symbol, interval=interval) or stored
        if stored is None:
            raise ExchangeUnavailable(f"{self.exchange} has told no {interval} candle of {symbol} since {start.isoformat()}")
        closed = stored.closed_at(boundary)
        return closed if anchor_at is None else closed.from_anchor(anchor_at)

    def _stored(self, symbol: str, interval: Interval) -> Candles | None:
        try:
            return backtests_selectors.candles_of(exchange=self.exchange, symbol=symbol, interval=interval)
        except BadInput:
            if backtests_selectors.series_of(exchange=self.exchange, symbol=symbol, interval=interval) is not None:
                raise  # a series that is there and cannot be read must not begin anew at another anchor
            return None

    def _missing_from(self, stored: Candles | None, *, interval: Interval, boundary: datetime, anchor_at: datetime | None) -> datetime:
        if stored is not None and stored.last_closed_at is not None:
            return stored.last_closed_at
        return anchor_at or boundary - FIRST_BARS * interval.length

    def _added(self, fetched: Sequence[Candle], *, symbol: str, interval: Interval) -> Candles | None:
        if not fetched:
            return None
        root = backtests_selectors.archive_root()
        merged = archive.merge(as_series(fetched, exchange=self.exchange, symbol=symbol, interval=interval), root)
        candle_service.label(root=root, exchange=self.exchange, symbol=symbol, interval=interval, source_name=f"{self.exchange} (live)")
        return merged.candles


def as_series(fetched: Sequence[Candle], *, exchange: str, symbol: str, interval: Interval) -> Candles:
    """Candles of an exchange, oldest first, as arrays."""
    columns: dict[str, Any] = {name: np.array([float(getattr(candle, name)) for candle in fetched]) for name in COLUMNS[1:]}
    opened = np.array([to_nanoseconds(candle.opened_at) for candle in fetched], dtype=np.int64)
    return Candles(exchange=exchange, symbol=symbol, interval=interval, open_time=opened, **columns)
