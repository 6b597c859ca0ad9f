"""What a feed tells: typed events from the exchange, and about the feed itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from dgbot.core.types import Balance, MarketTrade, OrderBook, Side, Ticker, VenueFill, VenueOrderStatus, VenuePosition


class Channel(StrEnum):
    """What can be followed."""

    TICKER = "ticker"
    TRADES = "trades"
    BOOK = "book"
    ORDERS = "orders"  # private
    BALANCES = "balances"  # private
    POSITIONS = "positions"  # private, derivatives


@dataclass(frozen=True)
class Topic:
    """One channel of one symbol; symbol empty: of the whole account."""

    channel: Channel
    symbol: str = ""


@dataclass(frozen=True)
class TickerSeen:
    """The last price."""

    ticker: Ticker

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.TICKER, self.ticker.symbol)


@dataclass(frozen=True)
class TradeSeen:
    """An execution between strangers, told once. is_late: it was missed by the stream and read again by REST."""

    trade: MarketTrade
    is_late: bool = False

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.TRADES, self.trade.symbol)


@dataclass(frozen=True)
class BookSeen:
    """The whole book."""

    book: OrderBook

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.BOOK, self.book.symbol)


@dataclass(frozen=True)
class OrderSeen:
    """News of one of our orders. Events may come late, twice or out of order: a reason to ask, never the last word.

    status None: the exchange told a state that does not say whether the order is over. filled_amount: base, so far.
    """

    exchange_order_id: str
    client_id: str | None
    symbol: str
    side: Side
    status: VenueOrderStatus | None
    filled_amount: Decimal
    known_at: datetime
    fill: VenueFill | None = None
    is_maker: bool | None = None
    raw: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.ORDERS)


@dataclass(frozen=True)
class BalancesSeen:
    """Assets that have changed; others are not listed."""

    balances: tuple[Balance, ...]
    known_at: datetime

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.BALANCES)


@dataclass(frozen=True)
class PositionsSeen:
    """Every derivative position of the account; what is not listed is flat."""

    positions: tuple[VenuePosition, ...]
    known_at: datetime

    @property
    def topic(self) -> Topic:
        """Who wants it."""
        return Topic(Channel.POSITIONS)


# --- about the feed itself: told to every subscriber ---
@dataclass(frozen=True)
class FeedConnected:
    """Connected and heard from. After the first time, orders and balances must be read again: private news is never resent."""

    number: int  # 1 for the first connection


@dataclass(frozen=True)
class FeedStale:
    """Nothing was heard for so long; what is known from the feed must not be believed any more."""

    silent_for_s: float
    reason: str


@dataclass(frozen=True)
class FeedAlive:
    """Heard again after it was stale."""

    silent_for_s: float


@dataclass(frozen=True)
class FeedRefused:
    """The exchange will not serve this feed as it asks; `reason` is its word. It goes on trying."""

    reason: str


@dataclass(frozen=True)
class GapUnfilled:
    """Executions of `symbol` since `since` could not be read again: bars over this time are incomplete."""

    symbol: str
    since: datetime
    reason: str


@dataclass(frozen=True)
class Missed:
    """This subscriber was too slow: so many of its oldest events were thrown away."""

    count: int


MarketEvent = TickerSeen | TradeSeen | BookSeen | OrderSeen | BalancesSeen | PositionsSeen
FeedEvent = MarketEvent | FeedConnected | FeedStale | FeedAlive | FeedRefused | GapUnfilled | Missed
