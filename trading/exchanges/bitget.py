"""Bitget's USDT perpetuals (Classic account, API v2), through ccxt. Unified (UTA) accounts are refused, never guessed.

Amounts are in base coin, positions are one-way and isolated, stops live at the exchange. Demo accounts use the same host
with a header that every request is checked for. What is known only from documentation: docs/exchanges.md.
"""

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dgbot.core.errors import (
    BadInput,
    CredentialsRefused,
    ExchangeError,
    ExchangeRejected,
    ExchangeUnavailable,
    OutcomeUnknown,
)
from dgbot.core.interval import Interval
from dgbot.core.money import plain
from dgbot.core.types import (
    Balance,
    Candle,
    Capabilities,
    CashFlow,
    Fees,
    KeyRights,
    MarginMode,
    MarginState,
    MarginTier,
    MarketTrade,
    OrderBook,
    OrderRequest,
    OrderType,
    Side,
    StopRequest,
    Ticker,
    TradingRules,
    VenueFill,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueStop,
)
from trading.exchanges import bitget_errors as errors
from trading.exchanges import bitget_parse as parse
from trading.exchanges.bitget_client import BitgetClient, Endpoint, NoSuchMarket, NotFound
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.budget import BITGET_LIMITS, Budget, LocalBudget
from trading.exchanges.keys import ApiKey

log = logging.getLogger(__name__)

REAL_URL = "https://api.bitget.com"
PRODUCT = "USDT-FUTURES"
MARGIN_COIN = "USDT"
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,50}")  # Bitget says 50; ours have 31

GRANULARITIES = {  # a plain 1D would be a day of UTC+8; there are no 10m, 1s and 5s
    Interval.MINUTE_1: "1m",
    Interval.MINUTE_3: "3m",
    Interval.MINUTE_5: "5m",
    Interval.MINUTE_15: "15m",
    Interval.MINUTE_30: "30m",
    Interval.HOUR_1: "1H",
    Interval.HOUR_4: "4H",
    Interval.DAY_1: "1Dutc",
}
# How far the recent endpoint reaches, as ccxt's authors measured, less a day. Older pages are smaller.
RECENT_REACH = {Interval.HOUR_1: timedelta(days=59), Interval.HOUR_4: timedelta(days=239), Interval.DAY_1: timedelta(days=1439)}
SHORT_REACH = timedelta(days=29)
RECENT_PAGE, HISTORY_PAGE = 1000, 200
LONGEST_PAGE = timedelta(days=89)  # at most 90 days between start and end
LIST_PAGE = 100
MOST_PAGES = 1000  # of one listing: a server that never ends is not believed
ORDERS_WINDOW = timedelta(days=7)
KEPT_FOR = timedelta(days=90)  # orders and fills older than this are not told
TRADE_PAGE = 1000
RULES_GOOD_FOR_S = 60.0
TIERS_GOOD_FOR_S = 3600.0
KNOWN_CLIENT_IDS = 20_000
STOP_VISIBLE_AFTER_S = (0.0, 0.2, 0.6, 1.2)  # pauses between looks for a new stop
ENTRY_WITHIN_S, EXIT_WITHIN_S = 0.8, 3.0  # from the call to the first byte; later the permit to send has run out
MARGIN_CODE = "margin_not_confirmed"

CAPABILITIES = Capabilities(
    market_buy_in_quote=False,
    short_selling=True,
    resident_stops=True,
    fees_in_quote=True,
    leverage=True,
    intervals=frozenset(GRANULARITIES),
    candles_per_page=RECENT_PAGE,
    closed_orders_window=ORDERS_WINDOW,
    book_depth=50,
    streams_trades=True,
    lists_fills=True,
    streams_orders=True,
    symbol_form="{base}/{quote}:{quote}",
)

