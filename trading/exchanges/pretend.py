"""A pretended exchange: orders filled against somebody's quotes, remembered in an injected store.

Serves simulated, replay and paper accounts. It behaves as a remote exchange does: it knows only client ids, refuses one it
has seen, and what it has committed stays committed whatever happens to us. Nothing rests here: a limit order takes what the
book gives at its price or better, level by level, and what is left of it is cancelled at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from dgbot.core.errors import BadInput, ClientIdKnown, ExchangeRejected
from dgbot.core.interval import Interval
from dgbot.core.money import SMALLEST_STEP, round_down, round_up
from dgbot.core.protocols import Clock, Quotes
from dgbot.core.types import (
    Balance,
    Candle,
    Capabilities,
    CashFlow,
    Fees,
    KeyRights,
    Level,
    MarginState,
    MarginTier,
    MarketTrade,
    OrderBook,
    OrderRequest,
    OrderType,
    Side,
    StopRequest,
    Ticker,
    TradingRules,
    VenueFill,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueStop,
)

CAPABILITIES = Capabilities(market_buy_in_quote=True, short_selling=False, resident_stops=False, fees_in_quote=True, resting_orders=False)


def capabilities_over(quoted: Capabilities) -> Capabilities:
    """What pretended money can do over somebody's quotes: our orders, their candles and books."""
    return replace(
        CAPABILITIES,
        intervals=quoted.intervals,
        candles_per_page=quoted.candles_per_page,
        book_depth=quoted.book_depth,
        symbol_form=quoted.symbol_form,
    )


NO_KEY_NEEDED = KeyRights(can_read=True, can_trade=True, can_withdraw=False, is_ip_locked=None, expires_at=None)


class DuplicateClientId(Exception):
    """The store has this client id already."""


class VenueStore(Protocol):
    """The exchange's memory. Each call is one commit of its own, on a connection of its own."""

    def balances(self) -> dict[str, Decimal]:
        """Free amount by asset."""

    def record(self, order: VenueOrder, *, changes: dict[str, Decimal]) -> None:
        """Keep an order with its fills and change balances, all or nothing.

        Raises DuplicateClientId when the client id is known, ValueError when a balance would fall below zero.
        """

    def order(self, *, client_id: str | None, exchange_order_id: str | None) -> VenueOrder | None:
        """One order with its fills."""

    def orders(self, *, start: datetime | None, end: datetime | None) -> list[VenueOrder]:
        """Orders created in [start, end), oldest first; None leaves that side open."""

    def next_id(self) -> str:
        """A fresh exchange id."""


