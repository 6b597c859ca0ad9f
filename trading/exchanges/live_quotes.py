"""Public data at hand: price and book from the feed while it is fresh, else by REST, where one answer serves a moment.

Two hundred bots that look every five seconds at three symbols thus cost no request at all, and at most three a second without a feed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dgbot.core.protocols import Exchange
from dgbot.core.types import Fees, OrderBook, Ticker
from trading.exchanges.feed_events import Channel
from trading.exchanges.market_feed import MarketFeed

GOOD_FOR_S = 1.0  # of an answer by REST; prices of the same second differ less than an order takes to arrive

T = TypeVar("T")


@dataclass
class LiveQuotes:
    """Fulfils Quotes; whatever it does not tell itself it passes on to `exchange`. feed None: this process has none.

    listed_fees: what the exchange takes from everybody. The rates of an account are told to its key alone, which a worker that sizes
    an entry does not have; None passes that question on, too.
    """

    exchange: Exchange
    feed: MarketFeed | None = None
    listed_fees: Fees | None = None
    good_for_s: float = GOOD_FOR_S
    monotonic: Callable[[], float] = time.monotonic
    _answers: dict[tuple[str, str], tuple[float, Any]] = field(default_factory=dict, repr=False)
    _locks: dict[tuple[str, str], threading.Lock] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the exchange's own."""
        return getattr(self.exchange, name)

    def fees(self, symbol: str) -> Fees:
        """See Exchange."""
        return self.exchange.fees(symbol) if self.listed_fees is None else self.listed_fees

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        if self.feed is not None:
            self.feed.follow(symbol)
            heard = self.feed.ticker(symbol)
            if heard is not None:
                return heard
        return self._asked("ticker", symbol, self.exchange.ticker)

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes."""
        if self.feed is not None:
            self.feed.follow(symbol, Channel.BOOK)
            heard = self.feed.order_book(symbol)
            if heard is not None:
                return heard
        return self._asked("order_book", symbol, self.exchange.order_book)

    def _asked(self, what: str, symbol: str, ask: Callable[[str], T]) -> T:
        """One question at a time for the same thing; who waited for it takes its answer. Failures are not remembered."""
        key = (what, symbol)
        with self._locks.setdefault(key, threading.Lock()):
            asked_at, answer = self._answers.get(key, (0.0, None))
            if answer is not None and self.monotonic() - asked_at < self.good_for_s:
                return answer  # type: ignore[no-any-return]  # it came from `ask`
            asked_at = self.monotonic()
            fresh = ask(symbol)
            self._answers[key] = (asked_at, fresh)
            return fresh
