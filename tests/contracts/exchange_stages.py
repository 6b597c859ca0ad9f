"""The four exchanges of the contract, each set up the same way: a market, strangers, money, and switches where there is a wire."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from dgbot.core.clock import SteppedClock, SystemClock
from dgbot.core.interval import Interval
from dgbot.core.protocols import Clock, Exchange
from dgbot.core.types import Balance, Candle, Capabilities, OrderRequest, OrderType, Side, VenueOrder, VenueOrderStatus
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.core.faults import Faults
from tests.fakes.core.server import FakeServer
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading.exchanges import bitget, upbit
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.keys import ApiKey
from trading.exchanges.pretend import PretendExchange, capabilities_over
from trading.exchanges.simulated import SimulatedQuotes
from trading.exchanges.simulated_market import SimulatedMarket
from trading.exchanges.upbit_http import UpbitHttp
from trading.exchanges.upbit_quotes import UpbitQuotes
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import KRW_FEES

D = Decimal
NAMES = ("simulated", "paper", "upbit", "bitget")
KRW, USDT = D(500_000_000), D(200_000)
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT_S = 1.0
SPARSE = 53  # of the fake Upbit's candles, every so many is missing: nobody traded
ENDED = (VenueOrderStatus.FILLED, VenueOrderStatus.CANCELLED, VenueOrderStatus.EXPIRED)

_numbers = count(1)


def client_id() -> str:
    """One never used before, in the form of ours."""
    return f"LDEV{next(_numbers):027d}"


@dataclass(frozen=True)
class Wire:
    """The endpoints behind a few methods, as the fake names them; None where the method crosses no wire."""

    faults: Faults
    server: FakeServer
    ticker: str
    book: str
    candles: str
    balances: str | None = None
    place: str | None = None
    order: str | None = None
    cancel: str | None = None


@dataclass
class Stage:
    """One exchange, ready to trade `symbol`. unit: an amount of base well above the minimum."""

    name: str
    exchange: Exchange
    symbol: str
    other_symbol: str
    nonsense: str
    base: str
    quote: str
    money: Decimal
    unit: Decimal
    clock: Clock
    again: Callable[[], Exchange]  # another process with the same account
    wire: Wire | None = None
    fake: Any = None
    with_wrong_key: Callable[[], Exchange] | None = None
    without_key: Callable[[], Exchange] | None = None
    has_gaps: bool = False
    strangers_trade: Callable[[int], None] = field(default=lambda _count: None)

    @property
    def capabilities(self) -> Capabilities:
        """What the exchange says it can do."""
        return self.exchange.capabilities

    @property
    def orders_cross_a_wire(self) -> bool:
        """Whether an answer to an order can be lost."""
        return self.wire is not None and self.wire.place is not None

    # --- what is asked ---
    def market(self, side: Side, amount: Decimal, **changes: Any) -> OrderRequest:
        """A market order of about `amount` base, sized as this exchange sizes it."""
        asked = OrderRequest(client_id=client_id(), symbol=self.symbol, side=side, order_type=OrderType.MARKET, amount=amount)
        if side is Side.BUY and self.capabilities.market_buy_in_quote:
            asked = replace(asked, amount=None, quote_amount=(amount * self.best(Side.BUY)).quantize(D("0.01")))
        return replace(asked, **changes)

    def limit(self, side: Side, amount: Decimal, price: Decimal, **changes: Any) -> OrderRequest:
        """A limit order."""
        asked = OrderRequest(client_id=client_id(), symbol=self.symbol, side=side, order_type=OrderType.LIMIT, amount=amount, price=price)
        return replace(asked, **changes)

    def best(self, side: Side) -> Decimal:
        """The price a taker on `side` meets first."""
        book = self.exchange.order_book(self.symbol)
        return (book.asks if side is Side.BUY else book.bids)[0].price

    def far_below(self) -> Decimal:
        """A price on the tick at which nobody sells now."""
        rules = self.exchange.trading_rules(self.symbol, at=self.clock.now())
        price = self.best(Side.SELL) * D("0.9")
        return price // rules.tick(price) * rules.tick(price)

    def done(self, request: OrderRequest) -> VenueOrder:
        """Place and read until it has ended."""
        self.exchange.place(request)
        order = self.exchange.order(symbol=request.symbol, client_id=request.client_id)
        assert order is not None and order.status in ENDED, order
        return order

    def bought(self, amount: Decimal | None = None) -> VenueOrder:
        """A market buy that has filled."""
        order = self.done(self.market(Side.BUY, amount or self.unit))
        assert order.filled_amount > 0
        return order

    # --- what is had ---
    def balance(self, asset: str) -> Balance:
        """What is held of an asset; nothing when it is not listed."""
        return next((one for one in self.exchange.balances() if one.asset == asset), Balance(asset, D(0), D(0)))

    def cash(self) -> Decimal:
        """All money, free or locked."""
        return self.balance(self.quote).free + self.balance(self.quote).locked

    def held(self) -> Decimal:
        """Base held: as a coin, or as a position."""
        if self.capabilities.leverage:
            return sum((one.amount for one in self.exchange.positions() if one.symbol == self.symbol), D(0))
        return self.balance(self.base).free + self.balance(self.base).locked


@contextmanager
def stage_of(name: str) -> Iterator[Stage]:
    """Set up one exchange by its name, and take it down."""
    with ExitStack() as stack:
        yield {"simulated": _simulated, "paper": _paper, "upbit": _upbit, "bitget": _bitget}[name](stack)


def smooth(opened_at: datetime, *, interval: Interval) -> Candle:
    """A candle computed from its time alone."""
    step = int(opened_at.timestamp()) // interval.seconds % 997
    first = D(100_000_000 + 1000 * step)
    return Candle(opened_at, first, first + 5000, first - 5000, first + 1000, D(step + 1) / 8)


def sparse_candles(_symbol: str, interval: Interval, start: datetime, end: datetime) -> Sequence[Candle]:
    """Candles opened in [start, end), every SPARSE-th missing."""
    first = interval.open_of(start)
    first += interval.length if first < start else timedelta(0)
    opens = [first + interval.length * number for number in range(max(0, -((first - end) // interval.length)))]
    return [smooth(opened, interval=interval) for opened in opens if int(opened.timestamp()) // interval.seconds % SPARSE]


def _simulated(_stack: ExitStack) -> Stage:
    clock = SteppedClock(ORIGIN + timedelta(hours=200, minutes=17, seconds=31))
    made = {symbol: SimulatedMarket(symbol, 7, ORIGIN) for symbol in ("KRW-BTC", "KRW-ETH")}
    key = f"contract-{next(_numbers)}"
    DatabaseVenueStore(key).open(asset="KRW", amount=KRW)

    def market_of(symbol: str) -> SimulatedMarket:
        return made.get(symbol) or SimulatedMarket(symbol, 7, ORIGIN)

    def connect() -> Exchange:
        quotes = SimulatedQuotes(market_of=market_of, clock=clock)
        return PretendExchange(quotes=quotes, store=DatabaseVenueStore(key), clock=clock, fee_rates=KRW_FEES)

    return Stage(
        "simulated", connect(), "KRW-BTC", "KRW-ETH", "nonsense", "BTC", "KRW", money=KRW, unit=D("0.001"), clock=clock, again=connect
    )


def _fake_upbit(stack: ExitStack) -> FakeUpbit:
    fake = stack.enter_context(FakeUpbit(candles=sparse_candles, has_limits=False))
    fake.open_market("KRW-BTC")
    fake.open_market("KRW-ETH", price=4_000_000)
    fake.strangers_trade("KRW-BTC", count=3)
    fake.strangers_trade("KRW-ETH", count=3)
    return fake


def _upbit_wire(fake: FakeUpbit, **more: str) -> Wire:
    return Wire(fake.server.faults, fake.server, ticker="GET /v1/ticker", book="GET /v1/orderbook", candles="GET /v1/candles/*", **more)


def _http(fake: FakeUpbit) -> UpbitHttp:
    return UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=TIMEOUT_S, total_timeout_s=TIMEOUT_S))


def _paper(stack: ExitStack) -> Stage:
    fake, key = _fake_upbit(stack), f"contract-{next(_numbers)}"
    DatabaseVenueStore(key).open(asset="KRW", amount=KRW)

    def connect() -> Exchange:
        quotes = UpbitQuotes(http=_http(fake))
        able = capabilities_over(quotes.capabilities)
        return PretendExchange(quotes=quotes, store=DatabaseVenueStore(key), clock=SystemClock(), fee_rates=KRW_FEES, capabilities=able)

    return Stage(
        "paper",
        connect(),
        "KRW-BTC",
        "KRW-ETH",
        "nonsense",
        "BTC",
        "KRW",
        money=KRW,
        unit=D("0.001"),
        clock=SystemClock(),
        again=connect,
        wire=_upbit_wire(fake),
        fake=fake,
        has_gaps=True,
        strangers_trade=lambda number: fake.strangers_trade("KRW-BTC", count=number, seed=next(_numbers)),
    )


def _upbit(stack: ExitStack) -> Stage:
    fake = _fake_upbit(stack)
    fake.add_key()
    fake.engine.deposit("main", "KRW", KRW)

    def connect(access: str = ACCESS, secret: str = SECRET) -> Exchange:
        return upbit.connect(http=_http(fake), access_key=access, secret_key=secret)

    orders = {"balances": "GET /v1/accounts", "place": "POST /v1/orders", "order": "GET /v1/order", "cancel": "DELETE /v1/order"}
    return Stage(
        "upbit",
        connect(),
        "KRW-BTC",
        "KRW-ETH",
        "nonsense",
        "BTC",
        "KRW",
        money=KRW,
        unit=D("0.001"),
        clock=SystemClock(),
        again=connect,
        wire=_upbit_wire(fake, **orders),
        fake=fake,
        with_wrong_key=lambda: connect(secret="not-the-secret-0000000000000000000000000000"),
        without_key=lambda: connect("", ""),
        has_gaps=True,
        strangers_trade=lambda number: fake.strangers_trade("KRW-BTC", count=number, seed=next(_numbers)),
    )


def _bitget(stack: ExitStack) -> Stage:
    fake = stack.enter_context(FakeBitget())
    fake.open_market("ETHUSDT")
    fake.open_market("BTCUSDT", price=100_000)
    account = fake.add_account(usdt=USDT)
    fake.strangers_trade("ETHUSDT", count=3)
    fake.strangers_trade("BTCUSDT", count=3)

    def connect(secret: str = account.secret, *, is_public: bool = False) -> Exchange:
        key = None if is_public else ApiKey(account.key, secret, account.passphrase)
        made = bitget.connect(url=fake.url, key=key, connect_timeout_s=TIMEOUT_S, total_timeout_s=TIMEOUT_S)
        made.entry_within_s = made.exit_within_s  # a busy machine is slow
        return made

    mix = "/api/v2/mix"
    wire = Wire(
        fake.server.faults,
        fake.server,
        ticker=f"GET {mix}/market/ticker",
        book=f"GET {mix}/market/merge-depth",
        candles=f"GET {mix}/market/candles",
        balances=f"GET {mix}/account/accounts",
        place=f"POST {mix}/order/place-order",
        order=f"GET {mix}/order/detail",
        cancel=f"POST {mix}/order/cancel-order",
    )
    exchange = connect()
    exchange.prepare("ETH/USDT:USDT", leverage=D(1))
    return Stage(
        "bitget",
        exchange,
        "ETH/USDT:USDT",
        "BTC/USDT:USDT",
        "nonsense",
        "ETH",
        "USDT",
        money=USDT,
        unit=D("0.1"),
        clock=SystemClock(),
        again=connect,
        wire=wire,
        fake=fake,
        with_wrong_key=lambda: connect("not the secret"),
        without_key=lambda: connect(is_public=True),
        strangers_trade=lambda number: fake.strangers_trade("ETHUSDT", count=number, seed=next(_numbers)),
    )
