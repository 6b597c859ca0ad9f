"""Who owns what. A settlement decides what an order locks and what a fill moves; spot is here, derivatives plug in their own."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from dgbot.core.types import Side
from tests.fakes.core.orders import ZERO, Fill, Kind, Market, Order, Refused


@dataclass
class Holding:
    """One asset of one account."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


class Wallets:
    """Holdings by account and asset."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Holding]] = defaultdict(dict)

    def of(self, account: str) -> dict[str, Holding]:
        """Every asset the account ever held; the live dictionary."""
        return self._accounts[account]

    def holding(self, account: str, asset: str) -> Holding:
        """One asset, made empty when it was never held."""
        return self._accounts[account].setdefault(asset, Holding())

    def deposit(self, account: str, asset: str, amount: Decimal | str | int) -> None:
        """Give (or, negative, take) free money past all orders: the operator's transfer."""
        self.holding(account, asset).free += Decimal(amount)

    def lock(self, account: str, asset: str, amount: Decimal) -> None:
        """Move from free to locked. Raises Refused when too little is free."""
        holding = self.holding(account, asset)
        if amount > holding.free:
            raise Refused("insufficient_funds", f"{amount} {asset} needed, {holding.free} free")
        holding.free -= amount
        holding.locked += amount

    def unlock(self, account: str, asset: str, amount: Decimal) -> None:
        """Move from locked to free."""
        holding = self.holding(account, asset)
        holding.locked -= amount
        holding.free += amount


class Settlement(Protocol):
    """What orders and fills do to an account. Called inside the engine's lock."""

    def reserve(self, order: Order, market: Market, *, worst_price: Decimal | None) -> None:
        """Lock what the order may cost and set order.reserved. Raises Refused when the account cannot pay.

        worst_price: what a buy would pay at most for the whole of it, where the engine knows; None for an empty book.
        """

    def settle(self, order: Order, fill: Fill, market: Market) -> None:
        """Move what the fill moved, from the order's lock. The fill carries its fee already."""

    def release(self, order: Order, market: Market) -> None:
        """Give back what is still locked for an order that has ended."""


class SpotSettlement:
    """Buys lock money with the fee on top, sales lock the coin and pay the fee from what comes in."""

    def __init__(self, wallets: Wallets) -> None:
        self._wallets = wallets

    def reserve(self, order: Order, market: Market, *, worst_price: Decimal | None) -> None:
        """See Settlement."""
        asked = order.asked
        if asked.side is Side.SELL:
            amount = asked.amount or ZERO
        elif asked.quote_amount is not None:
            amount = asked.quote_amount * (1 + market.taker_rate)
        else:
            price = asked.price if asked.kind is Kind.LIMIT else worst_price
            amount = (asked.amount or ZERO) * (price or ZERO) * (1 + market.taker_rate)
        self._wallets.lock(asked.account, self._asset(order, market), amount)
        order.reserved = order.reserved_at_first = amount

    def settle(self, order: Order, fill: Fill, market: Market) -> None:
        """See Settlement."""
        base, quote = (self._wallets.holding(fill.account, asset) for asset in (market.base, market.quote))
        if fill.side is Side.BUY:
            cost = fill.funds + fill.fee
            quote.locked -= cost
            order.reserved -= cost
            base.free += fill.amount
        else:
            base.locked -= fill.amount
            order.reserved -= fill.amount
            quote.free += fill.funds - fill.fee

    def release(self, order: Order, market: Market) -> None:
        """See Settlement."""
        self._wallets.unlock(order.asked.account, self._asset(order, market), order.reserved)
        order.reserved = ZERO

    @staticmethod
    def _asset(order: Order, market: Market) -> str:
        return market.quote if order.asked.side is Side.BUY else market.base
