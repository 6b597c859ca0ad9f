"""Values that travel between the rooms: what an exchange is told and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from dgbot.core.interval import Interval


class Mode(StrEnum):
    """Where a bot's orders go. Fixed for a bot's life."""

    SIMULATED = "simulated"  # seeded market, offline
    REPLAY = "replay"  # recorded candles
    PAPER = "paper"  # real quotes, pretended money
    LIVE = "live"

    @property
    def is_recorded(self) -> bool:
        """Whether market time is not the machine's: grace, slot validity and data age are then taken as met."""
        return self in (Mode.SIMULATED, Mode.REPLAY)


class Side(StrEnum):
    """Direction of an order or a trade."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order is priced. Market orders carry no price."""

    MARKET = "market"
    LIMIT = "limit"


class Purpose(StrEnum):
    """Why an order exists. Everything but an entry may only reduce a position."""

    ENTRY = "entry"
    EXIT = "exit"
    EMERGENCY = "emergency"


class VenueOrderStatus(StrEnum):
    """State of an order as the exchange tells it."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Capabilities:
    """What an exchange can do, as data. Callers branch on these and never on a name."""

    market_buy_in_quote: bool  # a market buy is sized by the money spent
    short_selling: bool
    resident_stops: bool  # stop orders that live at the exchange
    fees_in_quote: bool
    leverage: bool = False  # `prepare` must have confirmed margin and leverage before the first order
    order_types: frozenset[OrderType] = frozenset(OrderType)
    intervals: frozenset[Interval] = frozenset(Interval)  # candles served
    candles_per_page: int = 200
    closed_orders_window: timedelta = timedelta(days=7)  # longest span one question for closed orders covers
    book_depth: int = 15  # levels a side
    resting_orders: bool = True  # a limit order waits for its price; else what cannot be had at once is cancelled
    streams_trades: bool = False  # a public feed tells prices, books and trades
    lists_fills: bool = False  # `fills` is one listing; else each order must be asked for its own
    streams_orders: bool = False  # a private feed tells of orders and balances
    symbol_form: str = "{quote}-{base}"  # how a market is called here

    def symbol_of(self, base: str, *, quote: str) -> str:
        """The market of `base` in `quote`, in this exchange's own code."""
        return self.symbol_form.format(base=base, quote=quote)


@dataclass(frozen=True)
class TradingRules:
    """Grid and minimum of one market. Steps and minimum are positive Decimals."""

    symbol: str
    base: str
    quote: str
    lot_step: Decimal  # base
    minimum_total: Decimal  # quote
    tick_bands: tuple[tuple[Decimal, Decimal], ...]  # (from price, tick), highest band first, quote
    order_types: frozenset[OrderType] = frozenset(OrderType)
    minimum_amount: Decimal = Decimal(0)  # base
    maximum_amount: Decimal | None = None  # base, of one limit order; None: the exchange names none
    maximum_market_amount: Decimal | None = None  # base, of one market order
    maximum_leverage: Decimal = Decimal(1)
    is_tradable: bool = True  # False: listed, but closed, delisted or restricted for now
    maximum_total: Decimal | None = None  # quote, of one order
    cautions: tuple[str, ...] = ()  # the exchange's own warnings about this market, in its words; a reason not to enter

    def tick(self, price: Decimal) -> Decimal:
        """Price step that holds at `price`, quote. Raises ValueError for a price that is not positive."""
        if price <= 0:
            raise ValueError(f"{self.symbol} has no tick at the price {price}")
        return next(tick for start, tick in self.tick_bands if price >= start)


@dataclass(frozen=True)
class Fees:
    """Fee fractions of one account's tier: 0.0005 is 0.05 %."""

    maker_rate: Decimal
    taker_rate: Decimal


@dataclass(frozen=True)
class Candle:
    """OHLCV of one closed interval; prices in quote, volume in base."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True)
class Ticker:
    """Last price of a market and when it was known."""

    symbol: str
    price: Decimal
    known_at: datetime


@dataclass(frozen=True)
class Level:
    """One price of an order book and the base amount waiting there."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class OrderBook:
    """Both sides, best first. `is_assumed` marks a book made up from a price and a stated depth."""

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    known_at: datetime
    is_assumed: bool = False


