"""Fake exchanges with a life of their own, for developers and demos: moving prices, strangers who trade, one key with money."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from dgbot.core.interval import Interval
from dgbot.core.types import Candle, OrderBook
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.core.books import MovingBook
from tests.fakes.core.clock import FakeClock
from tests.fakes.core.server import FakeServer
from tests.fakes.upbit.quotation import CandlesOf
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading.exchanges.simulated_market import SimulatedMarket

UPBIT_SYMBOLS = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
BITGET_PRICES = {"BTCUSDT": 70_000, "ETHUSDT": 3_000}
TAPE_EVERY_S = 0.5


class Running(Protocol):
    """What a demo needs of a fake."""

    server: FakeServer

    @property
    def url(self) -> str:
        """REST address."""

    @property
    def websocket_url(self) -> str:
        """Websocket address."""


def upbit(*, port: int, seed: int) -> tuple[FakeUpbit, Sequence[str]]:
    """A fake Upbit on the prices of the simulated market, and what to tell whoever uses it."""
    today = datetime.now(tz=UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    markets = {symbol: SimulatedMarket(symbol, seed, today) for symbol in UPBIT_SYMBOLS}
    fake = FakeUpbit(port=port, candles=_candles(markets))
    for symbol, market in markets.items():
        fake.open_market(symbol, book=MovingBook(_book(market)))
    fake.add_key(expires_at=fake.clock.now() + timedelta(days=365))
    fake.engine.deposit("main", "KRW", 10_000_000)
    fake.server.in_background(_tape(fake.clock, lambda turn: _trade_upbit(fake, turn)))
    told = [
        f"Access key {ACCESS}",
        f"Secret key {SECRET}",
        f"Markets {', '.join(UPBIT_SYMBOLS)}; the account holds 10,000,000 KRW.",
        "Point the platform at it:",
        "  DGBOT_UPBIT_URL={url}",
        "  DGBOT_UPBIT_WEBSOCKET_URL={websocket_url}",
    ]
    return fake, told


def bitget(*, port: int, seed: int) -> tuple[FakeBitget, Sequence[str]]:
    """A fake Bitget on even books, and what to tell whoever uses it."""
    fake = FakeBitget(port=port)
    for raw, price in BITGET_PRICES.items():
        fake.open_market(raw, price=price)
    account = fake.add_account(usdt=10_000)
    fake.server.in_background(_tape(fake.clock, lambda turn: _trade_bitget(fake, seed + turn)))
    told = [
        f"Access key {account.key}",
        f"Secret key {account.secret}",
        f"Passphrase {account.passphrase}",
        f"Contracts {', '.join(BITGET_PRICES)}; the account holds 10,000 USDT.",
        "Point the platform at it:",
        "  DGBOT_BITGET_URL={url}",
        "  DGBOT_BITGET_WEBSOCKET_URL={websocket_url}",
    ]
    return fake, told


def _trade_upbit(fake: FakeUpbit, turn: int) -> None:
    for symbol in UPBIT_SYMBOLS:
        fake.strangers_trade(symbol, count=1, seed=turn)


def _trade_bitget(fake: FakeBitget, turn: int) -> None:
    for raw in BITGET_PRICES:
        fake.strangers_trade(raw, count=1, seed=turn)


def _tape(clock: FakeClock, trade: Callable[[int], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        turn = 0
        while True:
            turn += 1
            await asyncio.to_thread(trade, turn)
            await asyncio.sleep(TAPE_EVERY_S)

    return run


def _book(market: SimulatedMarket) -> Callable[[datetime], OrderBook]:
    return market.order_book_at


def _candles(markets: dict[str, SimulatedMarket]) -> CandlesOf:
    """Candles of a minute and more; the simulated market has no seconds."""

    def told(symbol: str, interval: Interval, start: datetime, end: datetime) -> list[Candle]:
        market = markets[symbol]
        if interval.seconds < 60 or end <= market.starts_at:
            return []
        found = market.candles(interval, max(start, market.starts_at), end)
        columns = (found.open, found.high, found.low, found.close, found.volume)
        return [
            Candle(datetime.fromtimestamp(int(opened) // 10**9, tz=UTC), *(Decimal(repr(float(one))) for one in values))
            for opened, *values in zip(found.open_time, *columns, strict=True)
        ]

    return told


EXCHANGES: dict[str, Callable[..., tuple[Running, Sequence[str]]]] = {"upbit": upbit, "bitget": bitget}
