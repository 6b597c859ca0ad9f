"""What really happened at an exchange, as values: from a fake's ledger, or from the rows of a pretended exchange."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from dgbot.core.types import Side
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.core.orders import Order, State
from tests.fakes.core.server import FakeServer
from tests.fakes.upbit.server import FakeUpbit

Rows = Callable[..., list[tuple[Any, ...]]]  # a query and its values → what it answers
PERPETUAL = "/USDT:USDT"


@dataclass(frozen=True)
class TrueOrder:
    """An order the exchange has taken. status: in our words."""

    order_id: str
    client_id: str | None
    symbol: str
    side: str
    status: str
    filled: Decimal
    amount: Decimal | None
    quote_amount: Decimal | None


@dataclass(frozen=True)
class TrueFill:
    """An execution."""

    trade_id: str
    order_id: str
    side: str
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_currency: str


@dataclass(frozen=True)
class Truth:
    """One account. gained: by asset, what it has now less what was paid in. held: by symbol, base currency.

    arrivals: by client id, when requests to create it arrived; empty where no wire is crossed.
    """

    orders: tuple[TrueOrder, ...]
    fills: tuple[TrueFill, ...]
    gained: dict[str, Decimal]
    held: dict[str, Decimal]
    arrivals: dict[str, list[datetime]] = field(default_factory=dict)


def of_upbit(fake: FakeUpbit, account: str) -> Truth:
    """A pocket of the fake Upbit: what it holds of a coin is its position."""
    engine = fake.engine
    with engine.lock:
        engine.poll()
        found = engine.of_account(account)
        gained = {
            asset: holding.free + holding.locked - engine.deposits[account, asset] for asset, holding in engine.wallets.of(account).items()
        }
        held = {order.asked.market: gained.get(engine.markets[order.asked.market].base, Decimal(0)) for order in found}
    orders, fills = _orders(found, symbol=lambda market: market)
    return Truth(orders, fills, gained, held, _arrivals(fake.server, "POST /v1/orders", '"identifier"', found))


def of_bitget(fake: FakeBitget, account: str) -> Truth:
    """An account of the fake Bitget: its wallet holds realised profit less fees."""
    engine = fake.engine
    with engine.lock:
        engine.poll()
        found = engine.of_account(account)
        wallet = engine.wallets.holding(account, "USDT")
        gained = {"USDT": wallet.free + wallet.locked - engine.deposits[account, "USDT"]}
        held = {_perpetual(raw): one.amount for (name, raw), one in fake.settlement.positions.items() if name == account}
    orders, fills = _orders(found, symbol=_perpetual)
    return Truth(orders, fills, gained, held, _arrivals(fake.server, "POST /api/v2/mix/order/place-order", '"clientOid"', found))


def of_rows(rows: Rows, account_key: str, *, deposited: dict[str, Decimal]) -> Truth:
    """A pretended exchange, which remembers in PostgreSQL."""
    told = rows(
        "SELECT exchange_order_id, client_id, symbol, side, status, filled_amount, amount, quote_amount FROM venue_orders"
        " WHERE account_key = %s",
        account_key,
    )
    orders = tuple(TrueOrder(*row) for row in told)
    sides = {order.order_id: order.side for order in orders}
    executed = rows(
        "SELECT exchange_trade_id, exchange_order_id, price, amount, fee, fee_currency FROM venue_fills WHERE account_key = %s", account_key
    )
    fills = tuple(
        TrueFill(trade, order, sides[order], price, amount, fee, paid_in) for trade, order, price, amount, fee, paid_in in executed
    )
    money = dict(rows("SELECT asset, free FROM venue_accounts WHERE account_key = %s", account_key))
    gained = {asset: free - deposited.get(asset, Decimal(0)) for asset, free in money.items()}
    return Truth(orders, fills, gained, {order.symbol: gained.get(_base(order.symbol), Decimal(0)) for order in orders})


def _orders(found: list[Order], *, symbol: Callable[[str], str]) -> tuple[tuple[TrueOrder, ...], tuple[TrueFill, ...]]:
    orders = tuple(
        TrueOrder(
            order_id=order.order_id,
            client_id=order.asked.client_id,
            symbol=symbol(order.asked.market),
            side=order.asked.side.value,
            status=_status(order),
            filled=order.filled,
            amount=order.asked.amount,
            quote_amount=order.asked.quote_amount,
        )
        for order in found
    )
    fills = tuple(
        TrueFill(fill.trade_id, fill.order_id, fill.side.value, fill.price, fill.amount, fill.fee, fill.fee_currency)
        for order in found
        for fill in order.fills
    )
    return orders, fills


def _status(order: Order) -> str:
    """A market buy that gives back less than one lot ends cancelled at Upbit and is filled."""
    if order.state is State.CANCELLED and order.asked.quote_amount is not None and order.asked.side is Side.BUY and order.filled:
        return "filled"
    if order.is_live:
        return "partially_filled" if order.filled else "open"
    return order.state.value


def _arrivals(server: FakeServer, endpoint: str, key: str, found: list[Order]) -> dict[str, list[datetime]]:
    """When requests with a client id arrived: those of `found`, and those that came to nothing."""
    told: dict[str, list[datetime]] = defaultdict(list)
    for request in server.requests(endpoint):
        name = request.body.decode(errors="replace").partition(key)[2].partition('"')[2].partition('"')[0]
        told[name].append(request.arrived_at)
    return dict(told)


def _perpetual(raw: str) -> str:
    return raw.removesuffix("USDT") + PERPETUAL


def _base(symbol: str) -> str:
    return symbol.partition("/")[0] if "/" in symbol else symbol.partition("-")[2]
