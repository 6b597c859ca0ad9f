"""One account at Upbit (KRW spot): signed questions, orders and cancels, over the public data of `UpbitQuotes`.

An order is told of by its `identifier`, fixed for life and never reusable. A create is sent once and never repeated. The
answer to a create says `wait` whatever has happened since: fills are read later.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from dgbot.core.errors import CredentialsRefused, ExchangeError, ExchangeRejected, ExchangeUnavailable, OutcomeUnknown
from dgbot.core.money import plain
from dgbot.core.types import (
    Balance,
    CashFlow,
    Fees,
    KeyRights,
    MarginState,
    MarginTier,
    OrderRequest,
    OrderType,
    Side,
    StopRequest,
    VenueFill,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueStop,
)
from trading.exchanges import upbit_answers
from trading.exchanges.strict_json import Unreadable
from trading.exchanges.upbit_errors import BAD_REQUEST, FORBIDDEN, KEY_REFUSED, NOT_FOUND, ORDER_NOT_FOUND
from trading.exchanges.upbit_http import Parameters, Refused, UpbitHttp
from trading.exchanges.upbit_quotes import CAPABILITIES, UpbitQuotes, usable
from trading.exchanges.upbit_rules import LOT_STEP

if TYPE_CHECKING:  # pyupbit brings pandas along, which the guardian, who only reads prices, must not load
    from trading.exchanges.upbit_signing import Signer

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
OPEN_PER_PAGE, CLOSED_PER_PAGE = 100, 1000
MOST_PAGES = 100
LIVE = (VenueOrderStatus.OPEN, VenueOrderStatus.PARTIALLY_FILLED)
RESTING_AT_MOST = timedelta(days=7)  # `fills` finds executions of orders created at most this long before
PROBE = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "1000000", "volume": "0.006"}  # a test order, never placed
SECOND = timedelta(seconds=1)
NO_KEY = "This Upbit account has no key, so only public data can be read; add a key to the account."


@dataclass
class Upbit(UpbitQuotes):
    """See Exchange. Without a signer it serves public data and raises CredentialsRefused for the rest."""

    signer: "Signer | None" = None

    # --- the account ---
    def key_rights(self) -> KeyRights:
        """See Exchange. Upbit tells the expiry; rights show by asking (a test order creates nothing); withdrawals stay unknown."""
        can_read = self._may(lambda: self._signer.read("/v1/accounts"))
        can_trade = self._may(lambda: self._signer.create("/v1/orders/test", body=PROBE, group="order-test", is_write=False))
        keys = self._ask_signed("/v1/api_keys")
        return KeyRights(
            can_read=can_read,
            can_trade=can_trade,
            can_withdraw=None,
            is_ip_locked=None,
            expires_at=usable(lambda: upbit_answers.expiry(keys, access_key=self._signer.access)),
            is_demo=False,
        )

    def _may(self, ask: Callable[[], object]) -> bool | None:
        """Whether the key's scopes cover a question: only Upbit's "out of scope" is a no, silence is unknown."""
        try:
            ask()
        except Refused as refused:
            if refused.refusal.name in KEY_REFUSED - {"out_of_scope"}:
                raise refused.as_error() from refused
            if refused.refusal.name == "out_of_scope":
                return False
            # Whatever else Upbit says of an order (no money, say), it has looked at it.
            return True if refused.refusal.status in (BAD_REQUEST, FORBIDDEN) and refused.refusal.name else None
        return True

    def fees(self, symbol: str) -> Fees:
        """See Exchange."""
        body = self._ask_signed("/v1/orders/chance", parameters={"market": symbol})
        return usable(lambda: upbit_answers.fees(body, symbol=symbol))

    def balances(self) -> Sequence[Balance]:
        """See Exchange."""
        body = self._ask_signed("/v1/accounts")
        found = usable(lambda: [upbit_answers.balance(row) for row in upbit_answers.rows(body, name="accounts")])
        if len({one.asset for one in found}) != len(found):
            raise ExchangeUnavailable("Upbit listed an asset twice, so no balance is certain")
        return found

    def positions(self) -> Sequence[VenuePosition]:
        """A spot exchange has none."""
        return []

    def prepare(self, symbol: str, *, leverage: Decimal) -> MarginState | None:
        """A spot exchange lends nothing."""
        return None

    def margin_tiers(self, symbol: str) -> Sequence[MarginTier]:
        """A spot exchange lends nothing."""
        return ()

    # --- orders ---
    def place(self, request: OrderRequest) -> VenueOrder:
        """See Exchange. The answer says open, filled or not: ask `order` for the fills."""
        body = order_body(request)
        try:
            told = self._signer.create("/v1/orders", body=body, group="order")
        except Refused as refused:
            raise refused.as_error() from refused
        try:
            placed = upbit_answers.order(told)
        except Unreadable as error:
            raise OutcomeUnknown(f"order {request.client_id} was answered, but not so that it can be read: {error}") from error
        if _echo(placed) != (request.client_id, request.symbol, request.side):
            raise OutcomeUnknown(f"order {request.client_id} was answered with another order: {_echo(placed)}")
        return placed

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """See Exchange. A request: the order may still fill. One that has ended already is answered as it ended."""
        try:
            told = self._signer.delete("/v1/order", parameters=_either_id(exchange_order_id, client_id))
        except Refused as refused:
            if refused.refusal.status == NOT_FOUND and refused.refusal.name == ORDER_NOT_FOUND:
                raise ExchangeRejected(
                    f"Upbit knows no order {exchange_order_id or client_id}, so there is nothing to cancel", code=ORDER_NOT_FOUND
                ) from refused
            ended = self._ended(refused, symbol=symbol, exchange_order_id=exchange_order_id, client_id=client_id)
            if ended is None:
                raise refused.as_error() from refused
            return ended
        try:
            order = upbit_answers.order(told)
            _check_asked(order, symbol=symbol, exchange_order_id=exchange_order_id, client_id=client_id)
        except Unreadable as error:
            raise OutcomeUnknown(f"the cancel of {exchange_order_id or client_id} was answered unreadably: {error}") from error
        return order

    def _ended(self, refused: Refused, *, symbol: str, exchange_order_id: str | None, client_id: str | None) -> VenueOrder | None:
        """The order, if the cancel was refused because it has ended; the words of that refusal are not documented."""
        if refused.refusal.status != BAD_REQUEST:
            return None
        try:
            order = self.order(symbol=symbol, client_id=client_id, exchange_order_id=exchange_order_id)
        except ExchangeError:
            return None
        return order if order is not None and order.status not in LIVE else None

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """See Exchange."""
        try:
            told = self._signer.read("/v1/order", parameters=_either_id(exchange_order_id, client_id), is_order=True)
        except Refused as refused:
            if refused.refusal.status == NOT_FOUND and refused.refusal.name == ORDER_NOT_FOUND:
                return None
            raise refused.as_error() from refused

        def parse() -> VenueOrder:
            order = upbit_answers.order(told)
            _check_asked(order, symbol=symbol, exchange_order_id=exchange_order_id, client_id=client_id)
            return order

        return usable(parse)

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """See Exchange. Without fills: Upbit lists them for single orders only."""
        found: dict[str, VenueOrder] = {}
        for page in range(1, MOST_PAGES + 1):
            wanted: dict[str, str | list[str]] = {"market": symbol} if symbol is not None else {}
            wanted |= {"states[]": ["wait", "watch"], "page": str(page), "limit": str(OPEN_PER_PAGE), "order_by": "asc"}
            listed = self._list("/v1/orders/open", wanted, symbol=symbol)
            found |= {order.exchange_order_id: order for order in listed}
            if len(listed) < OPEN_PER_PAGE:
                return list(found.values())
        raise ExchangeUnavailable(f"Upbit lists more than {MOST_PAGES * OPEN_PER_PAGE} open orders; cancel some by hand")

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """See Exchange. Without fills; a week at a time, and in a crowded week on from the last one told.

        Upbit tells whole seconds, so the second of `start` is told whole.
        """
        found: dict[str, VenueOrder] = {}
        for left, right in _windows(start.replace(microsecond=0), end, length=CAPABILITIES.closed_orders_window - SECOND):
            found |= self._closed_in(symbol, left, right + SECOND)
        return [order for order in found.values() if start.replace(microsecond=0) <= order.created_at < end]

    def _closed_in(self, symbol: str | None, left: datetime, right: datetime) -> dict[str, VenueOrder]:
        found: dict[str, VenueOrder] = {}
        for _page in range(MOST_PAGES):
            wanted: dict[str, str | list[str]] = {"market": symbol} if symbol is not None else {}
            wanted |= {"states[]": ["done", "cancel"], "start_time": _iso(left), "end_time": _iso(right)}
            wanted |= {"limit": str(CLOSED_PER_PAGE), "order_by": "asc"}
            listed = self._list("/v1/orders/closed", wanted, symbol=symbol)
            found |= {order.exchange_order_id: order for order in listed}
            if len(listed) < CLOSED_PER_PAGE:
                return found
            last = max(order.created_at for order in listed)
            if last <= left:
                raise ExchangeUnavailable(f"Upbit lists over {CLOSED_PER_PAGE} orders created in the second {left.isoformat()}; ask by id")
            left = last  # times have whole seconds, so the second is asked again
        raise ExchangeUnavailable(f"Upbit lists more than {MOST_PAGES * CLOSED_PER_PAGE} closed orders in a week")

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """See Exchange. One question per order with an execution; orders older than RESTING_AT_MOST before `since` are not seen.

        Upbit's times have whole seconds, so the second of `since` is told whole.
        """
        end = self.clock.now() + timedelta(seconds=60)  # the exchange's clock may be a little ahead of ours
        listed = [*self.open_orders(symbol), *self.closed_orders(symbol=symbol, start=since - RESTING_AT_MOST, end=end)]
        filled = {order.exchange_order_id: order for order in listed if order.filled_amount > 0}
        found: list[VenueFill] = []
        for order in filled.values():
            whole = self.order(symbol=order.symbol, exchange_order_id=order.exchange_order_id)
            if whole is None or sum((fill.amount for fill in whole.fills), Decimal(0)) != whole.filled_amount:
                raise ExchangeUnavailable(f"Upbit does not tell all executions of order {order.exchange_order_id} yet; ask again")
            found += whole.fills
        from_second = since.replace(microsecond=0)
        return sorted(
            (fill for fill in found if fill.executed_at >= from_second), key=lambda fill: (fill.executed_at, fill.exchange_trade_id)
        )

    def cash_flows(self, *, since: datetime) -> Sequence[CashFlow]:
        """None: listing transfers needs a right that a trading key should not have. The reconciler shows them as differences."""
        return []

    # --- stops: none live here ---
    def place_stop(self, request: StopRequest) -> VenueStop:
        """Upbit's interface has no stop orders; the guardian watches instead."""
        raise ExchangeRejected(f"{request.client_id}: stops do not live at Upbit; the guardian watches them", code="no_stops")

    def cancel_stop(self, *, symbol: str, exchange_stop_id: str) -> None:
        """There is none to take away."""

    def stops(self, symbol: str) -> Sequence[VenueStop]:
        """None."""
        return []

    # --- inside ---
    @property
    def _signer(self) -> "Signer":
        if self.signer is None:
            raise CredentialsRefused(NO_KEY)
        return self.signer

    def _ask_signed(self, path: str, *, parameters: Parameters | None = None, is_order: bool = False) -> object:
        try:
            return self._signer.read(path, parameters=parameters, is_order=is_order)
        except Refused as refused:
            raise refused.as_error() from refused

    def _list(self, path: str, wanted: Parameters, *, symbol: str | None) -> list[VenueOrder]:
        body = self._ask_signed(path, parameters=wanted, is_order=True)
        listed = usable(lambda: [upbit_answers.order(row) for row in upbit_answers.rows(body, name="orders")])
        strangers = {order.symbol for order in listed} - {symbol} if symbol is not None else set()
        if strangers:
            raise ExchangeUnavailable(f"Upbit was asked for orders of {symbol} and listed {', '.join(sorted(strangers))}")
        return listed


