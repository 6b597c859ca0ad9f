"""A venue: clock, quotes, exchange and candle history of one account. What differs between the modes ends here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from dgbot.core.interval import Interval
from dgbot.core.protocols import Clock, Exchange, KrwRates
from dgbot.core.types import Mode
from trading.exchanges.streams import PolledTrades, Streams, TradeStream

if TYPE_CHECKING:
    from backtests.candles.series import Candles


class CandleHistory(Protocol):
    """Candles for signals: always from the anchor on, since recursive indicators depend on where they start."""

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> "Candles":
        """Candles closed at `until`, from the one opened at `anchor_at` (None: the series' first) on.

        Raises ExchangeUnavailable when there are none to tell, ValueError when no candle opens at the anchor.
        """


@dataclass
class HistoryWhenAsked:
    """A history that is built by its first question: gateway and guardian ask none, and load none of its libraries."""

    build: Callable[[], CandleHistory]

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> "Candles":
        """See CandleHistory."""
        return self._built.closed(symbol, interval, until=until, anchor_at=anchor_at)

    @cached_property
    def _built(self) -> CandleHistory:
        return self.build()


@dataclass(frozen=True)
class Venue:
    """Where one account trades."""

    mode: Mode
    clock: Clock
    exchange: Exchange
    history: CandleHistory
    streams: Streams | None = None  # None: nothing is streamed to this process, so whoever wants trades asks again and again
    rates: KrwRates | None = None  # None: this venue knows no rate, so entries in other currencies than KRW are not sized

    def trades(self, symbol: str, *, since: datetime) -> TradeStream:
        """Trades between strangers from `since` (aware) on, as they happen."""
        if self.streams is not None:
            return self.streams.trades(symbol, since=since)
        return PolledTrades(quotes=self.exchange, symbol=symbol, since=since)

    def why_stale(self, symbol: str) -> str:
        """Why nothing newer is known of `symbol`, in one sentence; empty while all is well, or where nothing is streamed."""
        return "" if self.streams is None else self.streams.why_stale(symbol)
