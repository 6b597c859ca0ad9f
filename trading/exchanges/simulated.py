"""Quotes of the simulated market: computed from seed and time, so every process sees the same without a message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backtests.candles.series import Candles
from dgbot.core.interval import Interval
from dgbot.core.protocols import Clock
from dgbot.core.types import Candle, MarketTrade, OrderBook, Ticker, TradingRules
from trading.exchanges.simulated_market import BASE_PRICES, SimulatedMarket


@dataclass
class SimulatedQuotes:
    """Public data of a seeded market at the market time of `clock`; also the history for signals."""

    market_of: Callable[[str], SimulatedMarket]
    clock: Clock
    anchored: dict[tuple[str, Interval, datetime], Candles] = field(default_factory=dict)

    def markets(self) -> Sequence[TradingRules]:
        """See Quotes. The best known ones; any other KRW market trades here, too."""
        return [self.trading_rules(symbol, at=self.clock.now()) for symbol in BASE_PRICES]

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """See Quotes."""
        return self.market_of(symbol).trading_rules

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        now = self.clock.now()
        return Ticker(symbol=symbol, price=self.market_of(symbol).price_at(now), known_at=now)

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes."""
        return self.market_of(symbol).order_book_at(self.clock.now())

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """See CandleSource."""
        return list(self.market_of(symbol).candles(interval, start, min(end, self.clock.now())).closed_at(self.clock.now()))

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """See Quotes."""
        return self.market_of(symbol).trades(since - timedelta(microseconds=1), self.clock.now())

    def server_time(self) -> datetime:
        """Market time."""
        return self.clock.now()

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> Candles:
        """See CandleHistory."""
        candles = self.market_of(symbol).closed_candles(interval, min(until, self.clock.now()))
        return candles if anchor_at is None else candles.from_anchor(anchor_at)
