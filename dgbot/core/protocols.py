"""What the domain asks of the outside world. Adapters fulfil these; nothing else is known of them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from dgbot.core.interval import Interval
from dgbot.core.types import (
    Balance,
    Candle,
    Capabilities,
    CashFlow,
    Fees,
    KeyRights,
    MarginState,
    MarginTier,
    MarketTrade,
    OrderBook,
    OrderRequest,
    StopRequest,
    Ticker,
    TradingRules,
    VenueFill,
    VenueOrder,
    VenuePosition,
    VenueStop,
)


class Clock(Protocol):
    """Market time."""

    def now(self) -> datetime:
        """Aware UTC time of the market."""


class KrwRates(Protocol):
    """What other currencies are worth in KRW. Asked while orders are planned, so it answers from memory."""

    def krw_per(self, currency: str) -> Decimal | None:
        """KRW for one unit of `currency`; None while that is not known."""


class CandleSource(Protocol):
    """Closed candles of one venue."""

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """Closed candles opened in [start, end), oldest first; an interval without a trade may have none.

        Raises ExchangeUnavailable when they cannot be told.
        """


class Quotes(CandleSource, Protocol):
    """Public market data."""

    def markets(self) -> Sequence[TradingRules]:
        """Every market traded here, with its rules."""

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """The rules of `symbol` in force at `at` (ticks have changed over the years). Raises BadInput for an unknown symbol."""

    def ticker(self, symbol: str) -> Ticker:
        """Last price. Raises ExchangeUnavailable when it is not known."""

    def order_book(self, symbol: str) -> OrderBook:
        """Both sides of the book. Raises ExchangeUnavailable when it is not known."""

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """Executions between strangers since `since`, oldest first: what a feed missed while it was away.

        Raises ExchangeUnavailable when the exchange does not reach back that far.
        """

    def server_time(self) -> datetime:
        """The exchange's clock."""


class Exchange(Quotes, Protocol):
    """One account at one exchange. Every method may raise ExchangeUnavailable; writes may raise OutcomeUnknown.

    `place` and `cancel` send at most one request. `None` means "certainly no such thing", never "no answer".
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this exchange can do, as data."""

    def fees(self, symbol: str) -> Fees:
        """Fee fractions of this account's tier."""

    def balances(self) -> Sequence[Balance]:
        """Every asset held; an asset that is not listed is zero."""

    def positions(self) -> Sequence[VenuePosition]:
        """Derivative positions; empty on a spot exchange."""

    def key_rights(self) -> KeyRights:
        """What this account's key may do. Raises CredentialsRefused when the exchange does not take it at all."""

    def prepare(self, symbol: str, *, leverage: Decimal) -> MarginState | None:
        """Bring `symbol` to one-way, isolated margin and `leverage`, and read back that it is so; None on a spot exchange.

        Raises ExchangeRejected when the exchange confirms anything else: no order may then be sent.
        """

    def margin_tiers(self, symbol: str) -> Sequence[MarginTier]:
        """What positions must keep as margin, smallest first; empty on a spot exchange. Public, and may be an hour old."""

    def place(self, request: OrderRequest) -> VenueOrder:
        """Send one order. Raises ExchangeRejected when it was certainly refused."""

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """Ask to cancel, by either id; the answer tells what is known of the order by now, which may still be open."""

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """One order with its fills, by either id; None when this exchange answers that it has none."""

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """Orders that may still fill."""

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """Orders created in [start, end) that will not fill any more; windows and pages are the adapter's business."""

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """This account's executions since `since`, oldest first."""

    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]:
        """Deposits, withdrawals and funding since `since`, oldest first; what this exchange or key cannot list is left out."""

    def place_stop(self, request: StopRequest) -> VenueStop:
        """Leave a stop at the exchange. Raises ExchangeRejected where `capabilities.resident_stops` is false."""

    def cancel_stop(self, *, symbol: str, exchange_stop_id: str) -> None:
        """Take a stop away; no error when it is gone already."""

    def stops(self, symbol: str) -> Sequence[VenueStop]:
        """Stops that wait at the exchange, read back."""
