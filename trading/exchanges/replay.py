"""Quotes of a recording: a price that is moved along each bar, an assumed book around it, candles closed so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from backtests.candles.series import Candles
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.interval import Interval
from dgbot.core.protocols import Clock
from dgbot.core.types import Candle, MarketTrade, OrderBook, Ticker, TradingRules
from trading.exchanges import upbit_rules
from trading.exchanges.assumed import assumed_book


@dataclass
class ReplayQuotes:
    """One recorded series. `price` is set by whoever walks the bars; before that it is unknown."""

    recording: Candles
    clock: Clock
    price: Decimal | None = None

    def markets(self) -> Sequence[TradingRules]:
        """See Quotes."""
        return [self.trading_rules(self.recording.symbol, at=self.clock.now())]

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """See Quotes. The rules that held at the time of the recording."""
        self._check(symbol)
        return upbit_rules.rules(symbol, at=at)

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        self._check(symbol)
        if self.price is None:
            raise ExchangeUnavailable(f"the recording of {symbol} has not reached its first price")
        return Ticker(symbol=symbol, price=self.price, known_at=self.clock.now())

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes. One level a side, marked as assumed: the recording holds no book."""
        return assumed_book(ticker=self.ticker(symbol), rules=self.trading_rules(symbol, at=self.clock.now()))

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """See CandleSource."""
        self._check(symbol, interval)
        return [candle for candle in self.recording.closed_at(self.clock.now()) if start <= candle.opened_at < end]

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """See Quotes."""
        raise ExchangeUnavailable(f"a recording of candles holds no single trades of {symbol}")

    def server_time(self) -> datetime:
        """Market time."""
        return self.clock.now()

    def closed(self, symbol: str, interval: Interval, *, until: datetime, anchor_at: datetime | None) -> Candles:
        """See CandleHistory. Never a candle that was not closed, whatever `until` says."""
        self._check(symbol, interval)
        closed = self.recording.closed_at(min(until, self.clock.now()))
        return closed if anchor_at is None else closed.from_anchor(anchor_at)

    def _check(self, symbol: str, interval: Interval | None = None) -> None:
        if symbol != self.recording.symbol or interval not in (None, self.recording.interval):
            raise BadInput(
                f"this recording holds {self.recording.symbol} {self.recording.interval}, not {symbol} {interval or ''}".rstrip() + "."
            )
