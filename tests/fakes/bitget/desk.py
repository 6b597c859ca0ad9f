"""What each endpoint of the fake Bitget does. One function per path; answers are the `data` of the envelope."""

import itertools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from dgbot.core.interval import Interval
from dgbot.core.types import Candle, Side
from tests.fakes.bitget import rendering
from tests.fakes.bitget.accounts import FakeAccount
from tests.fakes.bitget.errors import BitgetError
from tests.fakes.bitget.futures import Bill, FuturesSettlement, Plan, check_stop, closing_order
from tests.fakes.core.engine import Engine, Event
from tests.fakes.core.orders import Kind, NewOrder, Order, Refused, TimeInForce
from tests.fakes.core.server import Request

CLIENT_ID = re.compile(r"[\x21-\x7e]{1,50}")
GRANULARITIES = {
    "1m": Interval.MINUTE_1,
    "3m": Interval.MINUTE_3,
    "5m": Interval.MINUTE_5,
    "15m": Interval.MINUTE_15,
    "30m": Interval.MINUTE_30,
    "1H": Interval.HOUR_1,
    "4H": Interval.HOUR_4,
    "1Dutc": Interval.DAY_1,
}
REACH_DAYS = {"1H": 60, "4H": 240, "1Dutc": 1440}
FORCES = {"gtc": TimeInForce.GOOD_TILL_CANCELLED, "ioc": TimeInForce.IMMEDIATE_OR_CANCEL, "fok": TimeInForce.FILL_OR_KILL}
FORCES["post_only"] = TimeInForce.POST_ONLY

CandlesOf = Callable[[str, Interval, datetime], Candle]


def smooth_candle(symbol: str, interval: Interval, opened_at: datetime) -> Candle:
    """A candle computed from its time alone: neighbours differ, the same question gets the same answer."""
    step = int(opened_at.timestamp()) // interval.seconds % 997
    first = Decimal(3000) + Decimal(step) / 10
    return Candle(opened_at, first, first + 2, first - 2, first + Decimal("0.5"), Decimal(step + 1) / 8)