def connect(*, http: UpbitHttp | None = None, access_key: str = "", secret_key: str = "") -> Upbit:
    """An account, or public data only when no key is given. Raises CredentialsRefused when half of a key is missing."""
    made = http or UpbitHttp()
    if not access_key and not secret_key:
        return Upbit(http=made)
    from trading.exchanges.upbit_signing import Signer

    return Upbit(http=made, signer=Signer(made, access_key=access_key, secret_key=secret_key))


def order_body(request: OrderRequest) -> Mapping[str, str]:
    """What is sent for an order: texts in plain digits. Raises ExchangeRejected for what Upbit has no order for."""
    if not IDENTIFIER.fullmatch(request.client_id):
        raise ExchangeRejected(f"the client id {request.client_id!r} is not 1 to 64 letters, digits, _ or -", code="bad_client_id")
    side = "bid" if request.side is Side.BUY else "ask"
    body = {"market": request.symbol, "side": side}
    if request.order_type is OrderType.LIMIT:
        body |= {"volume": _lots(request, request.amount), "price": _figure(request, request.price, "price"), "ord_type": "limit"}
    elif request.side is Side.BUY:
        body |= {"price": _figure(request, request.quote_amount, "quote amount"), "ord_type": "price"}
    else:
        body |= {"volume": _lots(request, request.amount), "ord_type": "market"}
    if request.amount is not None and request.quote_amount is not None:
        raise ExchangeRejected(f"{request.client_id}: an order is sized in base or in quote, not both", code="bad_size")
    return {**body, "identifier": request.client_id}


