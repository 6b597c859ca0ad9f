"""The fake Upbit as one thing: engine, keys, limits, REST and websocket on one loopback port."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.fakes.core.books import Book, ladder
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.engine import Engine
from tests.fakes.core.fake import FakeExchange
from tests.fakes.core.limits import Bans, FixedWindow, Limit, TokenBucket
from tests.fakes.core.orders import Market
from tests.fakes.core.server import Answer, FakeServer, Request
from tests.fakes.upbit import rendering
from tests.fakes.upbit.auth import Gatekeeper, Key
from tests.fakes.upbit.errors import UpbitRefusal
from tests.fakes.upbit.orders import OrderDesk
from tests.fakes.upbit.quotation import CandlesOf, QuotationDesk
from tests.fakes.upbit.sockets import PRIVATE, PUBLIC, Sockets
from trading.exchanges import upbit_rules

ACCESS, SECRET = "fake-access-key-0000000000000000000000001", "fake-secret-key-0000000000000000000000001"
EXCHANGE_TYPE = "application/json;charset=UTF-8"
MINUTE_FIGURE = {"default": 1800, "order": 480, "order-test": 480, "order-cancel-all": 30}  # a fixed relic; 600 elsewhere
PRIVATE_GROUPS = frozenset(MINUTE_FIGURE)
CAPACITY = {"default": 30, "order": 12, "order-test": 8}


def btc_market(symbol: str = "KRW-BTC", **changes: Any) -> Market:
    """A KRW market with Upbit's rules of today."""
    quote, _, base = symbol.partition("-")
    rules: dict[str, Any] = {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "lot_step": upbit_rules.LOT_STEP,
        "tick": upbit_rules.rules(symbol, upbit_rules.NEWEST).tick,
        "minimum_total": upbit_rules.MINIMUM_TOTAL,
        "maximum_total": Decimal(1_000_000_000),
        "market_buys_end_cancelled": True,
    }
    return Market(**{**rules, **changes})