CONTRACTS = Endpoint("public_mix_get_v2_mix_market_contracts", "public")
TICKER = Endpoint("public_mix_get_v2_mix_market_ticker", "public")
BOOK = Endpoint("public_mix_get_v2_mix_market_merge_depth", "public")
TIERS = Endpoint("public_mix_get_v2_mix_market_query_position_lever", "public")
CANDLES = Endpoint("public_mix_get_v2_mix_market_candles", "public")
OLD_CANDLES = Endpoint("public_mix_get_v2_mix_market_history_candles", "public")
TRADES = Endpoint("public_mix_get_v2_mix_market_fills", "public")
OLD_TRADES = Endpoint("public_mix_get_v2_mix_market_fills_history", "public")
FEES = Endpoint("private_common_get_v2_common_trade_rate", "account")
ACCOUNTS = Endpoint("private_mix_get_v2_mix_account_accounts", "account")
ACCOUNT = Endpoint("private_mix_get_v2_mix_account_account", "account")
BILLS = Endpoint("private_mix_get_v2_mix_account_bill", "account")
KEY = Endpoint("private_spot_get_v2_spot_account_info", "key")
POSITIONS = Endpoint("private_mix_get_v2_mix_position_all_position", "positions")
SET_POSITION_MODE = Endpoint("private_mix_post_v2_mix_account_set_position_mode", "settings")
SET_MARGIN_MODE = Endpoint("private_mix_post_v2_mix_account_set_margin_mode", "settings")
SET_LEVERAGE = Endpoint("private_mix_post_v2_mix_account_set_leverage", "settings")
PLACE = Endpoint("private_mix_post_v2_mix_order_place_order", "place", is_order=True)
CANCEL = Endpoint("private_mix_post_v2_mix_order_cancel_order", "cancel", is_order=True)
DETAIL = Endpoint("private_mix_get_v2_mix_order_detail", "order", is_order=True)
PENDING = Endpoint("private_mix_get_v2_mix_order_orders_pending", "order")
HISTORY = Endpoint("private_mix_get_v2_mix_order_orders_history", "order")
FILLS = Endpoint("private_mix_get_v2_mix_order_fills", "fills")
PLACE_STOP = Endpoint("private_mix_post_v2_mix_order_place_tpsl_order", "plan", is_order=True)
CANCEL_STOP = Endpoint("private_mix_post_v2_mix_order_cancel_plan_order", "plan", is_order=True)
STOPS = Endpoint("private_mix_get_v2_mix_order_orders_plan_pending", "plan", is_order=True)


def connect(
    *,
    url: str = REAL_URL,
    key: ApiKey | None = None,
    is_demo: bool = False,
    is_unified: bool = False,
    budget: Budget | None = None,
    connect_timeout_s: float = 2.0,
    total_timeout_s: float = 8.0,
) -> "BitgetExchange":
    """One account at Bitget; without a key, its public data.

    is_unified: what kind of account it is, as its owner says. It is never found out by asking: a lost answer would look
    like a Classic account. Raises BadInput for a unified one.
    """
    if is_unified:
        raise BadInput("Bitget's unified accounts (UTA) cannot be traded yet; use a Classic account, or switch this one back at Bitget.")
    http = BoundedHttp(connect_timeout_s=connect_timeout_s, total_timeout_s=total_timeout_s)
    client = BitgetClient(url, key, is_demo=is_demo, http=http, budget=budget or LocalBudget(BITGET_LIMITS, share=1.0))
    return BitgetExchange(client)