@dataclass(frozen=True)
class Balance:
    """What an account holds of one asset."""

    asset: str
    free: Decimal
    locked: Decimal


@dataclass(frozen=True)
class VenuePosition:
    """A derivative position as the exchange tells it. amount in base, signed: short is negative."""

    symbol: str
    amount: Decimal
    entry_price: Decimal
    leverage: Decimal
    liquidation_price: Decimal | None
    unrealised_profit: Decimal | None


class MarginMode(StrEnum):
    """Whether a derivative position shares the account's collateral."""

    ISOLATED = "isolated"
    CROSSED = "crossed"


@dataclass(frozen=True)
class MarginState:
    """How a symbol's derivatives are traded in this account, as the exchange confirmed it."""

    symbol: str
    margin_mode: MarginMode
    leverage: Decimal
    is_one_way: bool  # one position per symbol, long or short


@dataclass(frozen=True)
class MarginTier:
    """What holds for derivative positions worth up to `up_to` (quote). maintenance_rate: fraction of the notional that must stay."""

    up_to: Decimal
    maintenance_rate: Decimal
    maximum_leverage: Decimal


@dataclass(frozen=True)
class KeyRights:
    """What the exchange says of a key. None is unknown, never "no"."""

    can_read: bool | None
    can_trade: bool | None
    can_withdraw: bool | None
    is_ip_locked: bool | None
    expires_at: datetime | None
    is_demo: bool | None = None


@dataclass(frozen=True)
class StopRequest:
    """A position-level stop that lives at the exchange and covers the whole position, triggered by the mark price."""

    client_id: str
    symbol: str
    side: Side  # of the order it sends
    trigger_price: Decimal
    amount: Decimal | None = None  # base; None: whatever the position holds


@dataclass(frozen=True)
class VenueStop:
    """A stop as the exchange tells it. amount: base, None for "the whole position"."""

    exchange_stop_id: str
    client_id: str | None
    symbol: str
    side: Side
    trigger_price: Decimal
    amount: Decimal | None
    created_at: datetime


@dataclass(frozen=True)
class OrderRequest:
    """One order as it is sent. Exactly one of `amount` (base) and `quote_amount` (quote) is given."""

    client_id: str
    symbol: str
    side: Side
    order_type: OrderType
    amount: Decimal | None = None
    quote_amount: Decimal | None = None
    price: Decimal | None = None
    reduce_only: bool = False


@dataclass(frozen=True)
class VenueFill:
    """One execution as the exchange reports it. fee in `fee_currency`."""

    exchange_trade_id: str
    exchange_order_id: str
    client_id: str | None  # None: not one of ours
    symbol: str
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_currency: str
    executed_at: datetime


class CashFlowKind(StrEnum):
    """Why money came or went without a fill."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FUNDING = "funding"
    OTHER = "other"  # the exchange's own word tells


@dataclass(frozen=True)
class CashFlow:
    """What an account was paid (positive) or paid (negative) outside of fills. word: the exchange's name for it."""

    flow_id: str
    kind: CashFlowKind
    asset: str
    amount: Decimal
    at: datetime
    symbol: str = ""
    word: str = ""


@dataclass(frozen=True)
class MarketTrade:
    """One execution between strangers, from the public trade stream. `sequence` grows within a symbol and never repeats."""

    symbol: str
    sequence: int
    price: Decimal
    amount: Decimal
    side: Side  # of the taker
    executed_at: datetime


@dataclass(frozen=True)
class VenueOrder:
    """An order as the exchange tells it, with the fills it reported along."""

    exchange_order_id: str
    client_id: str | None
    symbol: str
    side: Side
    order_type: OrderType
    status: VenueOrderStatus
    filled_amount: Decimal
    created_at: datetime
    amount: Decimal | None = None
    quote_amount: Decimal | None = None
    price: Decimal | None = None
    fills: tuple[VenueFill, ...] = ()
    is_forced: bool = False  # the exchange made it: a liquidation or deleveraging
    is_fired_stop: bool = False  # a stop that rested there made it, under a client id that is none of ours
    raw: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
