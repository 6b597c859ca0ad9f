"""What tests of the Bitget adapter share: a fake with one market and one account, and exchanges connected to it."""

from decimal import Decimal
from typing import Any

from dgbot.core.types import OrderRequest, OrderType, Side
from tests.fakes.bitget import FakeAccount, FakeBitget
from trading.exchanges.bitget import BitgetExchange, connect
from trading.exchanges.budget import Unlimited
from trading.exchanges.keys import ApiKey

SYMBOL, RAW = "ETH/USDT:USDT", "ETHUSDT"
PLACE, DETAIL = "POST /api/v2/mix/order/place-order", "GET /api/v2/mix/order/detail"
TIMEOUT_S = 3.0  # a busy machine is slow; tests of silence are impatient on their own


def connected(fake: FakeBitget, account: FakeAccount | None = None, **changes: Any) -> BitgetExchange:
    """The exchange as an account sees it; without one, its public face."""
    key = ApiKey(account.key, account.secret, account.passphrase) if account else None
    settings = {"is_demo": bool(account and account.is_demo), "budget": Unlimited(), "total_timeout_s": TIMEOUT_S, **changes}
    exchange = connect(url=fake.url, key=key, **settings)
    exchange.stop_looks_after_s, exchange.entry_within_s = (0.0, 0.05), TIMEOUT_S
    return exchange


def impatient(exchange: BitgetExchange) -> None:
    """From now on wait for an answer half a second only; the connection is there already."""
    exchange.client.http.total_timeout_s = 0.6


def an_order(client_id: str = "LDEV00000000000000000000000001A", **changes: Any) -> OrderRequest:
    """A small market buy."""
    wish = {"symbol": SYMBOL, "side": Side.BUY, "order_type": OrderType.MARKET, "amount": Decimal("0.05"), **changes}
    return OrderRequest(client_id=client_id, **wish)


def a_limit(client_id: str = "LDEV00000000000000000000000002A", *, price: str = "2900.01", **changes: Any) -> OrderRequest:
    """A limit buy that rests."""
    return an_order(client_id, order_type=OrderType.LIMIT, price=Decimal(price), **changes)