@dataclass
class BitgetExchange:
    """See Exchange. Safe to share between threads."""

    client: BitgetClient
    capabilities: Capabilities = CAPABILITIES
    stop_looks_after_s: tuple[float, ...] = STOP_VISIBLE_AFTER_S
    entry_within_s: float = ENTRY_WITHIN_S
    exit_within_s: float = EXIT_WITHIN_S
    _rules: dict[str, tuple[TradingRules, float]] = field(default_factory=dict, repr=False)
    _tiers: dict[str, tuple[tuple[MarginTier, ...], float]] = field(default_factory=dict, repr=False)
    _client_ids: OrderedDict[str, str | None] = field(default_factory=OrderedDict, repr=False)

    # --- Quotes ---
    def markets(self) -> Sequence[TradingRules]:
        """See Quotes. Perpetuals in USDT; contracts that are not open for trading say so."""
        data = self.client.read(CONTRACTS, productType=PRODUCT).data
        with _understood("contracts"):
            found = [row for row in parse.rows(data) if row.get("symbolType", "perpetual") == "perpetual"]
            rules = [parse.trading_rules(row) for row in found if row.get("quoteCoin") == parse.QUOTE]
        if not rules:
            raise ExchangeUnavailable("Bitget listed no contract at all; that is not believed")
        return rules

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """See Quotes. Bitget tells today's rules only; they are asked again after a minute.

        Right after `place` or `order` of the same symbol nobody is asked: what they answer is booked in a transaction.
        """
        rules, good_until = self._rules.get(symbol, (None, 0.0))
        return rules if rules is not None and time.monotonic() < good_until else self._ask_rules(symbol)

    def ticker(self, symbol: str) -> Ticker:
        """See Quotes."""
        raw = _raw(symbol)
        data = self.client.read(TICKER, symbol=raw, productType=PRODUCT).data
        with _understood("a ticker"):
            return parse.ticker(parse.only(data, raw), symbol=symbol)

    def order_book(self, symbol: str) -> OrderBook:
        """See Quotes."""
        data = self.client.read(BOOK, symbol=_raw(symbol), productType=PRODUCT, limit=str(CAPABILITIES.book_depth)).data
        with _understood("a book"):
            return parse.order_book(data, symbol=symbol)

    def candles(self, symbol: str, interval: Interval, *, start: datetime, end: datetime) -> Sequence[Candle]:
        """See CandleSource. The last row Bitget sends is still forming and is left out, by the time of the answer."""
        raw = _raw(symbol)
        if interval not in GRANULARITIES:
            served = ", ".join(sorted((one.value for one in GRANULARITIES), key=lambda word: Interval(word).seconds))
            raise BadInput(f"Bitget has no candles of {interval.value}; it has {served}.")
        found: dict[datetime, Candle] = {}
        opened = interval.open_of(start)
        now = self.server_now()
        while opened < min(end, now):
            endpoint, page = _candle_page(interval, age=now - opened)
            until = min(opened + interval.length * (page - 1), opened + LONGEST_PAGE)
            for candle in self._candle_page(endpoint, raw, interval, start=opened, end=until, limit=page):
                if start <= candle.opened_at < end:
                    found[candle.opened_at] = candle
            opened = interval.open_of(until)
        return [found[key] for key in sorted(found)]

    def market_trades(self, symbol: str, *, since: datetime) -> Sequence[MarketTrade]:
        """See Quotes."""
        raw = _raw(symbol)
        found: dict[int, MarketTrade] = {}
        data = self.client.read(TRADES, symbol=raw, productType=PRODUCT, limit=str(TRADE_PAGE)).data
        for _page in range(MOST_PAGES):
            with _understood("public trades"):
                page = [parse.market_trade(row, symbol=symbol) for row in parse.rows(data)]
                if any(row.get("symbol", raw) != raw for row in parse.rows(data)):
                    raise ValueError("trades of another market")
            known = len(found)
            found.update((trade.sequence, trade) for trade in page)
            if len(found) == known or min(trade.executed_at for trade in page) < since:
                return [found[key] for key in sorted(found) if found[key].executed_at >= since]
            data = self.client.read(OLD_TRADES, symbol=raw, productType=PRODUCT, limit=str(TRADE_PAGE), idLessThan=str(min(found))).data
        raise ExchangeUnavailable(f"Bitget's trades of {symbol} since {since.isoformat()} do not end after {MOST_PAGES} pages")

    def server_time(self) -> datetime:
        """See Quotes."""
        milliseconds = self.client.server_ms()
        with _understood("its time"):
            return parse.moment(milliseconds)

    def server_now(self) -> datetime:
        """The exchange's time as last measured; asked again after ten minutes. Raises ExchangeUnavailable."""
        return datetime.fromtimestamp(self.client.measured_now_ms() / 1000, tz=UTC)

    # --- The account ---
    def key_rights(self) -> KeyRights:
        """See Exchange. A key without the right to read the spot account is tried on the futures account; its rights are unknown."""
        try:
            data = self.client.read(KEY).data
        except CredentialsRefused:
            self.balances()  # raises again when the key is not taken at all
            return KeyRights(
                can_read=True, can_trade=None, can_withdraw=None, is_ip_locked=None, expires_at=None, is_demo=self.client.is_demo
            )
        with _understood("the key's rights"):
            return parse.key_rights(data, is_demo=self.client.is_demo)

    def fees(self, symbol: str) -> Fees:
        """See Exchange."""
        data = self.client.read(FEES, symbol=_raw(symbol), businessType="mix").data
        with _understood("fees"):
            return parse.fees(data)

    def balances(self) -> Sequence[Balance]:
        """See Exchange. Unrealised profit is in no balance; positions tell it."""
        data = self.client.read(ACCOUNTS, productType=PRODUCT).data
        with _understood("balances"):
            return [parse.balance(row) for row in parse.rows(data)]

    def positions(self) -> Sequence[VenuePosition]:
        """See Exchange. What is not listed is flat, because the question was answered."""
        data = self.client.read(POSITIONS, productType=PRODUCT, marginCoin=MARGIN_COIN).data
        with _understood("positions"):
            return [parse.position(row) for row in parse.rows(data) if parse.number(row, "total")]

    def prepare(self, symbol: str, *, leverage: Decimal) -> MarginState | None:
        """See Exchange. What is right already is left alone; the position mode is one for all USDT perpetuals of the account."""
        raw = _raw(symbol)
        before = self._margin_row(raw)
        with _understood("margin settings"):
            state, is_even = parse.margin_state(before, symbol=symbol), parse.has_one_leverage(before)
        if not state.is_one_way:
            self._set(SET_POSITION_MODE, f"one-way mode for {symbol}", {"productType": PRODUCT, "posMode": parse.ONE_WAY})
        common = {"symbol": raw, "productType": PRODUCT, "marginCoin": MARGIN_COIN}
        if state.margin_mode is not MarginMode.ISOLATED:
            self._set(SET_MARGIN_MODE, f"isolated margin for {symbol}", {**common, "marginMode": MarginMode.ISOLATED.value})
        if state.margin_mode is not MarginMode.ISOLATED or state.leverage != leverage or not is_even:
            self._set(SET_LEVERAGE, f"leverage {plain(leverage)} for {symbol}", {**common, "leverage": plain(leverage)})
        return self._confirmed(symbol, raw, leverage=leverage)

    def margin_tiers(self, symbol: str) -> Sequence[MarginTier]:
        """See Exchange."""
        tiers, good_until = self._tiers.get(symbol, ((), 0.0))
        if time.monotonic() >= good_until:
            data = self.client.read(TIERS, symbol=_raw(symbol), productType=PRODUCT).data
            with _understood("position tiers"):
                tiers = parse.margin_tiers(data)
            self._tiers[symbol] = tiers, time.monotonic() + TIERS_GOOD_FOR_S
        return tiers

    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]:
        """See Exchange. Funding and transfers; what Bitget bills with a fill is in that fill, and other bills are left out."""
        found: dict[str, CashFlow] = {}
        for start, end in self._windows(since, self.server_now() + timedelta(seconds=1)):
            span = {"startTime": parse.milliseconds(start), "endTime": parse.milliseconds(end)}
            for row in self._pages(BILLS, "bills", id_key="billId", productType=PRODUCT, **span):
                with _understood("bills"):
                    flow = parse.cash_flow(row)
                if flow is not None:
                    found[flow.flow_id] = flow
        return sorted((one for one in found.values() if one.at >= since), key=lambda one: (one.at, one.flow_id))

    # --- Orders ---
    def place(self, request: OrderRequest) -> VenueOrder:
        """See Exchange. An answer without an order id is an acceptance all the same; the id is then asked by client id."""
        body = _place_body(request)
        what = f"order {request.client_id}"
        within_s = self.exit_within_s if request.reduce_only else self.entry_within_s
        answer = self.client.write(PLACE, what, body, within_s=within_s)
        with _understood(what, error=OutcomeUnknown):
            told = answer.data if isinstance(answer.data, dict) else {}
            if told.get("clientOid") != request.client_id:
                raise ValueError(f"the answer names the client id {told.get('clientOid')!r}")
            created_at = parse.moment(answer.server_ms)
        if not told.get("orderId"):
            return self._acknowledged_without_id(request)
        self._remember(str(told["orderId"]), request.client_id)
        self._keep_rules(request.symbol, may_be_old=True)  # the answer is not to wait for them
        return VenueOrder(
            exchange_order_id=str(told["orderId"]),
            client_id=request.client_id,
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            status=VenueOrderStatus.OPEN,  # Bitget only acknowledges; fills are asked for or streamed
            filled_amount=Decimal(0),
            created_at=created_at,
            amount=request.amount,
            price=request.price,
            raw=dict(told),
        )

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """See Exchange. Bitget acknowledges the wish; what became of the order is then read."""
        name = exchange_order_id or client_id
        try:
            self.client.write(CANCEL, f"cancel of {name}", {**_scope(symbol), **_either_id(exchange_order_id, client_id)})
        except ExchangeRejected as error:
            if error.code not in errors.NOT_FOUND:
                raise
            order = self.order(symbol=symbol, client_id=client_id, exchange_order_id=exchange_order_id)
            if order is None or order.status in (VenueOrderStatus.OPEN, VenueOrderStatus.PARTIALLY_FILLED):
                raise
            return order  # it had ended before
        try:
            order = self.order(symbol=symbol, client_id=client_id, exchange_order_id=exchange_order_id)
        except ExchangeUnavailable as error:
            raise OutcomeUnknown(f"the cancel of {name} was taken, but the order cannot be read: {error}") from error
        if order is None:
            raise OutcomeUnknown(f"the cancel of {name} was taken, but Bitget does not find the order")
        return order

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """See Exchange."""
        raw = _raw(symbol)
        try:
            row = self.client.read(DETAIL, symbol=raw, productType=PRODUCT, **_either_id(exchange_order_id, client_id)).data
        except NotFound:
            return None
        with _understood("an order"):
            order = parse.order(parse.only(row, raw))
            if (exchange_order_id and order.exchange_order_id != exchange_order_id) or (
                not exchange_order_id and order.client_id != client_id
            ):
                raise ValueError(f"order {order.exchange_order_id} was answered instead of {exchange_order_id or client_id}")
        self._remember(order.exchange_order_id, order.client_id)
        self._keep_rules(symbol, may_be_old=False)
        if not order.filled_amount:
            return order
        found = self._pages(FILLS, "fillList", id_key="tradeId", symbol=raw, productType=PRODUCT, orderId=order.exchange_order_id)
        with _understood("fills of an order"):
            fills = [parse.fill(one, client_id=order.client_id) for one in found]
            if any(fill.exchange_order_id != order.exchange_order_id for fill in fills):
                raise ValueError("fills of another order were answered")
            return parse.order(row, fills=tuple(sorted(fills, key=_fill_order)))

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """See Exchange."""
        return self._orders(PENDING, **_of_symbol(symbol))

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """See Exchange. Raises ExchangeUnavailable for orders older than Bitget keeps."""
        found: dict[str, VenueOrder] = {}
        for window_start, window_end in self._windows(start, end):
            span = {"startTime": parse.milliseconds(window_start), "endTime": parse.milliseconds(window_end)}
            for order in self._orders(HISTORY, **_of_symbol(symbol), **span):
                if start <= order.created_at < end and order.status not in (VenueOrderStatus.OPEN, VenueOrderStatus.PARTIALLY_FILLED):
                    found[order.exchange_order_id] = order
        return sorted(found.values(), key=lambda order: (order.created_at, order.exchange_order_id))

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """See Exchange. Bitget's fills carry no client id: it is joined by order, which may cost a question per unknown order."""
        now = self.server_now()
        rows: dict[str, parse.Row] = {}
        for start, end in self._windows(since, now + timedelta(seconds=1)):
            span = {"startTime": parse.milliseconds(start), "endTime": parse.milliseconds(end)}
            for row in self._pages(FILLS, "fillList", id_key="tradeId", productType=PRODUCT, **_of_symbol(symbol), **span):
                rows[str(row.get("tradeId"))] = row
        with _understood("fills"):
            plain_fills = [parse.fill(row, client_id=None) for row in rows.values()]
        joined = [self._join(fill, row) for fill, row in zip(plain_fills, rows.values(), strict=True) if fill.executed_at >= since]
        return sorted(joined, key=_fill_order)

    # --- Stops ---
    def place_stop(self, request: StopRequest) -> VenueStop:
        """See Exchange. Returns once the stop has been seen at the exchange; OutcomeUnknown when it was taken but is not seen."""
        if not CLIENT_ID.fullmatch(request.client_id):
            raise ExchangeRejected(f"stop {request.client_id!r} not sent: Bitget takes 1 to 50 of A-Z a-z 0-9 _ -", code="client_id")
        body = {
            **_scope(request.symbol),
            "planType": "pos_loss" if request.amount is None else "loss_plan",
            "triggerPrice": plain(request.trigger_price),
            "triggerType": "mark_price",
            "holdSide": "buy" if request.side is Side.SELL else "sell",  # one-way: the position's side, not the order's
            "clientOid": request.client_id,
        }
        if request.amount is not None:
            body["size"] = plain(request.amount)
        what = f"stop {request.client_id}"
        data = self.client.write(PLACE_STOP, what, body).data
        with _understood(what, error=OutcomeUnknown):
            stop_id = parse.text(data, "orderId")
        for pause_s in self.stop_looks_after_s:
            time.sleep(pause_s)
            seen = self._seen_stop(request.symbol, stop_id, what=what)
            if seen is not None:
                return seen
        raise OutcomeUnknown(f"{what} was taken as {stop_id}, but Bitget does not list it; read the stops before trusting it")

    def cancel_stop(self, *, symbol: str, exchange_stop_id: str) -> None:
        """See Exchange. The kind of stop is read first: without the right one Bitget looks among other orders."""
        row = next((row for row in self._stop_rows(symbol) if row.get("orderId") == exchange_stop_id), None)
        if row is None:
            return
        body = {**_scope(symbol), "planType": row.get("planType"), "orderIdList": [{"orderId": exchange_stop_id, "clientOid": ""}]}
        what = f"cancel of stop {exchange_stop_id}"
        data = self.client.write(CANCEL_STOP, what, body).data
        with _understood(what, error=OutcomeUnknown):
            failures, done = parse.listed(data, "failureList"), parse.listed(data, "successList")
        if any(one.get("orderId") == exchange_stop_id for one in done):
            return
        code = str(failures[0].get("errorCode") or "") if failures else ""
        if code and code not in errors.NOT_FOUND:
            raise ExchangeRejected(f"{what} was refused with code {code} ({failures[0].get('errorMsg')})", code=code)
        if any(row.get("orderId") == exchange_stop_id for row in self._stop_rows(symbol)):
            raise OutcomeUnknown(f"{what}: Bitget says there is none (code {code or 'missing'}), and still lists it")

    def stops(self, symbol: str) -> Sequence[VenueStop]:
        """See Exchange. Bitget lists them only under the plan type profit_loss; take-profits among them are left out."""
        found = self._stop_rows(symbol)
        with _understood("stops"):
            return [parse.stop(row) for row in found]

    # --- Inside ---
    def _ask_rules(self, symbol: str) -> TradingRules:
        raw = _raw(symbol)
        try:
            data = self.client.read(CONTRACTS, productType=PRODUCT, symbol=raw).data
        except NoSuchMarket as error:
            raise BadInput(f"Bitget has no contract {symbol}: {error}.") from error
        with _understood("contracts"):
            row = next((row for row in parse.rows(data) if row.get("symbol") == raw), None)
            if row is None:
                raise BadInput(f"Bitget has no contract {symbol}.")
            rules = parse.trading_rules(row)
        self._rules[symbol] = (rules, time.monotonic() + RULES_GOOD_FOR_S)
        return rules

    def _keep_rules(self, symbol: str, *, may_be_old: bool) -> None:
        """See that `trading_rules` need not ask for the next half minute. Known rules outlive a question that failed."""
        rules, good_until = self._rules.get(symbol, (None, 0.0))
        if time.monotonic() < good_until - RULES_GOOD_FOR_S / 2:
            return
        if rules is None or not may_be_old:
            try:
                self._ask_rules(symbol)
            except (ExchangeError, BadInput) as error:
                log.warning("symbol=%s rules not read: %s", symbol, error)
            else:
                return
        if rules is not None:
            self._rules[symbol] = (rules, time.monotonic() + RULES_GOOD_FOR_S)

    def _candle_page(
        self, endpoint: Endpoint, raw: str, interval: Interval, *, start: datetime, end: datetime, limit: int
    ) -> Iterator[Candle]:
        """Closed candles of one page, at least those opened in [start, end).

        The span holds one candle less than `limit` and begins a hair early, so it loses none whichever end Bitget counts
        from and whether it takes the two times in or not: documents differ.
        """
        answer = self.client.read(
            endpoint,
            symbol=raw,
            productType=PRODUCT,
            granularity=GRANULARITIES[interval],
            startTime=parse.milliseconds(start - timedelta(milliseconds=1)),
            endTime=parse.milliseconds(end),
            limit=str(limit),
        )
        with _understood("candles"):
            answered_at = parse.moment(answer.server_ms)
            candles = [parse.candle(row) for row in answer.data or []]
            if any(candle.opened_at != interval.open_of(candle.opened_at) for candle in candles):
                raise ValueError(f"a candle does not open on the grid of {interval.value}")
        return (candle for candle in candles if candle.opened_at + interval.length <= answered_at)

    def _margin_row(self, raw: str) -> parse.Row:
        data = self.client.read(ACCOUNT, symbol=raw, productType=PRODUCT, marginCoin=MARGIN_COIN).data
        if not isinstance(data, dict):
            raise ExchangeUnavailable(f"Bitget told no margin settings of {raw}")
        return data

    def _set(self, endpoint: Endpoint, what: str, body: dict[str, str]) -> None:
        try:
            self.client.write(endpoint, what, body)
        except OutcomeUnknown:
            pass  # the settings are read back in any case, and that decides

    def _confirmed(self, symbol: str, raw: str, *, leverage: Decimal) -> MarginState:
        row = self._margin_row(raw)
        with _understood("margin settings"):
            state = parse.margin_state(row, symbol=symbol)
            is_even = state.margin_mode is not MarginMode.ISOLATED or parse.has_one_leverage(row)
        if state.is_one_way and state.margin_mode is MarginMode.ISOLATED and state.leverage == leverage and is_even:
            return state
        raise ExchangeRejected(
            f"{symbol} must be one-way, isolated and at leverage {plain(leverage)} before the first order; Bitget confirms"
            f" {row.get('posMode')}, {state.margin_mode.value}, leverage {row.get('isolatedLongLever')}/{row.get('isolatedShortLever')}."
            " Close positions and orders there, or set it by hand.",
            code=MARGIN_CODE,
        )

    def _acknowledged_without_id(self, request: OrderRequest) -> VenueOrder:
        try:
            order = self.order(symbol=request.symbol, client_id=request.client_id)
        except ExchangeUnavailable as error:
            raise OutcomeUnknown(f"order {request.client_id} was taken without an id, which cannot be asked for: {error}") from error
        if order is None:
            raise OutcomeUnknown(f"order {request.client_id} was taken without an id and is not found yet")
        return order

    def _orders(self, endpoint: Endpoint, **params: str) -> list[VenueOrder]:
        rows = self._pages(endpoint, "entrustedList", id_key="orderId", productType=PRODUCT, **params)
        with _understood("orders"):
            orders = [parse.order(row) for row in rows]
        wanted = params.get("symbol")
        for order in orders:
            if wanted and order.symbol != parse.our_symbol(wanted):
                raise ExchangeUnavailable(f"Bitget answered an order of {order.symbol} instead of {wanted}")
            self._remember(order.exchange_order_id, order.client_id)
        return orders

    def _pages(self, endpoint: Endpoint, key: str, *, id_key: str, **params: str) -> list[parse.Row]:
        """Every row of a listing, newest first. Pages may overlap or shrink; only an empty or known one is the last."""
        found: dict[str, parse.Row] = {}
        before: dict[str, str] = {}
        for _page in range(MOST_PAGES):
            data = self.client.read(endpoint, **params, limit=str(LIST_PAGE), **before).data
            with _understood(key):
                page = parse.listed(data, key)
                fresh = {parse.text(row, id_key): row for row in page if row.get(id_key) not in found}
                found.update(fresh)
                if len(page) < LIST_PAGE or not fresh:
                    return list(found.values())
                before = {"idLessThan": str(data.get("endId") or min(fresh, key=int))}
        raise ExchangeUnavailable(f"Bitget's {key} does not end after {MOST_PAGES} pages")

    def _windows(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        oldest = self.server_now() - KEPT_FOR
        if start < oldest:
            raise ExchangeUnavailable(
                f"Bitget tells orders, fills and bills of the last {KEPT_FOR.days} days only, not from {start.isoformat()}"
            )
        while start < end:
            window_end = min(start + ORDERS_WINDOW, end)
            yield start, window_end
            start = window_end

    def _join(self, fill: VenueFill, row: parse.Row) -> VenueFill:
        order_id = fill.exchange_order_id
        if order_id not in self._client_ids:
            order = self.order(symbol=fill.symbol, exchange_order_id=order_id)
            if order is None:
                raise ExchangeUnavailable(f"Bitget tells fill {fill.exchange_trade_id} of order {order_id} and does not find the order yet")
        with _understood("fills"):
            return parse.fill(row, client_id=self._client_ids[order_id])

    def _remember(self, exchange_order_id: str, client_id: str | None) -> None:
        self._client_ids[exchange_order_id] = client_id
        while len(self._client_ids) > KNOWN_CLIENT_IDS:
            self._client_ids.popitem(last=False)

    def _stop_rows(self, symbol: str) -> list[parse.Row]:
        found = self._pages(STOPS, "entrustedList", id_key="orderId", productType=PRODUCT, symbol=_raw(symbol), planType="profit_loss")
        wanted = _raw(symbol)
        return [row for row in found if row.get("planType") in parse.STOP_PLANS and str(row.get("symbol")).upper() == wanted]

    def _seen_stop(self, symbol: str, stop_id: str, *, what: str) -> VenueStop | None:
        try:
            return next((stop for stop in self.stops(symbol) if stop.exchange_stop_id == stop_id), None)
        except ExchangeUnavailable as error:
            raise OutcomeUnknown(f"{what} was taken as {stop_id}, but the stops cannot be read: {error}") from error


@contextmanager
def _understood(what: str, *, error: type[ExchangeError] = ExchangeUnavailable) -> Iterator[None]:
    """Turn any surprise in an answer's form into one of our errors: nothing was learned from it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, StopIteration, RecursionError) as problem:
        raise error(f"Bitget's answer about {what} cannot be read: {type(problem).__name__}: {problem}"[:500]) from problem


def _raw(symbol: str) -> str:
    try:
        return parse.raw_symbol(symbol)
    except ValueError as error:
        raise BadInput(f"{error}.") from None


def _scope(symbol: str) -> dict[str, object]:
    return {"symbol": _raw(symbol), "productType": PRODUCT, "marginCoin": MARGIN_COIN}


def _of_symbol(symbol: str | None) -> dict[str, str]:
    return {} if symbol is None else {"symbol": _raw(symbol)}


def _either_id(exchange_order_id: str | None, client_id: str | None) -> dict[str, str]:
    if exchange_order_id:
        return {"orderId": exchange_order_id}
    if client_id:
        return {"clientOid": client_id}
    raise BadInput("An order is named by the exchange's id or by the client id; neither was given.")


def _place_body(request: OrderRequest) -> dict[str, object]:
    """The body of an order, or a refusal before anything is sent."""

    def refuse(why: str, code: str) -> ExchangeRejected:
        return ExchangeRejected(f"order {request.client_id!r} not sent: {why}", code=code)

    if not CLIENT_ID.fullmatch(request.client_id):
        raise refuse("Bitget takes client ids of 1 to 50 of A-Z a-z 0-9 _ -", "client_id")
    if request.amount is None or request.quote_amount is not None:
        raise refuse("Bitget sizes orders in base coin only", "quote_amount")
    if not request.amount.is_finite() or request.amount <= 0:
        raise refuse(f"its amount is {request.amount}", "amount")
    body = {
        **_scope(request.symbol),
        "marginMode": MarginMode.ISOLATED.value,  # left out, it would be crossed
        "side": request.side.value,
        "orderType": request.order_type.value,
        "size": plain(request.amount),
        "clientOid": request.client_id,
        "reduceOnly": "YES" if request.reduce_only else "NO",
    }
    if request.order_type is OrderType.LIMIT:
        if request.price is None or not request.price.is_finite() or request.price <= 0:
            raise refuse(f"a limit order needs a price, and this one has {request.price}", "price")
        body |= {"price": plain(request.price), "force": "gtc"}
    return body


def _candle_page(interval: Interval, *, age: timedelta) -> tuple[Endpoint, int]:
    if age < RECENT_REACH.get(interval, SHORT_REACH):
        return CANDLES, RECENT_PAGE
    return OLD_CANDLES, HISTORY_PAGE


def _fill_order(fill: VenueFill) -> tuple[datetime, str]:
    return fill.executed_at, fill.exchange_trade_id
