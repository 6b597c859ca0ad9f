"""The exchange endpoints: accounts, chance, create, look up, list, cancel."""

from datetime import timedelta
from typing import Any

from dgbot.core.types import Side
from tests.fakes.core.engine import Engine
from tests.fakes.core.orders import ZERO, Kind, Market, NewOrder, Order, Refused, TimeInForce
from tests.fakes.core.server import Request
from tests.fakes.upbit import errors, rendering
from tests.fakes.upbit.auth import Key, json_body
from tests.fakes.upbit.errors import UpbitRefusal
from tests.fakes.upbit.parameters import Parameters, amount, instant

LONGEST_IDENTIFIER = 64
LONGEST_WINDOW = timedelta(days=7)
BOOK_LEVELS = 30
SELF_MATCH = ("cancel_maker", "cancel_taker", "reduce", "none")


class OrderDesk:
    """What a key may do with orders and money."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # --- money ---
    def accounts(self, key: Key, _request: Request) -> list[dict[str, Any]]:
        """GET /v1/accounts: assets never held are absent."""
        with self.engine.lock:
            self.engine.poll()
            held = {asset: holding for asset, holding in self.engine.wallets.of(key.account).items() if holding.free or holding.locked}
            return [rendering.account_body(asset, holding) for asset, holding in held.items()]

    def chance(self, key: Key, request: Request) -> dict[str, Any]:
        """GET /v1/orders/chance: an object, not an array."""
        market = self._market(Parameters(request.raw_query).one("market"))
        taker, maker = rendering.text(market.taker_rate), rendering.text(market.maker_rate)
        shared = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc"]
        minimum = rendering.text(market.minimum_total)
        holding = self.engine.wallets.holding
        return {
            "bid_fee": taker,
            "ask_fee": taker,
            "maker_bid_fee": maker,
            "maker_ask_fee": maker,
            "market": {
                "id": market.symbol,
                "name": f"{market.base}/{market.quote}",
                "order_types": ["limit"],
                "order_sides": ["ask", "bid"],
                "bid_types": [*shared, "price"],
                "ask_types": [*shared, "market"],
                "bid": {"currency": market.quote, "min_total": minimum},
                "ask": {"currency": market.base, "min_total": minimum},
                "max_total": rendering.text(market.maximum_total or ZERO),
                "state": "active" if market.is_open else "offline",
            },
            "bid_account": rendering.account_body(market.quote, holding(key.account, market.quote)),
            "ask_account": rendering.account_body(market.base, holding(key.account, market.base)),
        }

    # --- create ---
    def create(self, key: Key, request: Request) -> dict[str, Any]:
        """POST /v1/orders: state `wait`, whatever has happened since."""
        asked = self._asked(key, json_body(request))
        try:
            with self.engine.lock:
                self._check_depth(asked)
                order = self.engine.place(asked)
        except Refused as refused:
            if asked.client_id is not None:  # spent for ever, also by a refusal
                self.engine.spend_client_id(key.account, asked.client_id)
            raise errors.of(refused, word=rendering.WORD[asked.side]) from None
        return rendering.order_body(order, self.engine.markets[asked.market], as_new=True)

    def test(self, key: Key, request: Request) -> dict[str, Any]:
        """POST /v1/orders/test: the same checks, and an id that leads nowhere."""
        asked = self._asked(key, json_body(request))
        try:
            market = self.engine.check(asked)
        except Refused as refused:
            raise errors.of(refused, word=rendering.WORD[asked.side]) from None
        return rendering.order_body(Order(self.engine.new_id(), asked, self.engine.clock.now()), market, as_new=True)

    def _asked(self, key: Key, body: dict[str, Any]) -> NewOrder:
        side, word, kind = body.get("side"), str(body.get("side")), body.get("ord_type")
        market = body.get("market")
        if word not in rendering.SIDE or not isinstance(market, str):
            raise UpbitRefusal(400, "validation_error")
        price, volume = amount(body, "price"), amount(body, "volume")
        needs_price, needs_volume = _needs(str(kind), word)
        if (price is None) == needs_price or (volume is None) == needs_volume:
            raise UpbitRefusal(400, f"create_{side}_error")
        identifier = body.get("identifier")
        if identifier is not None and (not isinstance(identifier, str) or not 1 <= len(identifier) <= LONGEST_IDENTIFIER):
            raise UpbitRefusal(400, "validation_error")
        force = _time_in_force(str(kind), body.get("time_in_force"))
        return NewOrder(
            account=key.account,
            market=market,
            side=rendering.SIDE[word],
            kind={"limit": Kind.LIMIT, "best": Kind.BEST}.get(str(kind), Kind.MARKET),
            amount=volume,
            quote_amount=None if kind == "limit" else price,
            price=price if kind == "limit" else None,
            client_id=identifier,
            time_in_force=force,
            self_match=_self_match(body.get("smp_type"), force),
        )

    def _check_depth(self, asked: NewOrder) -> None:
        """A market order larger than the thirty levels is refused."""
        if asked.kind is not Kind.MARKET or asked.market not in self.engine.markets:
            return
        side = Side.SELL if asked.side is Side.BUY else Side.BUY
        levels = self.engine.books[asked.market].levels(self.engine.clock.now(), side)[:BOOK_LEVELS]
        there = sum((level.amount * (level.price if asked.quote_amount is not None else 1) for level in levels), ZERO)
        if (asked.quote_amount or asked.amount or ZERO) > there:
            raise Refused("too_large_for_book")

    # --- read ---
    def one(self, key: Key, request: Request) -> dict[str, Any]:
        """GET /v1/order: the uuid wins over the identifier."""
        return self._body(self._found(key, request), with_trades=True)

    def open(self, key: Key, request: Request) -> list[dict[str, Any]]:
        """GET /v1/orders/open."""
        asked = Parameters(request.raw_query)
        states = set(asked.many("states") or asked.many("state") or ["wait"])
        limit, page = asked.number("limit", default=100, maximum=100), asked.number("page", default=1, maximum=10_000)
        found = [order for order in self._visible(key, request) if order.is_live and rendering.state(order) in states]
        return self._page(found, asked)[(page - 1) * limit : page * limit]

    def closed(self, key: Key, request: Request) -> list[dict[str, Any]]:
        """GET /v1/orders/closed: a window of at most seven days, and no pages."""
        asked = Parameters(request.raw_query)
        states = set(asked.many("states") or asked.many("state") or ["done", "cancel"])
        given = {name: instant(value) for name in ("start_time", "end_time") if (value := asked.one(name)) is not None}
        end = given.get("end_time") or (given["start_time"] + LONGEST_WINDOW if "start_time" in given else request.arrived_at)
        start = given.get("start_time") or end - LONGEST_WINDOW
        if end - start > LONGEST_WINDOW or end < start:
            raise UpbitRefusal(400, "invalid_parameter")
        found = [
            order
            for order in self._visible(key, request)
            if not order.is_live and rendering.state(order) in states and start <= order.created_at <= end
        ]
        return self._page(found, asked)[: asked.number("limit", default=100, maximum=1000)]

    def by_ids(self, key: Key, request: Request) -> list[dict[str, Any]]:
        """GET /v1/orders/uuids: up to a hundred of one kind of id."""
        asked = Parameters(request.raw_query)
        uuids, identifiers = asked.many("uuids"), asked.many("identifiers")
        if bool(uuids) == bool(identifiers) or len(uuids or identifiers) > 100:
            raise UpbitRefusal(400, "invalid_parameter")
        found = [order for order in self._visible(key, request) if order.order_id in uuids or order.asked.client_id in identifiers]
        return self._page(found, asked)

    # --- cancel ---
    def cancel(self, key: Key, request: Request) -> dict[str, Any]:
        """DELETE /v1/order: a request; the answer still says `wait`."""
        order = self._found(key, request)
        if not order.is_live:
            raise UpbitRefusal(400, "bad_request", "이미 체결되었거나 취소된 주문입니다.")
        body = self._body(order)
        self.engine.request_cancel(order)
        return body

    def cancel_open(self, key: Key, request: Request) -> dict[str, Any]:
        """DELETE /v1/orders/open: up to `count` waiting orders."""
        asked = Parameters(request.raw_query)
        side = asked.one("cancel_side") or "all"
        pairs, quotes, excluded = set(asked.many("pairs")), set(asked.many("quote_currencies")), set(asked.many("excluded_pairs"))
        count = asked.number("count", default=20, maximum=300)
        found = [
            order
            for order in self.engine.of_account(key.account)
            if rendering.state(order) == "wait"
            and side in ("all", rendering.WORD[order.asked.side])
            and (not pairs or order.asked.market in pairs)
            and (not quotes or order.asked.market.partition("-")[0] in quotes)
            and order.asked.market not in excluded
        ]
        return self._cancel_all(found[::-1][:count])

    def cancel_by_ids(self, key: Key, request: Request) -> dict[str, Any]:
        """DELETE /v1/orders/uuids: up to twenty."""
        asked = Parameters(request.raw_query)
        wanted = set(asked.many("uuids")) | set(asked.many("identifiers"))
        if not wanted or len(wanted) > 20:
            raise UpbitRefusal(400, "bad_request")
        return self._cancel_all(
            [order for order in self.engine.of_account(key.account) if {order.order_id, order.asked.client_id} & wanted]
        )

    def _cancel_all(self, orders: list[Order]) -> dict[str, Any]:
        told: dict[str, list[dict[str, Any]]] = {"success": [], "failed": []}
        for order in orders:
            short = {"uuid": order.order_id, "market": order.asked.market}
            if order.asked.client_id is not None:
                short["identifier"] = order.asked.client_id
            told["success" if order.is_live else "failed"].append(short)
            self.engine.request_cancel(order)
        return {word: {"count": len(one), "orders": one} for word, one in told.items()}

    # --- inside ---
    def _found(self, key: Key, request: Request) -> Order:
        asked = Parameters(request.raw_query)
        uuid, identifier = asked.one("uuid"), asked.one("identifier")
        if uuid is None and identifier is None:
            raise UpbitRefusal(400, "validation_error")
        order = self.engine.find(key.account, order_id=uuid, client_id=identifier)
        if order is None or not _is_visible(order, request):
            raise UpbitRefusal(404, "order_not_found")
        return order

    def _visible(self, key: Key, request: Request) -> list[Order]:
        with self.engine.lock:
            self.engine.poll()
            market = Parameters(request.raw_query).one("market")
            return [
                order
                for order in self.engine.of_account(key.account)
                if market in (None, order.asked.market) and _is_visible(order, request)
            ]

    def _page(self, orders: list[Order], asked: Parameters) -> list[dict[str, Any]]:
        is_rising = asked.one("order_by") == "asc"
        return [self._body(order, with_funds=True) for order in (orders if is_rising else orders[::-1])]

    def _body(self, order: Order, *, with_trades: bool = False, with_funds: bool = False) -> dict[str, Any]:
        with self.engine.lock:
            return rendering.order_body(order, self.engine.markets[order.asked.market], with_trades=with_trades, with_funds=with_funds)

    def _market(self, symbol: str | None) -> Market:
        if symbol is None:
            raise UpbitRefusal(400, "validation_error")
        if symbol not in self.engine.markets:
            raise UpbitRefusal(400, "notfoundmarket")
        return self.engine.markets[symbol]


def _needs(kind: str, word: str) -> tuple[bool, bool]:
    """Whether an order type needs a price and a volume. Raises UpbitRefusal for one that does not exist on that side."""
    table = {
        ("limit", "bid"): (True, True),
        ("limit", "ask"): (True, True),
        ("price", "bid"): (True, False),
        ("market", "ask"): (False, True),
        ("best", "bid"): (True, False),
        ("best", "ask"): (False, True),
    }
    if kind not in ("limit", "price", "market", "best"):
        raise UpbitRefusal(400, "validation_error")
    if (kind, word) not in table:
        raise UpbitRefusal(400, f"create_{word}_error")
    return table[kind, word]


def _time_in_force(kind: str, given: object) -> TimeInForce:
    allowed = {"limit": (None, "ioc", "fok", "post_only"), "best": ("ioc", "fok")}.get(kind, (None,))
    if given not in allowed:
        raise UpbitRefusal(400, "invalid_time_in_force")
    return TimeInForce(str(given)) if given else TimeInForce.GOOD_TILL_CANCELLED


def _self_match(given: object, force: TimeInForce) -> str:
    if force is TimeInForce.POST_ONLY:
        if given not in (None, "none"):
            raise UpbitRefusal(400, "invalid_post_only")
        return "none"
    if given is None:
        return "cancel_maker"  # since 2026-11-09
    if given not in SELF_MATCH:
        raise UpbitRefusal(400, "invalid_parameter")
    return str(given)


def _is_visible(order: Order, request: Request) -> bool:
    return order.created_at + timedelta(seconds=request.lag_s) <= request.arrived_at
