"""What only the real exchange can answer, asked with tiny sums: the points that its documentation leaves open.

It places real orders and costs real money, if little. It has not been run against a real exchange by whoever wrote it, only
against the fakes: what it will find there is unknown. The account's gateway must be stopped, since only one may send.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from dgbot.core import client_id
from dgbot.core.clock import SystemClock
from dgbot.core.errors import BadInput, DgbotError, ExchangeError
from dgbot.core.money import round_down, round_up
from dgbot.core.protocols import Exchange
from dgbot.core.types import Mode, OrderRequest, OrderType, Side, TradingRules, VenueOrder, VenueOrderStatus

AWAY = Decimal("0.8")  # of the best bid: a limit nobody meets, inside the price bands that exchanges allow
MARGIN = Decimal("1.2")  # over the minimum, so that a falling price does not make the sale too small
VISIBLE_WITHIN_S, POLL_S = 10.0, 0.2
ENDED = (VenueOrderStatus.FILLED, VenueOrderStatus.CANCELLED, VenueOrderStatus.EXPIRED)


@dataclass(frozen=True)
class Answer:
    """What the exchange did. is_expected: as documented; None where nothing is documented."""

    question: str
    said: str
    is_expected: bool | None


@dataclass
class LiveCheck:
    """One run over one symbol of one account. most_quote: no single order is larger, quote currency."""

    exchange: Exchange
    symbol: str
    most_quote: Decimal
    deployment: str
    rules: TradingRules = field(init=False)
    waiting: OrderRequest = field(init=False)
    open_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = self.exchange.trading_rules(self.symbol, at=SystemClock().now())
        if self._smallest(self._best(Side.BUY)) * self._best(Side.BUY) > self.most_quote:
            raise BadInput(
                f"The smallest order of {self.symbol} costs more than the {self.most_quote:f} {self.rules.quote} allowed; raise --most."
            )

    def run(self) -> Iterator[Answer]:
        """Each question in turn; whatever is still open at the end, or after an error, is cancelled."""
        steps: list[tuple[str, Callable[[], tuple[str, bool | None]]]] = [
            ("balances and fees are told", self._reads),
            ("a waiting order is found by its client id", self._is_found),
            ("the same client id again makes no second order", self._refuses_a_duplicate),
            ("a cancel ends the order", self._cancels),
            ("a finished order is still found by its client id", self._finds_the_finished),
            ("a client id of a cancelled order stays spent", self._stays_spent),
            ("an order below the minimum is refused, and is its client id spent?", self._refuses_the_small),
            ("a market buy and its sale: words, fills, fees", self._round_trip),
        ]
        try:
            for question, ask in steps:
                yield self._asked(question, ask)
        finally:
            self._clean_up()

    def _asked(self, question: str, ask: Callable[[], tuple[str, bool | None]]) -> Answer:
        try:
            said, is_expected = ask()
        except DgbotError as error:
            return Answer(question, f"{type(error).__name__}: {error}", False)
        return Answer(question, said, is_expected)

    # --- questions ---
    def _reads(self) -> tuple[str, bool | None]:
        free = {one.asset: one.free for one in self.exchange.balances()}
        taker = self.exchange.fees(self.symbol).taker_rate
        return f"{free.get(self.rules.quote, Decimal(0)):f} {self.rules.quote} free, taker fee {taker:f}", True

    def _is_found(self) -> tuple[str, bool | None]:
        self.waiting = self._limit_away()
        self.exchange.place(self.waiting)
        took, order = self._wait_for(lambda found: found is not None)
        return f"visible after {took:.1f} s as {order.status if order else 'nothing'}", order is not None

    def _refuses_a_duplicate(self) -> tuple[str, bool | None]:
        said = self._error_of(lambda: self.exchange.place(self.waiting))
        count = sum(one.client_id == self.waiting.client_id for one in self.exchange.open_orders(self.symbol))
        return f"{said}; open orders with it: {count}", count <= 1 and said != "accepted"

    def _cancels(self) -> tuple[str, bool | None]:
        self.exchange.cancel(symbol=self.symbol, client_id=self.waiting.client_id)
        took, order = self._wait_for(lambda found: found is not None and found.status in ENDED)
        is_ended = order is not None and order.status in ENDED
        if is_ended:
            self.open_ids.remove(self.waiting.client_id)
        return f"{order.status if order else 'not found'} after {took:.1f} s", is_ended

    def _finds_the_finished(self) -> tuple[str, bool | None]:
        order = self.exchange.order(symbol=self.symbol, client_id=self.waiting.client_id)
        return ("found" if order else "not found: a miss proves nothing here"), order is not None

    def _stays_spent(self) -> tuple[str, bool | None]:
        said = self._error_of(lambda: self._placed(self.waiting))
        return said, said != "accepted"

    def _refuses_the_small(self) -> tuple[str, bool | None]:
        whole = self._limit_away()
        tiny = replace(whole, amount=self.rules.lot_step)
        if whole.price is not None and self.rules.lot_step * whole.price >= self.rules.minimum_total:
            self.open_ids.remove(whole.client_id)
            return "one lot is above the minimum already, so no order is too small here", None
        said = self._error_of(lambda: self._placed(tiny))
        again = self._error_of(lambda: self._placed(whole))
        return f"refused with {said}; the same client id with a proper size: {again}", None if said != "accepted" else False

    def _round_trip(self) -> tuple[str, bool | None]:
        bought = self._market(Side.BUY)
        amount = round_down(bought.filled_amount, step=self.rules.lot_step)
        sold = self._market(Side.SELL, amount=amount)
        paid = sum((fill.fee for order in (bought, sold) for fill in order.fills), Decimal(0))
        turned = sum((fill.price * fill.amount for order in (bought, sold) for fill in order.fills), Decimal(0))
        rate = paid / turned if turned else Decimal(0)
        told = self.exchange.fees(self.symbol).taker_rate
        return (
            f"bought {bought.status} with {len(bought.fills)} fills, sold {sold.status}; fee {rate:.6f} of the turnover, told {told:f}",
            abs(rate - told) <= told / 100 and sold.status in ENDED,
        )

    # --- orders ---
    def _limit_away(self) -> OrderRequest:
        raw = self._best(Side.SELL) * AWAY
        price = round_down(raw, step=self.rules.tick(raw))
        return self._request(Side.BUY, OrderType.LIMIT, amount=self._smallest(price), price=price)

    def _market(self, side: Side, *, amount: Decimal | None = None) -> VenueOrder:
        price = self._best(side)
        size = amount if amount is not None else self._smallest(price)
        request = self._request(side, OrderType.MARKET, amount=size, reduce_only=side is Side.SELL)
        if side is Side.BUY and self.exchange.capabilities.market_buy_in_quote:
            request = replace(request, amount=None, quote_amount=round_up(size * price, step=Decimal(1)))
        self.exchange.place(request)
        until = time.monotonic() + VISIBLE_WITHIN_S
        while time.monotonic() < until:
            order = self.exchange.order(symbol=self.symbol, client_id=request.client_id)
            if order is not None and order.status in ENDED and sum(fill.amount for fill in order.fills) == order.filled_amount:
                return order
            time.sleep(POLL_S)
        raise BadInput(f"order {request.client_id} did not end within {VISIBLE_WITHIN_S:g} s; look at the exchange's own page")

    def _placed(self, request: OrderRequest) -> VenueOrder:
        order = self.exchange.place(request)
        self.open_ids.append(request.client_id)
        return order

    def _request(self, side: Side, order_type: OrderType, **size: object) -> OrderRequest:
        made = client_id.make(mode=Mode.LIVE, deployment=self.deployment, bot_id=0, random_bits=secrets.randbits(client_id.ORDER_BITS))
        if order_type is OrderType.LIMIT:
            self.open_ids.append(made)
        return OrderRequest(client_id=made, symbol=self.symbol, side=side, order_type=order_type, **size)  # type: ignore[arg-type]

    def _smallest(self, price: Decimal) -> Decimal:
        return max(round_up(self.rules.minimum_total * MARGIN / price, step=self.rules.lot_step), self.rules.minimum_amount)

    def _best(self, side: Side) -> Decimal:
        """The price a taker on `side` meets. Raises BadInput for a one-sided book."""
        book = self.exchange.order_book(self.symbol)
        levels = book.asks if side is Side.BUY else book.bids
        if not levels:
            raise BadInput(f"The book of {self.symbol} has one side only; choose a livelier market.")
        return levels[0].price

    def _wait_for(self, is_there: Callable[[VenueOrder | None], bool]) -> tuple[float, VenueOrder | None]:
        started = time.monotonic()
        while True:
            order = self.exchange.order(symbol=self.symbol, client_id=self.waiting.client_id)
            took = time.monotonic() - started
            if is_there(order) or took > VISIBLE_WITHIN_S:
                return took, order
            time.sleep(POLL_S)

    def _error_of(self, act: Callable[[], object]) -> str:
        try:
            act()
        except ExchangeError as error:
            return f"{type(error).__name__} ({str(error)[:160]})"
        return "accepted"

    def _clean_up(self) -> None:
        """Nothing of ours may wait on: each order is cancelled, whatever came before."""
        for one in self.open_ids:
            self._error_of(lambda one=one: self.exchange.cancel(symbol=self.symbol, client_id=one))  # type: ignore[misc]
