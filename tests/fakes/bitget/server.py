"""The fake Bitget as one thing: engine, futures, keys, limits, REST and websocket on one loopback port."""

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.fakes.bitget.accounts import FakeAccount, authenticate
from tests.fakes.bitget.desk import CandlesOf, Desk, smooth_candle
from tests.fakes.bitget.errors import BitgetError, error_answer
from tests.fakes.bitget.futures import FuturesSettlement
from tests.fakes.bitget.sockets import PRIVATE, PUBLIC, Sockets
from tests.fakes.core.books import Book, ladder
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.engine import Engine
from tests.fakes.core.fake import FakeExchange
from tests.fakes.core.limits import TokenBucket
from tests.fakes.core.money import Wallets
from tests.fakes.core.orders import Market
from tests.fakes.core.server import Answer, FakeServer, Request

MIX = "/api/v2/mix"
FIRST_ID = 1_300_000_000_000_000_000
TIME = "GET /api/v2/public/time"
PER_S = {"all-position": 5, "set-leverage": 5, "set-margin-mode": 5, "set-position-mode": 5, "info": 1}
PRIVATE_PER_S, PUBLIC_PER_S = 10, 20

Act = Callable[[FakeAccount, Request], Any]


class FakeBitget(FakeExchange):
    """Use as a context manager. `engine` is the truth; `desk`, `sockets` and `server.faults` hold the switches."""

    lot = Decimal("0.01")
    small_lots = 100

    def __init__(
        self,
        *,
        clock: FakeClock | None = None,
        candles: CandlesOf = smooth_candle,
        has_limits: bool = False,
        is_copy_trader: bool = False,
        port: int = 0,
    ) -> None:
        self.clock = clock or FakeClock()
        self.accounts: dict[str, FakeAccount] = {}
        self.is_under_maintenance = False
        self.has_limits, self.is_copy_trader = has_limits, is_copy_trader
        ids = itertools.count(FIRST_ID)
        wallets = Wallets()
        self.settlement = FuturesSettlement(wallets, leverage_of=self._leverage_of)
        self.engine = Engine(clock=self.clock, new_id=lambda: str(next(ids)), settlement=self.settlement)
        self.engine.wallets = wallets
        self.desk = Desk(self.engine, self.settlement, self.accounts, candle_of=candles)
        self.sockets = Sockets(self.desk, self.accounts)
        sockets = {PUBLIC: self.sockets.serve, PRIVATE: self.sockets.serve}
        self.server = FakeServer(self.handle, sockets=sockets, clock=self.clock, port=port)
        self.sockets.server = self.server
        self._limits: dict[tuple[str, str], TokenBucket] = {}
        self._public, self._private = self._public_table(), self._private_table()

    # --- setting the stage ---
    def open_market(self, raw: str = "ETHUSDT", *, book: Book | None = None, price: int = 3000, **changes: Any) -> Market:
        """Open a USDT perpetual with a tick of 0.01 and a step of 0.01, and 15 even levels around `price`."""
        rules: dict[str, Any] = {
            "symbol": raw,
            "base": raw.removesuffix("USDT"),
            "quote": "USDT",
            "lot_step": Decimal("0.01"),
            "tick": lambda _price: Decimal("0.01"),
            "minimum_total": Decimal(5),
            "minimum_amount": Decimal("0.01"),
            "maker_rate": Decimal("0.0002"),
            "taker_rate": Decimal("0.0006"),
            "info": {"price_place": 2},
        }
        market = Market(**{**rules, **changes})
        self.engine.add_market(market, book or ladder(price, step=Decimal("0.5"), amount=Decimal(5)))
        return market

    def add_account(self, *, usdt: Decimal | str | int = 1000, **more: Any) -> FakeAccount:
        """An account with a key that is accepted, and money."""
        account = FakeAccount(**more)
        self.accounts[account.key] = account
        self.engine.deposit(account.name, "USDT", usdt)
        return account

    def disagreements(self) -> list[str]:
        """Where the ledger of truth contradicts itself. Empty is what every test should find at its end."""
        told = []
        with self.engine.lock:
            for account in self.accounts.values():
                held = self.engine.wallets.holding(account.name, "USDT")
                expected = self.engine.deposits[account.name, "USDT"] + self.settlement.realised[account.name]
                if held.free + held.locked != expected:
                    told.append(f"{account.name} has {held.free + held.locked} USDT, its fills and funding say {expected}")
                margins = sum((one.margin for (name, _), one in self.settlement.positions.items() if name == account.name), Decimal(0))
                reserved = sum((order.reserved for order in self.engine.of_account(account.name)), Decimal(0))
                if abs(held.locked - margins - reserved) > Decimal("1e-18"):
                    told.append(f"{account.name} has {held.locked} USDT locked, its positions and orders say {margins + reserved}")
        return told

    def _leverage_of(self, name: str, raw: str) -> Decimal:
        account = next(one for one in self.accounts.values() if one.name == name)
        return Decimal(account.leverage(raw))

    # --- answering ---
    def handle(self, request: Request) -> Answer:
        """One REST request."""
        now_ms = int(self.clock.now().timestamp() * 1000)
        if self.is_under_maintenance and request.endpoint != TIME:
            return error_answer("40200", now_ms=now_ms)
        try:
            data = self._answer(request)
        except BitgetError as error:
            return error_answer(error.code, str(error), now_ms=now_ms)
        except (KeyError, ValueError) as error:
            return error_answer("40017", f"Parameter verification failed {error}", now_ms=now_ms)
        return Answer(200, {"code": "00000", "msg": "success", "requestTime": now_ms, "data": data})

    def _answer(self, request: Request) -> Any:
        if request.endpoint in self._public:
            self._count(request, owner=request.peer, per_s=PUBLIC_PER_S)
            return self._public[request.endpoint](request)
        if request.endpoint not in self._private:
            raise BitgetError("40404")
        right, act = self._private[request.endpoint]
        account = authenticate(request, self.accounts, self.clock)
        self._count(request, owner=account.name, per_s=PRIVATE_PER_S)
        if right and not set(right) & set(account.rights):
            raise BitgetError("40014")
        return act(account, request)

    def _count(self, request: Request, *, owner: str, per_s: int) -> None:
        if not self.has_limits:
            return
        name = request.path.rpartition("/")[2]
        rate = 1 if self.is_copy_trader and name == "place-order" else PER_S.get(name, per_s)
        if not self._limits.setdefault((owner, name), TokenBucket(self.clock, rate, rate)).take():
            raise BitgetError("429")

    def _public_table(self) -> dict[str, Callable[[Request], Any]]:
        desk, market = self.desk, f"GET {MIX}/market"
        return {
            TIME: desk.time,
            f"{market}/contracts": desk.contracts,
            f"{market}/query-position-lever": desk.tiers,
            f"{market}/ticker": desk.ticker,
            f"{market}/merge-depth": desk.depth,
            f"{market}/candles": desk.candles,
            f"{market}/history-candles": desk.old_candles,
            f"{market}/fills": desk.trades,
            f"{market}/fills-history": desk.old_trades,
        }

    def _private_table(self) -> dict[str, tuple[tuple[str, ...], Act]]:
        desk = self.desk
        see, make, hold, steer = ("coor", "coow"), ("coow",), ("cpor", "cpow"), ("cpow", "coow")
        return {
            "GET /api/v2/spot/account/info": ((), desk.key),
            "GET /api/v2/common/trade-rate": ((), desk.fees),
            f"GET {MIX}/account/accounts": (hold, desk.wallets),
            f"GET {MIX}/account/account": (hold, desk.margin_account),
            f"GET {MIX}/account/bill": (hold, desk.bill_list),
            f"GET {MIX}/position/all-position": (hold, desk.positions),
            f"POST {MIX}/account/set-position-mode": (steer, desk.set_position_mode),
            f"POST {MIX}/account/set-margin-mode": (steer, desk.set_margin_mode),
            f"POST {MIX}/account/set-leverage": (steer, desk.set_leverage),
            f"POST {MIX}/order/place-order": (make, desk.place),
            f"POST {MIX}/order/cancel-order": (make, desk.cancel),
            f"GET {MIX}/order/detail": (see, desk.detail),
            f"GET {MIX}/order/orders-pending": (see, desk.pending),
            f"GET {MIX}/order/orders-history": (see, desk.history),
            f"GET {MIX}/order/fills": (see, desk.fills),
            f"POST {MIX}/order/place-tpsl-order": (make, desk.place_stop),
            f"POST {MIX}/order/cancel-plan-order": (make, desk.cancel_stop),
            f"GET {MIX}/order/orders-plan-pending": (see, desk.stops),
        }
