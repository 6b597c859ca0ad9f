"""Isolated one-way futures: what an order locks, what a fill moves, stops that wait for the mark price, funding.

Money moves between free and locked of one USDT wallet; profit, fees and funding are the only things that change its sum.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from dgbot.core.types import Side
from tests.fakes.bitget.errors import BitgetError
from tests.fakes.core.money import Wallets
from tests.fakes.core.orders import ZERO, Fill, Kind, Market, NewOrder, Order, Refused

USDT = "USDT"


@dataclass
class Position:
    """What an account holds of one contract. amount in base, short is negative."""

    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    margin: Decimal = ZERO
    leverage: Decimal = Decimal(1)
    fees: Decimal = ZERO
    opened_at: datetime | None = None


@dataclass
class Plan:
    """A stop or take-profit that waits. hold_side: `buy` covers a long position. size None: whatever is held."""

    plan_id: str
    client_id: str
    account: str
    market: str
    plan_type: str
    trigger_price: Decimal
    hold_side: str
    size: Decimal | None
    created_at: datetime

    def is_reached(self, mark: Decimal) -> bool:
        """Whether the mark price has come to the trigger."""
        is_long, is_loss = self.hold_side in ("buy", "long"), self.plan_type.endswith("loss") or self.plan_type.startswith("loss")
        return mark <= self.trigger_price if is_long == is_loss else mark >= self.trigger_price


@dataclass(frozen=True)
class Bill:
    """A change of the wallet that is no fill."""

    bill_id: str
    account: str
    market: str
    amount: Decimal
    at: datetime


@dataclass
class FuturesSettlement:
    """See Settlement. leverage_of: what the account has set for the contract."""

    wallets: Wallets
    leverage_of: Callable[[str, str], Decimal]
    refuses_reduce_only_excess: bool = False  # else it is trimmed to what is held: documents differ
    positions: dict[tuple[str, str], Position] = field(default_factory=lambda: defaultdict(Position))
    realised: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    on_reduce_only: Callable[[Order], None] = lambda _: None

    def reserve(self, order: Order, market: Market, *, worst_price: Decimal | None) -> None:
        """See Settlement. Only what would open or enlarge a position needs margin."""
        asked = order.asked
        held = self.positions[asked.account, asked.market].amount
        closable = abs(held) if held and (held > 0) != (asked.side is Side.BUY) else ZERO
        amount = asked.amount or ZERO
        if asked.reduce_only:
            if not closable:
                raise Refused("no_position")
            if amount > closable and self.refuses_reduce_only_excess:
                raise Refused("bad_amount", "more than the position")
            asked.amount = amount = min(amount, closable)
            self.on_reduce_only(order)
        price = asked.price if asked.kind is Kind.LIMIT else worst_price
        opening = max(ZERO, amount - closable) * (price or ZERO)
        needed = opening / self.leverage_of(asked.account, asked.market) + amount * (price or ZERO) * market.taker_rate
        if not opening:
            needed = ZERO  # closing pays its fee from what comes back
        self.wallets.lock(asked.account, USDT, needed)
        order.reserved = order.reserved_at_first = needed

    def settle(self, order: Order, fill: Fill, market: Market) -> None:
        """See Settlement."""
        position = self.positions[fill.account, fill.market]
        sign = 1 if fill.side is Side.BUY else -1
        self._unlock_share(order, fill)
        wallet = self.wallets.holding(fill.account, USDT)
        closing = min(fill.amount, abs(position.amount)) if position.amount and (position.amount > 0) != (sign > 0) else ZERO
        profit = closing * (fill.price - position.entry_price) * (1 if position.amount > 0 else -1)
        fill.info["profit"] = profit
        fill.info["is_closing"] = bool(closing)
        if closing:
            released = position.margin * closing / abs(position.amount)
            position.margin -= released
            position.amount += sign * closing
            wallet.locked -= released
            wallet.free += released + profit
        wallet.free -= fill.fee
        position.fees += fill.fee
        self.realised[fill.account] += profit - fill.fee
        opening = fill.amount - closing
        if opening:
            self._open(position, fill, opening, sign)
        if not position.amount:
            self.positions[fill.account, fill.market] = Position()

    def release(self, order: Order, market: Market) -> None:
        """See Settlement."""
        self.wallets.unlock(order.asked.account, USDT, order.reserved)
        order.reserved = ZERO

    def pay_funding(self, account: str, market: str, *, rate: Decimal, mark: Decimal) -> Decimal:
        """What the position pays (negative) or receives at a funding time."""
        amount = -self.positions[account, market].amount * mark * rate
        self.wallets.holding(account, USDT).free += amount
        self.realised[account] += amount
        return amount

    def unrealised(self, account: str, market: str, mark: Decimal) -> Decimal:
        """Profit of the position at the mark price."""
        position = self.positions[account, market]
        return position.amount * (mark - position.entry_price)

    def _unlock_share(self, order: Order, fill: Fill) -> None:
        share = order.reserved_at_first * fill.amount / (order.asked.amount or fill.amount)
        share = min(share, order.reserved)
        self.wallets.unlock(fill.account, USDT, share)
        order.reserved -= share

    def _open(self, position: Position, fill: Fill, amount: Decimal, sign: int) -> None:
        wallet = self.wallets.holding(fill.account, USDT)
        position.leverage = self.leverage_of(fill.account, fill.market)
        margin = amount * fill.price / position.leverage
        wallet.free -= margin
        wallet.locked += margin
        held = abs(position.amount)
        position.entry_price = (held * position.entry_price + amount * fill.price) / (held + amount)
        position.amount += sign * amount
        position.margin += margin
        position.opened_at = position.opened_at or fill.executed_at


def check_stop(plan: Plan, position: Position, mark: Decimal) -> None:
    """Raises BitgetError for a stop without a position or on the wrong side of the mark price."""
    is_long = plan.hold_side in ("buy", "long")
    if not position.amount or (position.amount > 0) != is_long:
        raise BitgetError("22002")
    if plan.is_reached(mark):
        raise BitgetError("40917" if is_long else "45122")


def closing_order(plan: Plan, position: Position) -> NewOrder:
    """What a reached plan sends: a reduce-only market order without a client id of ours."""
    side = Side.SELL if position.amount > 0 else Side.BUY
    amount = min(plan.size or abs(position.amount), abs(position.amount))
    return NewOrder(
        account=plan.account,
        market=plan.market,
        side=side,
        kind=Kind.MARKET,
        amount=amount,
        reduce_only=True,
        client_id=None,
        info={"source": f"{plan.plan_type.removesuffix('_plan')}_market", "may_be_small": True},
    )