class FakeUpbit(FakeExchange):
    """Use as a context manager. `engine` is the truth, `server.faults` and `sockets` hold the switches."""

    def __init__(
        self,
        *,
        clock: FakeClock | None = None,
        candles: CandlesOf | None = None,
        has_limits: bool = True,
        tells_remaining: bool = True,
        limit_body: str = "json",
        port: int = 0,
    ) -> None:
        self.clock = clock or FakeClock()
        self.engine = Engine(clock=self.clock)
        self.gatekeeper = Gatekeeper()
        self.has_limits, self.tells_remaining, self.limit_body = has_limits, tells_remaining, limit_body
        self.is_under_maintenance = False  # 503 with a page for everybody; one market: `engine.markets[...].is_open`
        self.bans: dict[str, Bans] = defaultdict(lambda: Bans(self.clock))
        self._limits: dict[tuple[str, str], Limit] = {}
        self.desk, self.quotation = OrderDesk(self.engine), QuotationDesk(self.engine, candles=candles)
        self.sockets = Sockets(self.engine, self.gatekeeper)
        self.server = FakeServer(
            self.handle,
            sockets={PUBLIC: self.sockets.serve, PRIVATE: self.sockets.serve},
            admit=self._admit_socket,
            clock=self.clock,
            port=port,
            answers_pings=False,
        )
        self.sockets.server = self.server
        self._routes = self._table()

    # --- setting the stage ---
    def open_market(self, symbol: str = "KRW-BTC", *, book: Book | None = None, price: int = 100_000_000, **changes: Any) -> Market:
        """Open a KRW market; by default 15 even levels of about ten million KRW around `price`."""
        market = btc_market(symbol, **changes)
        step = market.tick(Decimal(price))
        made = book or ladder(price, step=step, amount=(Decimal(10_000_000) / price).quantize(Decimal("0.00000001")))
        self.engine.add_market(market, made)
        return market

    def add_key(self, access: str = ACCESS, secret: str = SECRET, **more: Any) -> Key:
        """A key that is accepted; see Key for its limits."""
        key = Key(access=access, secret=secret, **more)
        self.gatekeeper.keys[access] = key
        return key

    # --- answering ---
    def handle(self, request: Request) -> Answer:
        """One REST request. Every answer carries what is left of its group's budget."""
        if self.is_under_maintenance:
            return Answer(503, "<html><body>점검 중입니다.</body></html>", content_type="text/html;charset=UTF-8")
        group, respond = self._route(request)
        try:
            owner = self._owner(request, group)
            refusal = self._over_limit(group, owner)
            answer = refusal or respond(request)
        except UpbitRefusal as refused:
            owner, answer = request.peer, refused.answer
        return self._with_headers(answer, group=group, owner=owner)

    def _route(self, request: Request) -> tuple[str, Callable[[Request], Answer]]:
        endpoint = request.endpoint
        if request.method == "GET" and request.path.startswith("/v1/candles/"):
            return "candles", _public(self.quotation.candles)
        return self._routes.get(endpoint, ("default", _unknown))

    def _table(self) -> dict[str, tuple[str, Callable[[Request], Answer]]]:
        desk, public = self.desk, self.quotation
        view, make = "orders_view", "orders_make"
        return {
            "GET /v1/market/all": ("market", _public(public.markets)),
            "GET /v1/trades/ticks": ("crix-trades", _public(public.trades)),
            "GET /v1/ticker": ("ticker", _public(public.ticker)),
            "GET /v1/ticker/all": ("ticker", _public(public.ticker_all)),
            "GET /v1/orderbook": ("orderbook", _public(public.orderbook)),
            "GET /v1/orderbook/instruments": ("orderbook", _public(public.instruments)),
            "GET /v1/accounts": ("default", self._private(desk.accounts, "assets")),
            "GET /v1/orders/chance": ("default", self._private(desk.chance, view)),
            "GET /v1/order": ("default", self._private(desk.one, view)),
            "GET /v1/orders/open": ("default", self._private(desk.open, view)),
            "GET /v1/orders/closed": ("default", self._private(desk.closed, view)),
            "GET /v1/orders/uuids": ("default", self._private(desk.by_ids, view)),
            "GET /v1/api_keys": ("default", self._private(self._api_keys, None)),
            "POST /v1/orders": ("order", self._private(desk.create, make, status=201)),
            "POST /v1/orders/test": ("order-test", self._private(desk.test, make, status=201)),
            "DELETE /v1/order": ("default", self._private(desk.cancel, make)),
            "DELETE /v1/orders/uuids": ("default", self._private(desk.cancel_by_ids, make)),
            "DELETE /v1/orders/open": ("order-cancel-all", self._private(desk.cancel_open, make)),
        }

    def _private(self, act: Callable[[Key, Request], Any], scope: str | None, *, status: int = 200) -> Callable[[Request], Answer]:
        def respond(request: Request) -> Answer:
            key = self.gatekeeper.admit(request, scope=scope)
            return Answer(status, act(key, request), content_type=EXCHANGE_TYPE)

        return respond

    def _api_keys(self, key: Key, _request: Request) -> list[dict[str, Any]]:
        mine = [one for one in self.gatekeeper.keys.values() if one.account == key.account]
        return [
            {"access_key": one.access, "expire_at": rendering.korean(one.expires_at) if one.expires_at else "2099-01-01T00:00:00+09:00"}
            for one in mine
        ]

    # --- limits ---
    def _owner(self, request: Request, group: str) -> str:
        """Whose budget a request uses: the pocket's for private groups, the address's for public ones."""
        return self.gatekeeper.owner_of(request) or request.peer if group in PRIVATE_GROUPS else request.peer

    def _limit(self, group: str, owner: str) -> Limit:
        if (group, owner) not in self._limits:
            self._limits[group, owner] = self._new_limit(group)
        return self._limits[group, owner]

    def _new_limit(self, group: str) -> Limit:
        if group == "order-cancel-all":
            return TokenBucket(self.clock, 1, 0.5)
        if group == "websocket-connect":
            return TokenBucket(self.clock, 5, 5)
        if group in CAPACITY:
            return TokenBucket(self.clock, CAPACITY[group], CAPACITY[group])
        return FixedWindow(self.clock, 10)

    def _over_limit(self, group: str, owner: str) -> Answer | None:
        if not self.has_limits:
            return None
        bans = self.bans[owner]
        if bans.left_s > 0:
            return self._limited(418, f"Blocked for {bans.left_s:.0f} seconds.")
        if self._limit(group, owner).take():
            return None
        bans.refuse()
        return self._limited(429, "Too many API requests.")

    def _limited(self, status: int, message: str) -> Answer:
        if self.limit_body == "text":
            return Answer(status, message, content_type="text/plain;charset=UTF-8")
        return Answer(status, {"error": {"name": "too_many_requests", "message": message}}, content_type=EXCHANGE_TYPE)

    def _with_headers(self, answer: Answer, *, group: str, owner: str) -> Answer:
        if self.tells_remaining:
            left = self._limit(group, owner).left
            answer.headers["Remaining-Req"] = f"group={group}; min={MINUTE_FIGURE.get(group, 600)}; sec={left}"
        answer.headers["Cache-Control"] = "no-cache, no-store, max-age=0, must-revalidate"
        if group not in PRIVATE_GROUPS:
            answer.headers["Limit-By-Ip"] = "Yes"
        return answer

    def _admit_socket(self, request: Request) -> Answer | None:
        return self._over_limit("websocket-connect", request.peer)


def _public(act: Callable[[Request], Any]) -> Callable[[Request], Answer]:
    return lambda request: Answer(200, act(request), content_type=EXCHANGE_TYPE)


def _unknown(request: Request) -> Answer:
    return Answer(404, {"error": {"name": 404, "message": f"no route {request.endpoint}"}}, content_type=EXCHANGE_TYPE)