def _figure(request: OrderRequest, value: Decimal | None, name: str) -> str:
    if value is None or not value.is_finite() or value <= 0:
        raise ExchangeRejected(f"{request.client_id}: Upbit needs a {name} above zero for this order, was {value}", code="bad_size")
    return plain(value)


def _lots(request: OrderRequest, amount: Decimal | None) -> str:
    text = _figure(request, amount, "amount")
    if amount is not None and amount % LOT_STEP:
        raise ExchangeRejected(f"{request.client_id}: {text} is not a multiple of Upbit's lot {LOT_STEP:f}", code="bad_lot")
    return text


def _either_id(exchange_order_id: str | None, client_id: str | None) -> dict[str, str | list[str]]:
    if exchange_order_id is not None:
        return {"uuid": exchange_order_id}
    if client_id is None:
        raise ValueError("an order is asked for by exchange_order_id or by client_id; neither was given")
    return {"identifier": client_id}


def _check_asked(order: VenueOrder, *, symbol: str, exchange_order_id: str | None, client_id: str | None) -> None:
    """Raises Unreadable when the answer is another order."""
    if exchange_order_id is not None and order.exchange_order_id != exchange_order_id:
        raise Unreadable(f"order {exchange_order_id} was asked for, {order.exchange_order_id} was answered")
    # Orders from before 2024-10-18 carry no identifier; one that we asked for by it always does.
    if client_id is not None and order.client_id != client_id and (exchange_order_id is None or order.client_id is not None):
        raise Unreadable(f"order {client_id} was asked for, {order.client_id} was answered")
    if order.symbol != symbol:
        raise Unreadable(f"an order of {symbol} was asked for, one of {order.symbol} was answered")


def _echo(order: VenueOrder) -> tuple[str | None, str, Side]:
    return order.client_id, order.symbol, order.side


def _windows(start: datetime, end: datetime, *, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    left = start
    while left < end:
        right = min(left + length, end)
        yield left, right
        left = right


def _iso(instant: datetime) -> str:
    """Whole seconds are enough: what is told is filtered here."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
