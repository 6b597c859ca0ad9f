"""What the fake exchange knows of markets, orders and executions. Mutable: this is the truth, not a report of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dgbot.core.types import Side

ZERO = Decimal(0)


class Refused(Exception):
    """The exchange will not take it. `code` is ours; each dialect has its own word for it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class Kind(StrEnum):
    """How an order is priced."""

    LIMIT = "limit"
    MARKET = "market"
    BEST = "best"  # only what waits at the best opposite price


class TimeInForce(StrEnum):
    """How long an order may wait."""

    GOOD_TILL_CANCELLED = "gtc"
    IMMEDIATE_OR_CANCEL = "ioc"
    FILL_OR_KILL = "fok"
    POST_ONLY = "post_only"


class State(StrEnum):
    """Life of an order. HELD waits outside the book (a trigger, or matching held back by a test)."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    HELD = "held"


@dataclass
class Market:
    """One market's rules. tick: the price step at a price. Rates are fractions. Amounts in base, totals in quote."""

    symbol: str
    base: str
    quote: str
    lot_step: Decimal
    tick: Callable[[Decimal], Decimal]
    minimum_total: Decimal = ZERO
    maximum_total: Decimal | None = None
    minimum_amount: Decimal = ZERO
    maker_rate: Decimal = Decimal("0.0005")
    taker_rate: Decimal = Decimal("0.0005")
    is_open: bool = True
    market_buys_end_cancelled: bool = False  # money under one lot is given back and the order ends cancelled: Upbit
    info: dict[str, Any] = field(default_factory=dict)  # whatever only one dialect knows


@dataclass
class Fill:
    """One execution against an order of one of our accounts."""

    trade_id: str
    order_id: str
    client_id: str | None
    account: str
    market: str
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    executed_at: datetime
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def funds(self) -> Decimal:
        """Price times amount, quote."""
        return self.price * self.amount


@dataclass
class NewOrder:
    """An order as it arrives. Exactly one of amount (base) and quote_amount (quote) is given."""

    account: str
    market: str
    side: Side
    kind: Kind
    amount: Decimal | None = None
    quote_amount: Decimal | None = None
    price: Decimal | None = None
    client_id: str | None = None
    time_in_force: TimeInForce = TimeInForce.GOOD_TILL_CANCELLED
    reduce_only: bool = False
    self_match: str = "none"  # taker's wish when it meets its own account: none, cancel_maker, cancel_taker, reduce
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class Order:
    """An order the exchange has accepted."""

    order_id: str
    asked: NewOrder
    created_at: datetime
    state: State = State.OPEN
    filled: Decimal = ZERO  # base
    funds: Decimal = ZERO  # quote
    fees: Decimal = ZERO
    prevented: Decimal = ZERO  # base taken away by self-match prevention
    reserved: Decimal = ZERO  # locked for it now
    reserved_at_first: Decimal = ZERO
    fills: list[Fill] = field(default_factory=list)
    cancel_reason: str = ""
    cancel_due_at: datetime | None = None
    updated_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it may still fill."""
        return self.state in (State.OPEN, State.HELD)

    @property
    def remaining(self) -> Decimal:
        """Base not filled yet; for an order sized in quote, zero."""
        return ZERO if self.asked.amount is None else self.asked.amount - self.filled - self.prevented

    @property
    def quote_remaining(self) -> Decimal:
        """Quote not spent yet; for an order sized in base, zero."""
        return ZERO if self.asked.quote_amount is None else self.asked.quote_amount - self.funds


@dataclass(frozen=True)
class Print:
    """One execution as the public sees it. sequence grows within the exchange and never repeats."""

    market: str
    sequence: int
    price: Decimal
    amount: Decimal
    taker_side: Side
    executed_at: datetime
