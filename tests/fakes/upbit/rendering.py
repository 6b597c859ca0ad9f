"""Orders and money in Upbit's words: strings without padding, Korean time, absent fields instead of nulls."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any

from dgbot.core.money import plain
from dgbot.core.types import Side
from tests.fakes.core.money import Holding
from tests.fakes.core.orders import ZERO, Fill, Kind, Market, Order, State, TimeInForce

KOREA = timezone(timedelta(hours=9))
WORD = {Side.BUY: "bid", Side.SELL: "ask"}
SIDE = {word: side for side, word in WORD.items()}
STATE = {State.OPEN: "wait", State.HELD: "wait", State.FILLED: "done", State.CANCELLED: "cancel"}


def text(value: Decimal) -> str:
    """A number as the exchange endpoints write it."""
    return plain(value)


def korean(instant: datetime) -> str:
    """A time with the offset of Korea and without a fraction, as recorded."""
    return instant.astimezone(KOREA).replace(microsecond=0).isoformat()


def ord_type(order: Order) -> str:
    """limit, price, market or best."""
    if order.asked.kind is Kind.MARKET:
        return "price" if order.asked.quote_amount is not None else "market"
    return str(order.asked.kind)


def state(order: Order) -> str:
    """wait, watch, done or cancel."""
    return "watch" if order.asked.info.get("watch") and order.is_live else STATE[order.state]


def order_body(
    order: Order, market: Market, *, as_new: bool = False, with_trades: bool = False, with_funds: bool = False
) -> dict[str, Any]:
    """One order. as_new: as it stood when it was accepted, which is what a create or cancel answers."""
    with localcontext(prec=60):
        filled, funds, fees = (ZERO, ZERO, ZERO) if as_new else (order.filled, order.funds, order.fees)
        asked = order.asked
        is_bid = asked.side is Side.BUY
        reserved_fee = _reserved_fee(order, market)
        body: dict[str, Any] = {"uuid": order.order_id, "side": WORD[asked.side], "ord_type": ord_type(order)}
        price = asked.price if asked.kind is Kind.LIMIT else asked.quote_amount
        if price is not None:
            body["price"] = text(price)
        body["state"] = "wait" if as_new else state(order)
        body["market"] = asked.market
        body["created_at"] = korean(order.created_at)
        if asked.amount is not None:
            body["volume"] = text(asked.amount)
            body["remaining_volume"] = text(asked.amount - filled - (ZERO if as_new else order.prevented))
            body["prevented_volume"] = text(ZERO if as_new else order.prevented)
        body["reserved_fee"] = text(reserved_fee)
        body["remaining_fee"] = text(max(ZERO, reserved_fee - fees) if is_bid else ZERO)
        body["paid_fee"] = text(fees)
        # A cancelled order keeps telling what it had locked although the money is free again: recorded, and a trap.
        is_done = order.state is State.FILLED and not as_new
        locked = ZERO if is_done else order.reserved_at_first - (funds + fees if is_bid else filled)
        body["locked"] = text(locked)
        body["prevented_locked"] = "0"
        body["executed_volume"] = text(filled)
        body["trades_count"] = 0 if as_new else len(order.fills)
        if with_funds:
            body["executed_funds"] = text(funds)
        if asked.client_id is not None:
            body["identifier"] = asked.client_id
        if asked.time_in_force is not TimeInForce.GOOD_TILL_CANCELLED:
            body["time_in_force"] = str(asked.time_in_force)
        body["smp_type"] = asked.self_match
        if with_trades:
            body["trades"] = [trade_body(fill) for fill in reversed(order.fills)]
        return body


def _reserved_fee(order: Order, market: Market) -> Decimal:
    if order.asked.side is Side.SELL:
        return ZERO
    return order.reserved_at_first - order.reserved_at_first / (1 + market.taker_rate)


def trade_body(fill: Fill) -> dict[str, Any]:
    """One execution inside an order; Upbit tells no fee here."""
    return {
        "market": fill.market,
        "uuid": fill.trade_id,
        "price": text(fill.price),
        "volume": text(fill.amount),
        "funds": text(fill.funds),
        "trend": "up" if fill.side is Side.BUY else "down",
        "created_at": korean(fill.executed_at),
        "side": WORD[fill.side],
    }


def account_body(asset: str, holding: Holding) -> dict[str, Any]:
    """One asset: `balance` is the free part."""
    return {
        "currency": asset,
        "balance": text(holding.free),
        "locked": text(holding.locked),
        "avg_buy_price": "0",
        "avg_buy_price_modified": asset == "KRW",
        "unit_currency": "KRW",
    }