@dataclass
class Desk:
    """The endpoints over one engine."""

    engine: Engine
    settlement: FuturesSettlement
    accounts: dict[str, FakeAccount]
    candle_of: CandlesOf = smooth_candle
    candles_count_from: str = "end"  # which edge of the asked range a page is cut from, when it holds more than `limit`
    omits_order_id: bool = False  # the answer to a reduce-only order may lack it
    keeps_settings: bool = False  # settings are acknowledged and not carried out
    hides_new_stops: bool = False
    plans: dict[str, Plan] = field(default_factory=dict)
    bills: list[Bill] = field(default_factory=list)
    marks: dict[str, Decimal] = field(default_factory=dict)
    plan_client_ids: set[tuple[str, str]] = field(default_factory=set)
    _is_triggering: bool = False

    def __post_init__(self) -> None:
        self.engine.subscribe(self._watch)

    # --- the stage ---
    def mark(self, raw: str) -> Decimal:
        """The mark price: as set, else the last price."""
        return self.marks.get(raw) or self.engine.last_price(raw) or Decimal(1)

    def set_mark(self, raw: str, price: Decimal | str | int) -> None:
        """Move the mark price; stops that it reaches fire."""
        with self.engine.lock:
            self.marks[raw] = Decimal(price)
            self.fire_plans(raw)

    def fire_plans(self, raw: str) -> None:
        """Send what reached stops ask for; stops of positions that are gone vanish."""
        if self._is_triggering:
            return
        self._is_triggering = True
        try:
            for plan in [plan for plan in self.plans.values() if plan.market == raw]:
                position = self.settlement.positions[plan.account, raw]
                is_held = position.amount and (position.amount > 0) == (plan.hold_side in ("buy", "long"))
                if not is_held:
                    del self.plans[plan.plan_id]
                elif plan.is_reached(self.mark(raw)):
                    del self.plans[plan.plan_id]
                    self.engine.place(closing_order(plan, position))
        finally:
            self._is_triggering = False

    def fund(self, raw: str, *, rate: Decimal | str) -> None:
        """A funding time: every position pays or receives."""
        with self.engine.lock:
            for (account, market), position in list(self.settlement.positions.items()):
                if market == raw and position.amount:
                    amount = self.settlement.pay_funding(account, raw, rate=Decimal(rate), mark=self.mark(raw))
                    self.bills.append(Bill(self.engine.new_id(), account, raw, amount, self.engine.clock.now()))

    def liquidate(self, account: str, raw: str) -> Order:
        """Close a position by force: an order that nobody of us made."""
        with self.engine.lock:
            held = self.settlement.positions[account, raw].amount
            side = Side.SELL if held > 0 else Side.BUY
            info = {"trade_side": f"burst_{side.value}_single", "may_be_small": True, "source": "liquidation"}
            return self.engine.place(
                NewOrder(account=account, market=raw, side=side, kind=Kind.MARKET, amount=abs(held), reduce_only=True, info=info)
            )

    def _watch(self, event: Event) -> None:
        if event.what in ("filled", "cancelled") and event.order is not None:
            self.fire_plans(event.market)

    # --- public ---
    def time(self, _: Request) -> Any:
        """GET /api/v2/public/time."""
        return {"serverTime": rendering.stamp(self.engine.clock.now())}

    def contracts(self, request: Request) -> Any:
        """GET contracts."""
        wanted = _query(request).get("symbol")
        if wanted and wanted not in self.engine.markets:
            raise BitgetError("40034", f"Parameter {wanted} does not exist")
        return [rendering.contract(market) for market in self.engine.markets.values() if wanted in (None, market.symbol)]

    def tiers(self, request: Request) -> Any:
        """GET query-position-lever."""
        return rendering.tiers(self._symbol(request))

    def ticker(self, request: Request) -> Any:
        """GET ticker."""
        return [self.ticker_row(self._symbol(request))]

    def ticker_row(self, raw: str) -> dict[str, Any]:
        """A ticker row of this moment."""
        bid, ask = self.engine.best(raw, Side.BUY), self.engine.best(raw, Side.SELL)
        last = self.engine.last_price(raw) or Decimal(1)
        bid_price, ask_price = bid.price if bid else last, ask.price if ask else last
        return rendering.ticker(raw, last=last, bid=bid_price, ask=ask_price, mark=self.mark(raw), now=self.engine.clock.now())

    def depth(self, request: Request) -> Any:
        """GET merge-depth. Levels are JSON numbers."""
        return self.depth_row(self._symbol(request), levels=int(_query(request).get("limit", "100")))

    def depth_row(self, raw: str, *, levels: int) -> dict[str, Any]:
        """The book of this moment."""
        now = self.engine.clock.now()
        sides = {
            name: [[float(level.price), float(level.amount)] for level in self.engine.books[raw].levels(now, side)[:levels]]
            for name, side in (("asks", Side.SELL), ("bids", Side.BUY))
        }
        return {**sides, "ts": rendering.stamp(now), "scale": "0.01", "precision": "scale0", "isMaxPrecision": "NO"}

    def candles(self, request: Request) -> Any:
        """GET candles: at most 1000, not older than the recent endpoint reaches; the last row is still forming."""
        return self._candles(request, most=1000, reach_days=REACH_DAYS.get(_query(request).get("granularity", ""), 30))

    def old_candles(self, request: Request) -> Any:
        """GET history-candles: at most 200."""
        return self._candles(request, most=200, reach_days=None)

    def _candles(self, request: Request, *, most: int, reach_days: int | None) -> Any:
        query, raw, now = _query(request), self._symbol(request), self.engine.clock.now()
        interval = GRANULARITIES.get(query.get("granularity", ""))
        if interval is None:
            raise BitgetError("40017", "Parameter granularity error")
        limit = min(int(query.get("limit", "100")), most)
        end = min(_at(query["endTime"]), now) if "endTime" in query else now
        start = _at(query["startTime"]) if "startTime" in query else end - interval.length * limit
        if end - start > timedelta(days=90):
            raise BitgetError("00001", "startTime and endTime interval cannot be greater than 90 days")
        if reach_days is not None:
            start = max(start, now - timedelta(days=reach_days))
        first = interval.open_of(start) if interval.open_of(start) >= start else interval.open_of(start) + interval.length
        opens = list(itertools.takewhile(lambda at: at <= end, (first + interval.length * number for number in range(100_000))))
        opens = opens[-limit:] if self.candles_count_from == "end" else opens[:limit]
        return [_candle_row(self.candle_of(raw, interval, at)) for at in opens]

    def trades(self, request: Request) -> Any:
        """GET fills: the newest public trades."""
        query, raw = _query(request), self._symbol(request)
        return [rendering.public_trade(one) for one in reversed(self.engine.prints[raw][-min(int(query.get("limit", "100")), 100) :])]

    def old_trades(self, request: Request) -> Any:
        """GET fills-history."""
        query, raw = _query(request), self._symbol(request)
        before = int(query.get("idLessThan", 10**30))
        found = [one for one in self.engine.prints[raw] if one.sequence < before]
        return [rendering.public_trade(one) for one in reversed(found[-min(int(query.get("limit", "500")), 1000) :])]

    # --- the account ---
    def key(self, account: FakeAccount, _: Request) -> Any:
        """GET spot/account/info."""
        if not {"stor", "stow"} & set(account.rights):
            raise BitgetError("40014")
        return {
            "userId": "1",
            "inviterId": "0",
            "ips": account.ips,
            "authorities": list(account.rights),
            "parentId": 1,
            "traderType": "not_trader",
            "channelCode": "",
            "channel": "",
            "regisTime": "1246566789345",
        }

    def fees(self, account: FakeAccount, request: Request) -> Any:
        """GET trade-rate."""
        market = self.engine.markets[self._symbol(request)]
        return {"makerFeeRate": rendering.number(market.maker_rate), "takerFeeRate": rendering.number(market.taker_rate)}

    def wallet_row(self, account: FakeAccount) -> dict[str, Any]:
        """The USDT wallet of this moment."""
        self.engine.poll()
        held = self.engine.wallets.holding(account.name, "USDT")
        marks = [
            (raw, self.mark(raw)) for (name, raw), one in list(self.settlement.positions.items()) if name == account.name and one.amount
        ]
        unrealised = sum((self.settlement.unrealised(account.name, raw, mark) for raw, mark in marks), Decimal(0))
        return rendering.wallet(free=held.free, locked=held.locked, unrealised=unrealised)

    def wallets(self, account: FakeAccount, _: Request) -> Any:
        """GET accounts."""
        return [self.wallet_row(account)]

    def margin_account(self, account: FakeAccount, request: Request) -> Any:
        """GET account."""
        return rendering.margin_account(account, self._symbol(request), self.wallet_row(account))

    def positions(self, account: FakeAccount, _: Request) -> Any:
        """GET all-position: what is flat is not listed."""
        return self.position_rows(account)

    def position_rows(self, account: FakeAccount) -> list[dict[str, Any]]:
        """The positions of this moment."""
        self.engine.poll()
        now = self.engine.clock.now()
        return [
            rendering.position(raw, one, account=account, mark=self.mark(raw), now=now)
            for (name, raw), one in list(self.settlement.positions.items())
            if name == account.name and one.amount
        ]

    def set_position_mode(self, account: FakeAccount, request: Request) -> Any:
        """POST set-position-mode: one for the whole product."""
        mode = _body(request).get("posMode")
        if mode not in ("one_way_mode", "hedge_mode"):
            raise BitgetError("40017", "Parameter posMode error")
        self._refuse_while_holding(account, raw=None)
        if not self.keeps_settings:
            account.position_mode = mode
        return {"posMode": mode}

    def set_margin_mode(self, account: FakeAccount, request: Request) -> Any:
        """POST set-margin-mode."""
        body = _body(request)
        raw, mode = self._known(body.get("symbol")), body.get("marginMode")
        if mode not in ("isolated", "crossed"):
            raise BitgetError("40017", "Parameter marginMode error")
        self._refuse_while_holding(account, raw=raw)
        if not self.keeps_settings:
            account.margin_modes[raw] = mode
        return self._setting(account, raw)

    def set_leverage(self, account: FakeAccount, request: Request) -> Any:
        """POST set-leverage."""
        body = _body(request)
        raw, leverage = self._known(body.get("symbol")), _decimal(body.get("leverage"), "leverage")
        if not 1 <= leverage <= 100 or leverage % 1:
            raise BitgetError("40017", "Parameter leverage error")
        if not self.keeps_settings:
            text = rendering.number(leverage)
            if account.margin_mode(raw) == "crossed":
                account.crossed_leverages[raw] = text
            else:
                account.leverages[raw] = (text, text)
        return self._setting(account, raw)

    def _setting(self, account: FakeAccount, raw: str) -> dict[str, str]:
        long, short = account.leverages.get(raw, ("10", "10"))
        return {
            "symbol": raw,
            "marginCoin": "USDT",
            "longLeverage": long,
            "shortLeverage": short,
            "crossMarginLeverage": account.crossed_leverages.get(raw, "10"),
            "marginMode": account.margin_mode(raw),
        }

    def _refuse_while_holding(self, account: FakeAccount, *, raw: str | None) -> None:
        holds = any(
            one.amount for (name, market), one in list(self.settlement.positions.items()) if name == account.name and raw in (None, market)
        )
        waits = any(order.is_live and raw in (None, order.asked.market) for order in self.engine.of_account(account.name))
        if holds or waits:
            raise BitgetError("45117")

    def bill_list(self, account: FakeAccount, request: Request) -> Any:
        """GET bill."""
        mine = [one for one in self.bills if one.account == account.name]
        return _page(request, mine, key="bills", id_of=lambda one: one.bill_id, at=lambda one: one.at, render=rendering.bill)

    # --- orders ---
    def place(self, account: FakeAccount, request: Request) -> Any:
        """POST place-order."""
        body = _body(request)
        asked = self._asked(account, body)
        try:
            order = self.engine.place(asked)
        except Refused as refused:
            raise BitgetError(_refusal(refused), str(refused)) from refused
        account.margin_modes[asked.market] = body["marginMode"]  # the position an order opens has the order's mode
        if self.omits_order_id and asked.reduce_only:
            return {"orderId": None, "clientOid": body.get("clientOid", "")}
        return {"orderId": order.order_id, "clientOid": body.get("clientOid") or order.asked.info["made_client_id"]}

    def _asked(self, account: FakeAccount, body: dict[str, Any]) -> NewOrder:
        for name in ("symbol", "productType", "marginMode", "marginCoin", "size", "side", "orderType"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise BitgetError("40019", f"Parameter {name} cannot be empty")
        raw, client_id = self._known(body["symbol"]), body.get("clientOid")
        if client_id is not None and not CLIENT_ID.fullmatch(str(client_id)):
            raise BitgetError("40305")
        if ("tradeSide" in body) != (account.position_mode == "hedge_mode"):
            raise BitgetError("40774")
        if body["marginMode"] != account.margin_mode(raw) and any(
            one.amount for (name, market), one in list(self.settlement.positions.items()) if (name, market) == (account.name, raw)
        ):
            raise BitgetError("45117")
        if body["side"] not in ("buy", "sell") or body["orderType"] not in ("limit", "market"):
            raise BitgetError("40017", "Parameter side or orderType error")
        force = str(body.get("force", "gtc")).lower()
        if force not in FORCES:
            raise BitgetError("40017", "Parameter force error")
        is_limit = body["orderType"] == "limit"
        return NewOrder(
            account=account.name,
            market=raw,
            side=Side(body["side"]),
            kind=Kind.LIMIT if is_limit else Kind.MARKET,
            amount=_decimal(body["size"], "size"),
            price=_decimal(body.get("price"), "price") if is_limit else None,
            client_id=client_id,
            time_in_force=FORCES[force],
            reduce_only=body.get("reduceOnly") == "YES",
            info={
                "margin_mode": body["marginMode"],
                "made_client_id": self.engine.new_id(),
                "may_be_small": body.get("reduceOnly") == "YES",  # closing dust is allowed
            },
        )

    def cancel(self, account: FakeAccount, request: Request) -> Any:
        """POST cancel-order: acknowledges a wish."""
        order = self._find(account, _body(request))
        if order is None:
            raise BitgetError("40768")
        if not order.is_live:
            raise BitgetError("43001")
        self.engine.request_cancel(order)
        return {"orderId": order.order_id, "clientOid": order.asked.client_id or ""}

    def detail(self, account: FakeAccount, request: Request) -> Any:
        """GET detail."""
        order = self._find(account, _query(request))
        if order is None or _is_hidden(order, request):
            raise BitgetError("40109")
        return rendering.order(order, account=account, in_list=False)

    def pending(self, account: FakeAccount, request: Request) -> Any:
        """GET orders-pending."""
        return self._listed(account, request, lambda order: order.is_live)

    def history(self, account: FakeAccount, request: Request) -> Any:
        """GET orders-history."""
        return self._listed(account, request, lambda order: not order.is_live)

    def _listed(self, account: FakeAccount, request: Request, wanted: Callable[[Order], bool]) -> Any:
        self.engine.poll()
        symbol = _query(request).get("symbol")
        mine = [
            order
            for order in self.engine.of_account(account.name)
            if wanted(order) and symbol in (None, order.asked.market) and not _is_hidden(order, request)
        ]
        return _page(
            request,
            mine,
            key="entrustedList",
            id_of=lambda order: order.order_id,
            at=lambda order: order.created_at,
            render=lambda order: rendering.order(order, account=account, in_list=True),
        )

    def fills(self, account: FakeAccount, request: Request) -> Any:
        """GET order/fills."""
        query = _query(request)
        self.engine.poll()
        mine = [
            one
            for one in list(self.engine.fills)
            if one.account == account.name
            and query.get("symbol") in (None, one.market)
            and query.get("orderId") in (None, one.order_id)
            and (not request.lag_s or (self.engine.clock.now() - one.executed_at).total_seconds() >= request.lag_s)
        ]
        return _page(
            request,
            mine,
            key="fillList",
            id_of=lambda one: one.trade_id,
            at=lambda one: one.executed_at,
            render=lambda one: rendering.fill(one, account=account),
        )

    def _find(self, account: FakeAccount, given: dict[str, Any]) -> Order | None:
        if not given.get("orderId") and not given.get("clientOid"):
            raise BitgetError("40019", "Parameter orderId cannot be empty")
        order = self.engine.find(account.name, order_id=given.get("orderId") or None, client_id=given.get("clientOid"))
        return order if order is not None and order.asked.market == given.get("symbol") else None

    # --- stops ---
    def place_stop(self, account: FakeAccount, request: Request) -> Any:
        """POST place-tpsl-order."""
        body = _body(request)
        raw, kind = self._known(body.get("symbol")), body.get("planType")
        client_id = body.get("clientOid") or self.engine.new_id()
        if kind not in ("pos_loss", "loss_plan", "pos_profit", "profit_plan"):
            raise BitgetError("40017", "Parameter planType error")
        if (account.name, client_id) in self.plan_client_ids:
            raise BitgetError("40786")
        if body.get("holdSide") not in (("buy", "sell") if account.position_mode == "one_way_mode" else ("long", "short")):
            raise BitgetError("40774")
        size = _decimal(body.get("size"), "size") if kind.endswith("_plan") else None
        with self.engine.lock:
            plan = Plan(
                plan_id=self.engine.new_id(),
                client_id=client_id,
                account=account.name,
                market=raw,
                plan_type=kind,
                trigger_price=_decimal(body.get("triggerPrice"), "triggerPrice"),
                hold_side=body["holdSide"],
                size=size,
                created_at=self.engine.clock.now(),
            )
            if plan.trigger_price % self.engine.markets[raw].tick(plan.trigger_price):
                raise BitgetError("40808", "Parameter verification exception triggerPrice checkBDScale error")
            check_stop(plan, self.settlement.positions[account.name, raw], self.mark(raw))
            self.plan_client_ids.add((account.name, client_id))
            self.plans[plan.plan_id] = plan
        return {"orderId": plan.plan_id, "clientOid": client_id}

    def cancel_stop(self, account: FakeAccount, request: Request) -> Any:
        """POST cancel-plan-order: failures live inside a success; the wrong plan type finds nothing."""
        body = _body(request)
        done, failed = [], []
        for wanted in body.get("orderIdList") or []:
            plan = self.plans.get(str(wanted.get("orderId")))
            names = {"orderId": wanted.get("orderId"), "clientOid": wanted.get("clientOid", "")}
            if plan is None or plan.account != account.name or plan.plan_type != body.get("planType", "normal_plan"):
                failed.append({**names, "errorMsg": "The order does not exist", "errorCode": "43001"})
            else:
                del self.plans[plan.plan_id]
                done.append(names)
        return {"successList": done, "failureList": failed}

    def stops(self, account: FakeAccount, request: Request) -> Any:
        """GET orders-plan-pending: TP/SL only under profit_loss."""
        query = _query(request)
        if query.get("planType") != "profit_loss" or self.hides_new_stops:
            return {"entrustedList": None, "endId": None}
        mine = [one for one in list(self.plans.values()) if one.account == account.name and query.get("symbol") in (None, one.market)]
        return _page(
            request,
            mine,
            key="entrustedList",
            id_of=lambda one: one.plan_id,
            at=lambda one: one.created_at,
            render=lambda one: rendering.plan(one, account=account),
        )

    # --- inside ---
    def _symbol(self, request: Request) -> str:
        return self._known(_query(request).get("symbol"))

    def _known(self, raw: Any) -> str:
        if raw not in self.engine.markets:
            raise BitgetError("40034", f"Parameter {raw} does not exist")
        return raw


def _refusal(refused: Refused) -> str:
    from tests.fakes.bitget.errors import REFUSALS

    return REFUSALS.get(refused.code, "45001")


def _is_hidden(order: Order, request: Request) -> bool:
    return bool(request.lag_s) and (request.arrived_at - order.created_at).total_seconds() < request.lag_s


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.raw_query, keep_blank_values=True))


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        raise BitgetError("40007", "Json data format error") from None
    if not isinstance(body, dict):
        raise BitgetError("40007", "Json data format error")
    return body


