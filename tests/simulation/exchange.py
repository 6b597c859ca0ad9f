"""An exchange with a ledger of truth: what it really did, whatever it told anybody. Speaks as Upbit or as Bitget does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from dgbot.core.errors import ClientIdKnown, ExchangeRejected, OutcomeUnknown
from dgbot.core.types import OrderRequest, OrderType, Side, TradingRules, VenueFill, VenueOrder, VenueOrderStatus

ZERO = Decimal(0)
LOT = Decimal("0.001")
FEE_RATE = Decimal("0.0005")
OPEN, PARTIAL, FILLED, CANCELLED, EXPIRED = (
    VenueOrderStatus.OPEN,
    VenueOrderStatus.PARTIALLY_FILLED,
    VenueOrderStatus.FILLED,
    VenueOrderStatus.CANCELLED,
    VenueOrderStatus.EXPIRED,
)
RESTS = (OPEN, PARTIAL)


@dataclass(frozen=True)
class Dialect:
    """Where the two exchanges differ, as data."""

    name: str
    buys_in_quote: bool  # a market buy is sized by money and ends as cancelled with a residue
    spends_id_on_refusal: bool  # a client id of a refused order is never taken again
    has_nonce: bool  # a transport-level copy is refused without a word about the first
    signature_s: float | None  # how old a signature may be when it arrives
    may_leave_out_id: bool  # an acknowledgement may lack the order id
    has_shorts: bool


UPBIT = Dialect("upbit", True, True, True, None, False, False)
BITGET = Dialect("bitget", False, False, False, 30.0, True, True)


@dataclass(slots=True)
class TruthOrder:
    """One order as it really is. history: every state it had, with the time it began."""

    order_id: str
    request: OrderRequest
    arrived_at: datetime
    status: VenueOrderStatus = OPEN
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    fills: list[VenueFill] = field(default_factory=list)
    late: Decimal = ZERO  # base that still executes after its cancel
    history: list[tuple[datetime, VenueOrder]] = field(default_factory=list)


class TruthExchange:
    """One account. `place` and `cancel` act at once; reads answer as of a while ago, by endpoint."""

    def __init__(self, dialect: Dialect, *, rng: Random, now: Callable[[], datetime]) -> None:
        self.dialect, self.rng, self.now = dialect, rng, now
        self.prices: dict[str, Decimal] = {}
        self.orders: dict[str, TruthOrder] = {}  # by exchange id
        self.by_client_id: dict[str, list[TruthOrder]] = {}
        self.spent_ids: set[str] = set()
        self.nonces: set[int] = set()
        self.base: dict[str, Decimal] = {}  # by symbol: spot balance, or the signed position
        self.quote = ZERO
        self.lag_s: dict[str, float] = {}  # by endpoint
        self.is_offline = False
        self.on_arrival: Callable[[OrderRequest, bool], None] = lambda _request, _is_accepted: None

    # --- Writes ---
    def place(self, request: OrderRequest, *, signed_at: datetime, nonce: int) -> VenueOrder:
        """Accept or refuse. Raises as an adapter would."""
        try:
            order = self._accept(request, signed_at=signed_at, nonce=nonce)
        except Exception:
            self.on_arrival(request, False)
            raise
        self.on_arrival(request, True)
        return order.history[-1][1]

    def _accept(self, request: OrderRequest, *, signed_at: datetime, nonce: int) -> TruthOrder:
        dialect = self.dialect
        if dialect.has_nonce and nonce in self.nonces:
            raise OutcomeUnknown("401 nonce_used")
        self.nonces.add(nonce)
        if dialect.signature_s is not None and self.now() - signed_at > timedelta(seconds=dialect.signature_s):
            raise ExchangeRejected("the timestamp has expired", code="40008")
        if request.client_id in self.by_client_id or request.client_id in self.spent_ids:
            raise ClientIdKnown("40786" if dialect.has_shorts else "400 duplicated_identifier")
        if dialect.spends_id_on_refusal:
            self.spent_ids.add(request.client_id)
        if self.is_offline:
            raise ExchangeRejected("closed for a moment", code="market_offline")
        if request.reduce_only and not self._covers(request):
            raise ExchangeRejected("there is not so much to close", code="insufficient_funds_ask")
        order = TruthOrder(f"X{len(self.orders) + 1}", request, self.now())
        self.orders[order.order_id] = order
        self.by_client_id.setdefault(request.client_id, []).append(order)
        self._begin(order)
        return order

    def cancel(self, *, exchange_order_id: str | None, client_id: str | None) -> VenueOrder:
        """Take an order away, at once or never; some of it may still execute afterwards."""
        order = self._find(exchange_order_id, client_id)
        if order is None or order.status not in RESTS:
            raise ExchangeRejected("there is no such open order", code="order_not_found")
        self._stop(order, CANCELLED)
        return order.history[-1][1]

    # --- Reads: what the endpoint shows, as of its lag ---
    def order(self, *, client_id: str | None, exchange_order_id: str | None) -> VenueOrder | None:
        """By either id."""
        order = self._find(exchange_order_id, client_id)
        return None if order is None else self._as_of(order, "order")

    def open_orders(self, symbol: str | None) -> list[VenueOrder]:
        """Those that rest."""
        return [told for told in self._listed(symbol, "open") if told.status in RESTS]

    def closed_orders(self, symbol: str | None, start: datetime, end: datetime) -> list[VenueOrder]:
        """Those that ended, by the time they were made. The list tells no executions, as at Upbit."""
        return [
            _without_fills(told) for told in self._listed(symbol, "closed") if told.status not in RESTS and start <= told.created_at < end
        ]

    def fills(self, symbol: str | None, since: datetime) -> list[VenueFill]:
        """Executions since then."""
        return [fill for told in self._listed(symbol, "fills") for fill in told.fills if fill.executed_at >= since]

    def rules(self, symbol: str) -> TradingRules:
        """The grid."""
        return RULES.setdefault(symbol, TradingRules(symbol, symbol, "Q", LOT, ZERO, ((ZERO, Decimal(1)),)))

    # --- The engine ---
    def tick(self) -> None:
        """Prices walk; what rests executes in part, in whole, or not yet."""
        rng = self.rng
        for symbol, price in self.prices.items():
            self.prices[symbol] = max(Decimal(50), price + rng.randint(-2, 2))
        for order in self.orders.values():
            if order.late and rng.random() < 0.5:
                self._execute_late(order)
            elif order.status in RESTS and rng.random() < 0.5:
                self._work(order)
            elif order.status in RESTS and rng.random() < 0.02:  # self-match prevention, a delisting, the owner by hand
                self._stop(order, rng.choice((CANCELLED, EXPIRED, EXPIRED)))

    def finish(self) -> None:
        """Everything that may still happen at the exchange happens."""
        for order in self.orders.values():
            if order.late:
                self._execute_late(order)
            if order.status in RESTS and (order.request.order_type is OrderType.MARKET or self._crosses(order)):
                self._execute(order, self._left(order))
                self._end(order)

    # --- Inside ---
    def _begin(self, order: TruthOrder) -> None:
        self._state(order, OPEN)
        draw = self.rng.random()
        if draw < 0.08:  # a thin book: some of it, and the rest given back, run out or left waiting
            self._execute(order, min(LOT, self._left(order)))
            self._state(order, CANCELLED if draw < 0.03 else EXPIRED if draw < 0.05 else PARTIAL if order.filled else OPEN)
        elif order.request.order_type is OrderType.MARKET and draw < 0.7:
            self._execute(order, self._left(order))
            self._end(order)

    def _work(self, order: TruthOrder) -> None:
        if order.request.order_type is OrderType.LIMIT and not self._crosses(order):
            return
        left = self._left(order)
        part = left if left <= LOT or self.rng.random() < 0.5 else (left / 2 // LOT) * LOT
        self._execute(order, max(part, min(left, LOT)))
        if order.filled == 0:
            return
        if self._left(order) == 0:
            self._end(order)
        else:
            self._state(order, PARTIAL)

    def _stop(self, order: TruthOrder, status: VenueOrderStatus) -> None:
        """It will not rest any more; an execution that was on its way may still come."""
        left = self._left(order)
        if left >= LOT and self.rng.random() < 0.35:
            order.late = self.rng.choice((LOT, left))
        self._state(order, status)

    def _execute_late(self, order: TruthOrder) -> None:
        amount, order.late = min(order.late, self._left(order)), ZERO
        self._execute(order, amount)
        self._state(order, FILLED if order.filled == order.request.amount else order.status)

    def _end(self, order: TruthOrder) -> None:
        # What is left of the money buys no further lot, and Upbit calls that order cancelled.
        self._state(order, FILLED if order.filled == order.request.amount else CANCELLED)

    def _crosses(self, order: TruthOrder) -> bool:
        price, limit = self.prices[order.request.symbol], order.request.price or ZERO
        return price <= limit if order.request.side is Side.BUY else price >= limit

    def _left(self, order: TruthOrder) -> Decimal:
        request = order.request
        if request.amount is not None:
            return request.amount - order.filled
        price = self.prices[request.symbol]
        return ((request.quote_amount or ZERO) - order.spent) / price // LOT * LOT

    def _covers(self, request: OrderRequest) -> bool:
        held, amount = self.base.get(request.symbol, ZERO), request.amount or ZERO
        return held >= amount if request.side is Side.SELL else -held >= amount

    def _execute(self, order: TruthOrder, amount: Decimal) -> None:
        if amount <= 0:
            return
        request = order.request
        if request.reduce_only:  # trimmed to what is there
            held = abs(self.base.get(request.symbol, ZERO))
            amount = min(amount, held)
            if amount <= 0:
                return
        price = self.prices[request.symbol] if request.price is None else request.price
        fill = VenueFill(
            f"{order.order_id}-{len(order.fills) + 1}",
            order.order_id,
            request.client_id,
            request.symbol,
            request.side,
            price,
            amount,
            price * amount * FEE_RATE,
            "Q",
            self.now(),
        )
        order.fills.append(fill)
        order.filled += amount
        order.spent += price * amount
        sign = 1 if request.side is Side.BUY else -1
        self.base[request.symbol] = self.base.get(request.symbol, ZERO) + sign * amount
        self.quote -= sign * price * amount + fill.fee

    def _state(self, order: TruthOrder, status: VenueOrderStatus) -> None:
        order.status = status
        request = order.request
        told = VenueOrder(
            order.order_id,
            request.client_id,
            request.symbol,
            request.side,
            request.order_type,
            PARTIAL if status is OPEN and order.filled else status,
            order.filled,
            order.arrived_at,
            request.amount,
            request.quote_amount,
            request.price,
            tuple(order.fills),
        )
        order.history.append((self.now(), told))

    def _find(self, exchange_order_id: str | None, client_id: str | None) -> TruthOrder | None:
        if exchange_order_id is not None:
            return self.orders.get(exchange_order_id)
        found = self.by_client_id.get(client_id or "")
        return found[0] if found else None

    def _as_of(self, order: TruthOrder, endpoint: str) -> VenueOrder | None:
        lag = self.lag_s.get(endpoint)
        if not lag:
            return order.history[-1][1]
        limit = self.now() - timedelta(seconds=lag)
        return next((told for at, told in reversed(order.history) if at <= limit), None)

    def _listed(self, symbol: str | None, endpoint: str) -> Sequence[VenueOrder]:
        seen = (self._as_of(order, endpoint) for order in self.orders.values() if symbol in (None, order.request.symbol))
        return [told for told in seen if told is not None]


RULES: dict[str, TradingRules] = {}


def _without_fills(told: VenueOrder) -> VenueOrder:
    return VenueOrder(
        told.exchange_order_id,
        told.client_id,
        told.symbol,
        told.side,
        told.order_type,
        told.status,
        told.filled_amount,
        told.created_at,
        told.amount,
        told.quote_amount,
        told.price,
    )
