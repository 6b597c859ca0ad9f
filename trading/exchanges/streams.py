"""Trades between strangers as they happen, for whoever builds bars from them.

A stream tells every trade once, in order, and says up to which instant it has told all of them. One that has lost the
exchange says nothing new, so no bar closes on silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.protocols import Quotes
from dgbot.core.types import MarketTrade, OrderBook, Ticker
from trading.exchanges.feed_events import Channel


@dataclass(frozen=True)
class Told:
    """Trades since the last poll, oldest first, and the instant before which every trade has now been told."""

    trades: Sequence[MarketTrade]
    until: datetime


class TradesLost(ExchangeUnavailable):
    """Executions are missing for good: bars of this stream would be wrong, so whoever builds them begins anew from candles."""


class TradeStream(Protocol):
    """One symbol's trades. Raises ExchangeUnavailable while the exchange is out of reach, TradesLost when it is of no use any more."""

    def poll(self) -> Told:
        """What is new."""


class Streams(Protocol):
    """A feed that many follow. `market_feed.MarketFeed` is one."""

    def trades(self, symbol: str, *, since: datetime) -> TradeStream:
        """A stream of its own, from the executions at `since` (aware) on."""

    def follow(self, symbol: str, *channels: Channel) -> None:
        """Hear of a symbol from now on. Following it again changes nothing."""

    def ticker(self, symbol: str) -> Ticker | None:
        """The last price, as long as the feed is fresh."""

    def order_book(self, symbol: str) -> OrderBook | None:
        """The book, as long as the feed is fresh."""

    def now(self) -> datetime | None:
        """The exchange's time, or somewhat before; None while unknown."""

    def wake(self, waker: Callable[[str, str], None]) -> None:
        """Call `waker` with exchange and symbol at every price and book, from another thread: it must only take note."""

    def why_stale(self, symbol: str) -> str:
        """Why nothing newer is known of `symbol`, in one sentence; empty while all is well."""


@dataclass
class PolledTrades:
    """A stream made by asking again and again. since: the first instant of interest, aware."""

    quotes: Quotes
    symbol: str
    since: datetime

    def poll(self) -> Told:
        """See TradeStream. Each question reaches back over the last answer's end, and what was told before is left out."""
        until = self.quotes.server_time()
        trades = [trade for trade in self.quotes.market_trades(self.symbol, since=self.since) if self.since <= trade.executed_at < until]
        self.since = max(self.since, until)
        return Told(trades=trades, until=self.since)
