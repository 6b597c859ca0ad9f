"""The matching engine and its ledger of truth: what really happened, whatever the answers told anybody.

Thread-safe: the server's thread and the test's thread both call it. Our accounts' orders meet strangers' books, strangers'
trades and each other, best price first, resting orders before strangers at the same price.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from threading import RLock

from dgbot.core.money import round_down
from dgbot.core.types import Level, Side
from tests.fakes.core.books import Book, ScriptedBook
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.money import Settlement, SpotSettlement, Wallets
from tests.fakes.core.orders import ZERO, Fill, Kind, Market, NewOrder, Order, Print, Refused, State, TimeInForce

IMMEDIATE = (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL)
OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@dataclass(frozen=True)
class Event:
    """Something happened. what: new, trade, cancelled, prevented, filled, balance, print, book."""

    what: str
    market: str = ""
    account: str = ""
    order: Order | None = None
    fill: Fill | None = None
    printed: Print | None = None


@dataclass
class Engine:
    """One exchange. Times come from its clock; ids from `new_id`."""

    clock: FakeClock = field(default_factory=FakeClock)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    client_ids_live_s: float | None = None  # None: a client id is spent for ever
    settlement: Settlement = None  # type: ignore[assignment]  # spot unless a derivative venue brings its own
    cancel_delay_s: float = 0.0  # a cancel is a request: this much later it happens
    is_matching_held: bool = False  # accepted orders wait: a delayed fill

    def __post_init__(self) -> None:
        self.lock = RLock()
        self.wallets = Wallets()
        self.settlement = self.settlement or SpotSettlement(self.wallets)
        self.markets: dict[str, Market] = {}
        self.books: dict[str, Book] = {}
        self.orders: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.prints: dict[str, list[Print]] = defaultdict(list)
        self.deposits: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._client_ids: dict[tuple[str, str], datetime] = {}
        self._by_client_id: dict[tuple[str, str], Order] = {}
        self._live: dict[str, Order] = {}
        self._listeners: list[Callable[[Event], None]] = []
        self._sequence = 0

    # --- setting the stage ---
    def add_market(self, market: Market, book: Book | None = None) -> None:
        """Open a market with strangers' liquidity."""
        with self.lock:
            self.markets[market.symbol] = market
            self.books[market.symbol] = book or ScriptedBook()

    def deposit(self, account: str, asset: str, amount: Decimal | str | int) -> None:
        """Bring money (or, negative, take it away) past all orders."""
        with self.lock:
            self.wallets.deposit(account, asset, amount)
            self.deposits[account, asset] += Decimal(amount)
            self._tell(Event("balance", account=account))

    def set_book(self, symbol: str, book: Book) -> None:
        """Strangers change their minds; resting orders they now cross are filled at their own price."""
        with self.lock, localcontext(prec=60):
            self.books[symbol] = book
            self._cross_resting(symbol)
            self._tell(Event("book", market=symbol))

    def stranger_trades(self, symbol: str, *, price: Decimal | str | int, amount: Decimal | str | int, taker_side: Side) -> None:
        """A stranger takes: resting orders of ours at that price or better are filled first; the rest is only printed."""
        price, left = Decimal(price), Decimal(amount)
        with self.lock, localcontext(prec=60):
            for order in self._resting(symbol, OPPOSITE[taker_side]):
                limit = order.asked.price or ZERO
                is_better = limit >= price if taker_side is Side.SELL else limit <= price
                taken = min(left, order.remaining)
                if not is_better or taken <= 0:
                    continue
                self._fill(order, price=limit, amount=taken, is_maker=True)
                self._print(symbol, price=limit, amount=taken, taker_side=taker_side)
                self._end_if_full(order)
                left -= taken
            if left > 0:
                self._print(symbol, price=price, amount=left, taker_side=taker_side)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` for every event, in the thread that caused it: return quickly."""
        self._listeners.append(listener)

    # --- orders ---
    def place(self, asked: NewOrder) -> Order:
        """Take an order and match it. Raises Refused, which spends no client id: a dialect may (`spend_client_id`)."""
        with self.lock, localcontext(prec=60):
            self.poll()
            market = self.check(asked)
            order = Order(order_id=self.new_id(), asked=asked, created_at=self.clock.now())
            self.settlement.reserve(order, market, worst_price=self._worst_price(asked))
            if asked.client_id is not None:
                self._client_ids[asked.account, asked.client_id] = self.clock.now()
                self._by_client_id[asked.account, asked.client_id] = order
            self.orders[order.order_id] = self._live[order.order_id] = order
            self._tell(Event("new", market=asked.market, account=asked.account, order=order))
            self._tell(Event("balance", account=asked.account))
            if self.is_matching_held:
                order.state = State.HELD
            else:
                self._match(order)
            return order

    def check(self, asked: NewOrder) -> Market:
        """The market of an acceptable order. Raises Refused; takes no money and no client id."""
        market = self.markets.get(asked.market)
        if market is None:
            raise Refused("unknown_market", asked.market)
        if not market.is_open:
            raise Refused("market_closed", asked.market)
        if asked.client_id is not None and self.is_client_id_spent(asked.account, asked.client_id):
            raise Refused("duplicate_client_id", asked.client_id)
        size = asked.amount if asked.amount is not None else asked.quote_amount
        if size is None or not size.is_finite() or size <= 0:
            raise Refused("bad_amount", str(size))
        if asked.amount is not None and asked.amount % market.lot_step:
            raise Refused("bad_lot", str(asked.amount))
        if asked.kind is Kind.LIMIT:
            if asked.price is None or not asked.price.is_finite() or asked.price <= 0:
                raise Refused("bad_price", str(asked.price))
            if asked.price % market.tick(asked.price):
                raise Refused("bad_tick", str(asked.price))
        self._check_total(asked, market)
        return market

    def spend_client_id(self, account: str, client_id: str) -> None:
        """Mark a client id as used without an order: Upbit does so for refused ones."""
        with self.lock:
            self._client_ids.setdefault((account, client_id), self.clock.now())

    def is_client_id_spent(self, account: str, client_id: str) -> bool:
        """Whether the account may not use this client id (any more)."""
        used_at = self._client_ids.get((account, client_id))
        if used_at is None:
            return False
        return self.client_ids_live_s is None or self.clock.now() - used_at < timedelta(seconds=self.client_ids_live_s)

    def find(self, account: str, *, order_id: str | None = None, client_id: str | None = None) -> Order | None:
        """An account's order by either id; the exchange's id wins, of several with one client id the newest."""
        with self.lock:
            self.poll()
            if order_id is not None:
                order = self.orders.get(order_id)
                return order if order is not None and order.asked.account == account else None
            return self._by_client_id.get((account, client_id or ""))

    def of_account(self, account: str) -> list[Order]:
        """Every order of an account, oldest first."""
        with self.lock:
            return [order for order in self.orders.values() if order.asked.account == account]

    def request_cancel(self, order: Order) -> None:
        """Cancel now, or after `cancel_delay_s` while the order may still fill."""
        with self.lock:
            if not order.is_live or order.cancel_due_at is not None:
                return
            order.cancel_due_at = self.clock.now() + timedelta(seconds=self.cancel_delay_s)
            if not self.cancel_delay_s:
                self.end(order, reason="cancelled by the account")

    def end(self, order: Order, *, reason: str) -> None:
        """Take what is left of an order out of the book."""
        with self.lock, localcontext(prec=60):
            if order.is_live:
                self._close(order, State.CANCELLED, reason=reason)

    def release_matching(self) -> None:
        """Match everything that was held back, oldest first."""
        with self.lock, localcontext(prec=60):
            self.is_matching_held = False
            for order in [order for order in self._live.values() if order.state is State.HELD]:
                order.state = State.OPEN
                self._match(order)

    def poll(self) -> None:
        """Let due cancels happen and moving books meet resting orders. Every question calls it."""
        with self.lock, localcontext(prec=60):
            now = self.clock.now()
            for order in list(self._live.values()):
                if order.cancel_due_at is not None and order.cancel_due_at <= now:
                    self._close(order, State.CANCELLED, reason="cancelled by the account")
            for symbol in {order.asked.market for order in self._live.values() if order.state is State.OPEN}:
                self._cross_resting(symbol)

    def best(self, symbol: str, side: Side) -> Level | None:
        """The best stranger's level on a side, or None."""
        levels = self.books[symbol].levels(self.clock.now(), side)
        return levels[0] if levels else None

    def last_price(self, symbol: str) -> Decimal | None:
        """Price of the newest print, else the middle of what the book shows, else None."""
        if self.prints[symbol]:
            return self.prints[symbol][-1].price
        sides = [level for side in Side if (level := self.best(symbol, side)) is not None]
        return sides[0].price if sides else None

    # --- the truth must add up ---
    def disagreements(self) -> list[str]:
        """Where the ledger of truth contradicts itself; spot only. Empty is what every test should find at its end."""
        expected = defaultdict(Decimal, self.deposits)
        locked: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        with self.lock, localcontext(prec=60):
            for fill in self.fills:
                market, sign = self.markets[fill.market], 1 if fill.side is Side.BUY else -1
                expected[fill.account, market.base] += sign * fill.amount
                expected[fill.account, market.quote] -= sign * fill.funds + fill.fee
            for order in self.orders.values():
                market = self.markets[order.asked.market]
                locked[order.asked.account, market.quote if order.asked.side is Side.BUY else market.base] += order.reserved
            told = []
            for account, asset in {*expected, *locked}:
                holding = self.wallets.holding(account, asset)
                if holding.free + holding.locked != expected[account, asset]:
                    told.append(f"{account} has {holding.free + holding.locked} {asset}, its fills say {expected[account, asset]}")
                if holding.locked != locked[account, asset]:
                    told.append(f"{account} has {holding.locked} {asset} locked, its orders say {locked[account, asset]}")
                if holding.free < 0 or holding.locked < 0:
                    told.append(f"{account} has less than nothing: {holding.free} {asset} free, {holding.locked} locked")
            return told

    # --- inside ---
    def _check_total(self, asked: NewOrder, market: Market) -> None:
        if asked.quote_amount is not None:
            total = asked.quote_amount
        else:
            price = asked.price if asked.kind is Kind.LIMIT else self.last_price(asked.market)
            total = (asked.amount or ZERO) * (price or ZERO)
        is_small = total < market.minimum_total or (asked.amount is not None and asked.amount < market.minimum_amount)
        if is_small and not asked.info.get("may_be_small"):
            raise Refused("under_minimum", str(total))
        if market.maximum_total is not None and total > market.maximum_total:
            raise Refused("over_maximum", str(total))

    def _worst_price(self, asked: NewOrder) -> Decimal | None:
        left, worst = asked.amount or ZERO, None
        for level in self.books[asked.market].levels(self.clock.now(), OPPOSITE[asked.side]):
            worst = level.price
            left -= level.amount
            if left <= 0:
                break
        return worst

    def _resting(self, symbol: str, side: Side) -> list[Order]:
        """Orders that wait on a side, best price first, then oldest."""
        waiting = [
            order
            for order in self._live.values()
            if order.state is State.OPEN and order.asked.market == symbol and order.asked.side is side and order.asked.kind is Kind.LIMIT
        ]
        sign = -1 if side is Side.BUY else 1
        return sorted(waiting, key=lambda order: sign * (order.asked.price or ZERO))

    def _cross_resting(self, symbol: str) -> None:
        """Strangers' levels that reach our resting orders fill them at the resting price."""
        now, book = self.clock.now(), self.books[symbol]
        for side in Side:
            for order in self._resting(symbol, side):
                for level in list(book.levels(now, OPPOSITE[side])):
                    limit = order.asked.price or ZERO
                    if order.remaining <= 0 or (level.price > limit if side is Side.BUY else level.price < limit):
                        break
                    taken = min(level.amount, order.remaining)
                    self._fill(order, price=limit, amount=taken, is_maker=True)
                    self._print(symbol, price=limit, amount=taken, taker_side=OPPOSITE[side])
                    book.take(OPPOSITE[side], Level(price=level.price, amount=taken))
                self._end_if_full(order)

    def _match(self, order: Order) -> None:
        asked = order.asked
        first = self._next_maker(order)
        if asked.time_in_force is TimeInForce.POST_ONLY and first is not None:
            self._close(order, State.CANCELLED, reason="post only")
            return
        best_price = first[0] if first is not None and asked.kind is Kind.BEST else None
        if asked.time_in_force is TimeInForce.FILL_OR_KILL and not self._could_fill(order, best_price=best_price):
            self._close(order, State.CANCELLED, reason="fill or kill")
            return
        for _turn in range(10_000):
            maker = self._next_maker(order)
            if not order.is_live or maker is None or (best_price is not None and maker[0] != best_price):
                break
            if not self._meet(order, maker):
                break
        if order.is_live:
            self._settle_rest(order)

    def _meet(self, order: Order, maker: tuple[Decimal, Decimal, Order | None]) -> bool:
        """One execution; False when not even one lot can be made."""
        price, available, resting = maker
        amount = min(available, self._wanted(order, price))
        if amount <= 0:
            return False
        if resting is not None and resting.asked.account == order.asked.account and order.asked.self_match != "none":
            return self._prevent(order, resting, amount)
        self._fill(order, price=price, amount=amount, is_maker=False)
        if resting is not None:
            self._fill(resting, price=price, amount=amount, is_maker=True)
            self._end_if_full(resting)
        else:
            self.books[order.asked.market].take(OPPOSITE[order.asked.side], Level(price=price, amount=amount))
        self._print(order.asked.market, price=price, amount=amount, taker_side=order.asked.side)
        return True

    def _prevent(self, order: Order, resting: Order, amount: Decimal) -> bool:
        wish = order.asked.self_match
        for one in (resting, order):
            if wish in ("reduce", "cancel_maker" if one is resting else "cancel_taker"):
                one.prevented += amount if wish == "reduce" else one.remaining
                self._tell(Event("prevented", market=one.asked.market, account=one.asked.account, order=one))
                if one.remaining <= 0:
                    self._close(one, State.CANCELLED, reason="self-match prevention")
        return order.is_live

    def _next_maker(self, order: Order) -> tuple[Decimal, Decimal, Order | None] | None:
        """(price, amount, resting order or None for a stranger) the order would meet next, or None within its limit."""
        side = OPPOSITE[order.asked.side]
        resting = next((one for one in self._resting(order.asked.market, side) if one is not order), None)
        levels = self.books[order.asked.market].levels(self.clock.now(), side)
        found: tuple[Decimal, Decimal, Order | None] | None = None
        if levels:
            found = (levels[0].price, levels[0].amount, None)
        if resting is not None:
            price = resting.asked.price or ZERO
            if found is None or (price >= found[0] if side is Side.BUY else price <= found[0]):
                found = (price, resting.remaining, resting)
        limit = order.asked.price if order.asked.kind is Kind.LIMIT else None
        if found is None or limit is None:
            return found
        return found if (found[0] <= limit if order.asked.side is Side.BUY else found[0] >= limit) else None

    def _could_fill(self, order: Order, *, best_price: Decimal | None) -> bool:
        asked = order.asked
        base, quote = asked.amount, asked.quote_amount
        for level in self.books[asked.market].levels(self.clock.now(), OPPOSITE[asked.side]):
            limit = asked.price if asked.kind is Kind.LIMIT else best_price
            if limit is not None and (level.price > limit if asked.side is Side.BUY else level.price < limit):
                break
            if base is not None:
                base -= level.amount
            elif quote is not None:
                quote -= level.amount * level.price
        return (base if base is not None else quote or ZERO) <= 0

    def _wanted(self, order: Order, price: Decimal) -> Decimal:
        if order.asked.amount is not None:
            return order.remaining
        return round_down(order.quote_remaining / price, step=self.markets[order.asked.market].lot_step)

    def _settle_rest(self, order: Order) -> None:
        """What becomes of an order that met everything it could."""
        asked, market = order.asked, self.markets[order.asked.market]
        if asked.quote_amount is not None:
            is_full = order.quote_remaining <= 0 or (order.filled > 0 and self._next_maker(order) is not None)
            is_done = is_full and (order.quote_remaining <= 0 or not market.market_buys_end_cancelled)
            self._close(order, State.FILLED if is_done else State.CANCELLED, reason="" if is_done else "the rest buys no lot")
        elif order.remaining <= 0:
            self._close(order, State.FILLED)
        elif asked.kind is not Kind.LIMIT or asked.time_in_force in IMMEDIATE:
            self._close(order, State.CANCELLED, reason="nothing more to take")

    def _end_if_full(self, order: Order) -> None:
        if order.is_live and order.asked.amount is not None and order.remaining <= 0:
            self._close(order, State.FILLED)

    def _fill(self, order: Order, *, price: Decimal, amount: Decimal, is_maker: bool) -> None:
        asked, market = order.asked, self.markets[order.asked.market]
        rate = market.maker_rate if is_maker else market.taker_rate
        fill = Fill(
            trade_id=self.new_id(),
            order_id=order.order_id,
            client_id=asked.client_id,
            account=asked.account,
            market=asked.market,
            side=asked.side,
            price=price,
            amount=amount,
            fee=price * amount * rate,
            fee_currency=market.quote,
            is_maker=is_maker,
            executed_at=self.clock.now(),
        )
        order.filled += amount
        order.funds += fill.funds
        order.fees += fill.fee
        order.updated_at = fill.executed_at
        self.settlement.settle(order, fill, market)
        order.fills.append(fill)
        self.fills.append(fill)
        self._tell(Event("trade", market=asked.market, account=asked.account, order=order, fill=fill))
        self._tell(Event("balance", account=asked.account))

    def _close(self, order: Order, state: State, *, reason: str = "") -> None:
        order.state, order.cancel_reason = state, reason
        order.closed_at = order.updated_at = self.clock.now()
        self._live.pop(order.order_id, None)
        self.settlement.release(order, self.markets[order.asked.market])
        what = "filled" if state is State.FILLED else "cancelled"
        self._tell(Event(what, market=order.asked.market, account=order.asked.account, order=order))
        self._tell(Event("balance", account=order.asked.account))

    def _print(self, symbol: str, *, price: Decimal, amount: Decimal, taker_side: Side) -> None:
        now = self.clock.now()
        # Upbit's ids look like this: milliseconds and four digits more.
        self._sequence = max(self._sequence + 1, int(now.timestamp() * 1000) * 10_000)
        printed = Print(symbol, self._sequence, price, amount, taker_side, now)
        self.prints[symbol].append(printed)
        self._tell(Event("print", market=symbol, printed=printed))

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