def _decimal(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BitgetError("40017", f"Parameter {name} error") from None
    if not number.is_finite() or "e" in str(value).lower():
        raise BitgetError("40017", f"Parameter {name} error")
    return number


def _at(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC)


def _candle_row(candle: Candle) -> list[str]:
    values = (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.volume * candle.close)
    return [rendering.stamp(candle.opened_at), *(rendering.number(value) for value in values)]


def _page(request: Request, rows: Iterable[Any], *, key: str, id_of: Any, at: Any, render: Any) -> dict[str, Any]:
    """Newest first, at most `limit`, before `idLessThan`, inside the asked span; null when empty."""
    query = _query(request)
    start = _at(query["startTime"]) if "startTime" in query else None
    end = _at(query["endTime"]) if "endTime" in query else None
    if start is not None and end is not None and end - start > timedelta(days=7):
        raise BitgetError("00001", "startTime and endTime interval cannot be greater than 7 days")
    found = [row for row in rows if (start is None or at(row) >= start) and (end is None or at(row) <= end)]
    if "idLessThan" in query:
        found = [row for row in found if int(id_of(row)) < int(query["idLessThan"])]
    found = sorted(found, key=lambda row: int(id_of(row)), reverse=True)[: min(int(query.get("limit", "100")), 100)]
    if not found:
        return {key: None, "endId": None}
    return {key: [render(row) for row in found], "endId": id_of(found[-1])}
