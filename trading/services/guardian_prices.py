"""Prices of real markets for the guardian: from the feed while it is fresh, else by REST, asked beside so that no look waits."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

from dgbot.core.errors import ExchangeError
from dgbot.core.types import OrderBook, Ticker
from trading.exchanges.feed_events import Channel
from trading.exchanges.venue import Venue
from trading.services import kill_trips, price_alarms

log = logging.getLogger(__name__)

STALE_AFTER_S = 10.0  # source: order-path §2.8
REPEAT_S = 5.0
ASK_EVERY_S = 1.0
MOST_AT_ONCE = 8  # questions by REST

Market = tuple[str, str]  # exchange, symbol


@dataclass(frozen=True)
class Seen:
    """A price that is known right now. book None: unknown."""

    tick: Ticker
    book: OrderBook | None = None

    @property
    def best_bid(self) -> Decimal | None:
        """None while unknown."""
        return self.book.bids[0].price if self.book is not None and self.book.bids else None


@dataclass
class Known:
    """What is known of one market's price."""

    told_at: float  # monotonic; when it was known last
    question: Future[Ticker] | None = None
    asked_at: float = 0.0
    why: str = ""  # the last failure
    alarmed_at: float | None = None
    is_told: bool = False  # ever


@dataclass
class Prices:
    """The guardian's view of every market in which a position is protected."""

    stale_after_s: float = STALE_AFTER_S
    monotonic: Callable[[], float] = time.monotonic
    known: dict[Market, Known] = field(default_factory=dict)
    _asking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="prices"))

    def look(self, venue: Venue, *, exchange: str, symbol: str) -> Seen | None:
        """The price as it is known now; None when nothing new is. Raises the alarm when that lasts, lifts it when it ends."""
        now = self.monotonic()
        market = self.known.setdefault((exchange, symbol), Known(told_at=now))
        seen = self._heard(venue, symbol) or self._answered(market, venue, symbol)
        if seen is not None:
            market.told_at, market.is_told = now, True
            self._lift(market, exchange=exchange, symbol=symbol)
        elif now - market.told_at > self.stale_after_s:
            self._alarm(market, exchange=exchange, symbol=symbol, why=venue.why_stale(symbol) or market.why or "no answer yet")
        return seen

    def is_known(self, exchange: str, symbol: str) -> bool:
        """Whether a price was told lately."""
        market = self.known.get((exchange, symbol))
        return market is not None and market.is_told and self.monotonic() - market.told_at <= self.stale_after_s

    def forget_all_but(self, markets: set[Market]) -> None:
        """Positions of other markets are closed: their prices matter no more."""
        for exchange, symbol in set(self.known) - markets:
            self._lift(self.known.pop((exchange, symbol)), exchange=exchange, symbol=symbol)

    def close(self) -> None:
        """Wait for no answer."""
        self._asking.shutdown(wait=False, cancel_futures=True)

    def _heard(self, venue: Venue, symbol: str) -> Seen | None:
        if venue.streams is None:
            return None
        venue.streams.follow(symbol, Channel.BOOK)
        tick, book = venue.streams.ticker(symbol), venue.streams.order_book(symbol)
        return None if tick is None else Seen(tick, book)

    def _answered(self, market: Known, venue: Venue, symbol: str) -> Seen | None:
        """What a question by REST has brought since the last look; a new one is asked when none is under way."""
        now, seen = self.monotonic(), None
        if market.question is not None and market.question.done():
            try:
                tick = market.question.result()
                seen = Seen(tick) if now - market.asked_at <= self.stale_after_s else None
            except ExchangeError as error:
                market.why = str(error)
            market.question = None
        if market.question is None and now - market.asked_at >= ASK_EVERY_S:
            market.asked_at = now
            market.question = self._asking.submit(venue.exchange.ticker, symbol)
        return seen

    def _alarm(self, market: Known, *, exchange: str, symbol: str, why: str) -> None:
        now = self.monotonic()
        if market.alarmed_at is not None and now - market.alarmed_at < REPEAT_S:
            return
        age_s = now - market.told_at
        message = (
            f"The price of {symbol} at {exchange} has been unknown for {age_s:.0f} s, the limit is {self.stale_after_s:g} s ({why});"
            " stop and target wait for it and nothing is opened until it is known again"
        )
        if market.alarmed_at is None:
            log.error("exchange=%s symbol=%s ALARM: %s", exchange, symbol, message)
        market.alarmed_at = now
        price_alarms.put(exchange=exchange, symbol=symbol, message=message, age_s=age_s)
        kill_trips.stale(symbol=symbol, age_s=age_s)

    def _lift(self, market: Known, *, exchange: str, symbol: str) -> None:
        if market.alarmed_at is not None:
            market.alarmed_at = None
            price_alarms.lift(exchange=exchange, symbol=symbol)
            log.info("exchange=%s symbol=%s price known again", exchange, symbol)
