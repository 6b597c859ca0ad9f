"""What every fake exchange is: a server around an engine, started for a `with` block."""

import random
from decimal import Decimal
from typing import Self

from dgbot.core.types import Side
from tests.fakes.core.engine import Engine
from tests.fakes.core.server import FakeServer


class FakeExchange:
    """The life of a fake; a subclass makes `engine` and `server` and answers its requests."""

    engine: Engine
    server: FakeServer
    lot = Decimal("0.000001")  # base; strangers trade 1 to `small_lots` of them
    small_lots = 10_000

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        """What stands for the exchange's https address."""
        return self.server.url

    @property
    def websocket_url(self) -> str:
        """What stands for the exchange's wss address."""
        return self.server.websocket_url

    def strangers_trade(self, symbol: str, *, count: int, seed: int = 1) -> None:
        """A few small trades at the best prices, for streams and candles."""
        chance = random.Random(seed)
        for _number in range(count):
            side = chance.choice(list(Side))
            best = self.engine.best(symbol, Side.SELL if side is Side.BUY else Side.BUY)
            if best is not None:
                amount = chance.randint(1, self.small_lots) * self.lot
                self.engine.stranger_trades(symbol, price=best.price, amount=amount, taker_side=side)