@dataclass(frozen=True)
class PretendExchange:
    """One account of the pretended exchange. Orders execute at once, in whole or in part, or not at all."""

    quotes: Quotes
    store: VenueStore
    clock: Clock
    fee_rates: Fees
    capabilities: Capabilities = CAPABILITIES

    # --- Quotes ---
    def markets(self) -> Sequence[TradingRules]:
        """See Quotes."""
        return self.quotes.markets()

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """See Quotes."""
        return self.quotes.trading_rules(symbol, at=at)

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        return self.quotes.ticker(symbol)

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes."""
        return self.quotes.order_book(symbol)

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """See CandleSource."""
        return self.quotes.candles(symbol, interval, start=start, end=end)

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """See Quotes."""
        return self.quotes.market_trades(symbol, since=since)

    def server_time(self) -> datetime:
        """Market time."""
        return self.clock.now()

    # --- The account ---
    def key_rights(self) -> KeyRights:
        """Pretended money needs no key."""
        return NO_KEY_NEEDED

    def fees(self, symbol: str) -> Fees:
        """See Exchange."""
        return self.fee_rates

    def balances(self) -> Sequence[Balance]:
        """See Exchange. Nothing is ever locked: orders execute at once."""
        return [Balance(asset=asset, free=free, locked=Decimal(0)) for asset, free in sorted(self.store.balances().items())]

    def positions(self) -> Sequence[VenuePosition]:
        """A spot exchange has none."""
        return []

    def prepare(self, symbol: str, *, leverage: Decimal) -> MarginState | None:
        """A spot exchange lends nothing."""
        return None

    def margin_tiers(self, symbol: str) -> Sequence[MarginTier]:
        """A spot exchange lends nothing."""
        return ()

    # --- Orders ---
    def place(self, request: OrderRequest) -> VenueOrder:
        """Execute an order against the book of this moment."""
        rules = self._rules(request)
        _check_form(request, rules=rules)
        levels = self._levels(request)
        executions = _execute(levels, request=request, lot_step=rules.lot_step)
        if _asked_total(request, executions=executions) < rules.minimum_total:
            raise ExchangeRejected(
                f"{request.client_id}: below the minimum of {rules.minimum_total:f} {rules.quote}", code="under_min_total"
            )
        self._check_funds(request, rules=rules)
        order = self._order(request, executions=executions, rules=rules)
        self._remember(order, rules=rules)
        return order

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """Nothing rests here, so there is nothing to cancel: the order as it ended."""
        order = self.store.order(client_id=client_id, exchange_order_id=exchange_order_id)
        if order is None:
            raise ExchangeRejected(f"there is no order {exchange_order_id or client_id}", code="order_not_found")
        return order

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """See Exchange."""
        return self.store.order(client_id=client_id, exchange_order_id=exchange_order_id)

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """None: every order ends when it is placed."""
        return []

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """See Exchange."""
        return [order for order in self.store.orders(start=start, end=end) if symbol in (None, order.symbol)]

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """See Exchange."""
        return [fill for order in self.store.orders(start=since, end=None) for fill in order.fills if symbol in (None, fill.symbol)]

    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]:
        """None: pretended money is neither paid in nor out, and nothing is funded."""
        return []

    def place_stop(self, request: StopRequest) -> VenueStop:
        """None live here: the guardian watches."""
        raise ExchangeRejected(f"{request.client_id}: stops do not live at this exchange; the guardian watches them", code="no_stops")

    def cancel_stop(self, *, symbol: str, exchange_stop_id: str) -> None:
        """There is none to take away."""

    def stops(self, symbol: str) -> Sequence[VenueStop]:
        """See Exchange."""
        return []

    def _rules(self, request: OrderRequest) -> TradingRules:
        try:
            return self.quotes.trading_rules(request.symbol, at=self.clock.now())
        except BadInput as error:
            raise ExchangeRejected(f"{request.client_id}: {error}", code="unknown_market") from None

    def _check_funds(self, request: OrderRequest, *, rules: TradingRules) -> None:
        """A real exchange locks all that a limit order may cost before it looks at the book."""
        if request.price is None or request.amount is None or request.side is Side.SELL:
            return
        cost = request.price * request.amount * (1 + self.fee_rates.taker_rate)
        free = self.store.balances().get(rules.quote, Decimal(0))
        if cost > free:
            raise ExchangeRejected(f"{request.client_id}: the account lacks {cost - free:f} {rules.quote}", code="insufficient_funds")

    def _levels(self, request: OrderRequest) -> tuple[Level, ...]:
        """What the order may meet, best first: all of the other side, or what a limit lets it take."""
        book = self.quotes.order_book(request.symbol)
        levels = book.asks if request.side is Side.BUY else book.bids
        if request.price is not None:
            sign = 1 if request.side is Side.BUY else -1
            return tuple(level for level in levels if sign * level.price <= sign * request.price)
        if not levels:
            raise ExchangeRejected(f"{request.client_id}: the book of {request.symbol} is empty", code="empty_book")
        return levels

    def _order(self, request: OrderRequest, *, executions: Sequence[Level], rules: TradingRules) -> VenueOrder:
        now = self.clock.now()
        order_id = self.store.next_id()
        filled = sum((level.amount for level in executions), Decimal(0))
        fills = tuple(
            VenueFill(
                exchange_trade_id=f"{order_id}-{number}",
                exchange_order_id=order_id,
                client_id=request.client_id,
                symbol=request.symbol,
                side=request.side,
                price=level.price,
                amount=level.amount,
                fee=round_up(level.price * level.amount * self.fee_rates.taker_rate, step=SMALLEST_STEP),
                fee_currency=rules.quote,
                executed_at=now,
            )
            for number, level in enumerate(executions, start=1)
        )
        spent = request.quote_amount
        is_whole = filled == request.amount if spent is None else _is_spent(spent, executions, lot_step=rules.lot_step)
        return VenueOrder(
            exchange_order_id=order_id,
            client_id=request.client_id,
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            # A buy sized in quote leaves less than one lot over and counts as filled; what the book cannot give ends cancelled.
            status=VenueOrderStatus.FILLED if is_whole and filled else VenueOrderStatus.CANCELLED,
            filled_amount=filled,
            created_at=now,
            amount=request.amount,
            quote_amount=request.quote_amount,
            price=request.price,
            fills=fills,
        )

    def _remember(self, order: VenueOrder, *, rules: TradingRules) -> None:
        sign = 1 if order.side is Side.BUY else -1
        total = sum((fill.price * fill.amount for fill in order.fills), Decimal(0))
        fees = sum((fill.fee for fill in order.fills), Decimal(0))
        try:
            self.store.record(order, changes={rules.base: sign * order.filled_amount, rules.quote: -sign * total - fees})
        except DuplicateClientId:
            # The earlier request was recorded; what became of it is a question for `order`.
            raise ClientIdKnown(f"{order.client_id} has been used before") from None
        except ValueError as error:
            raise ExchangeRejected(f"{order.client_id}: {error}", code="insufficient_funds") from None


def _is_spent(quote_amount: Decimal, executions: Sequence[Level], *, lot_step: Decimal) -> bool:
    """Whether a buy sized in quote did all it could: what is left of the money buys no further lot."""
    left = quote_amount - sum((level.price * level.amount for level in executions), Decimal(0))
    return bool(executions) and left < executions[-1].price * lot_step


def _check_form(request: OrderRequest, *, rules: TradingRules) -> None:
    """Raises ExchangeRejected for an order that no exchange takes."""

    def refuse(why: str, code: str) -> ExchangeRejected:
        return ExchangeRejected(f"{request.client_id}: {why}", code=code)

    sizes = [size for size in (request.amount, request.quote_amount) if size is not None]
    if len(sizes) != 1 or not sizes[0].is_finite() or sizes[0] <= 0:
        raise refuse("an order is sized above zero in base or in quote, not in both", "invalid_size")
    if request.quote_amount is not None and (request.side is Side.SELL or request.order_type is OrderType.LIMIT):
        raise refuse("only a market buy is sized in quote", "invalid_size")
    if request.amount is not None and request.amount % rules.lot_step:
        raise refuse(f"{request.amount:f} is not a multiple of the lot {rules.lot_step:f}", "invalid_lot")
    if (request.price is not None) is not (request.order_type is OrderType.LIMIT):
        raise refuse("a limit order has a price and a market order has none", "invalid_price")
    if request.price is not None and (not request.price.is_finite() or request.price <= 0 or request.price % rules.tick(request.price)):
        raise refuse(f"the price {request.price} is not on the tick", "invalid_price")


def _asked_total(request: OrderRequest, *, executions: Sequence[Level]) -> Decimal:
    """The size of an order in quote, as minimums count it: asked where the order says it, else what the book makes of it."""
    if request.quote_amount is not None:
        return request.quote_amount
    if request.price is not None and request.amount is not None:
        return request.price * request.amount
    return sum((level.price * level.amount for level in executions), Decimal(0))


def _execute(levels: Sequence[Level], *, request: OrderRequest, lot_step: Decimal) -> list[Level]:
    """What each level gives, in whole lots. A buy sized in quote floors its last level to a lot, as Upbit does."""
    taken: list[Level] = []
    base, quote = request.amount, request.quote_amount
    for level in levels:
        wanted = base if base is not None else (quote or Decimal(0)) / level.price
        amount = round_down(min(level.amount, wanted), step=lot_step)
        if amount > 0:
            taken.append(replace(level, amount=amount))
        if base is not None:
            base -= amount
        elif quote is not None:
            quote -= amount * level.price
        if amount < level.amount:
            break
    return taken
