"""Where strangers' orders come from: written by a test, recorded, or computed from time."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from dgbot.core.types import Level, OrderBook, Side

Prices = Iterable[tuple[Decimal | str | int, Decimal | str | int]]


class Book(Protocol):
    """Strangers' liquidity in one market."""

    def levels(self, at: datetime, side: Side) -> Sequence[Level]:
        """What waits on the `side` (BUY: bids) at `at`, best first."""

    def take(self, side: Side, level: Level) -> None:
        """`level.amount` was taken away from that price."""


class ScriptedBook:
    """A book that only changes when a test or a match changes it."""

    def __init__(self, *, bids: Prices = (), asks: Prices = ()) -> None:
        self._sides = {Side.BUY: _sorted(bids, reverse=True), Side.SELL: _sorted(asks, reverse=False)}

    def levels(self, at: datetime, side: Side) -> Sequence[Level]:
        """See Book."""
        return [Level(price=price, amount=amount) for price, amount in self._sides[side].items()]

    def take(self, side: Side, level: Level) -> None:
        """See Book."""
        left = self._sides[side].get(level.price, Decimal(0)) - level.amount
        if left > 0:
            self._sides[side][level.price] = left
        else:
            self._sides[side].pop(level.price, None)


class MovingBook:
    """A book that somebody computes from time: `simulated_market.order_book_at`, or recorded books. Nothing taken is missed."""

    def __init__(self, at: Callable[[datetime], OrderBook]) -> None:
        self._at = at

    def levels(self, at: datetime, side: Side) -> Sequence[Level]:
        """See Book."""
        book = self._at(at)
        return book.bids if side is Side.BUY else book.asks

    def take(self, side: Side, level: Level) -> None:
        """The next moment brings a new book."""


class RecordedBook(MovingBook):
    """Recorded books, oldest first; each holds until the next one's time."""

    def __init__(self, books: Sequence[OrderBook]) -> None:
        if not books:
            raise ValueError("a recorded book needs at least one recording")
        self._books = list(books)
        super().__init__(self._of)

    def _of(self, at: datetime) -> OrderBook:
        return next((book for book in reversed(self._books) if book.known_at <= at), self._books[0])


def ladder(mid: Decimal | int, *, step: Decimal | int, amount: Decimal | str, levels: int = 15) -> ScriptedBook:
    """An even book around `mid`: the best bid is one step below, the best ask one above, `amount` at each price."""
    mid, step, amount = Decimal(mid), Decimal(step), Decimal(amount)
    return ScriptedBook(
        bids=[(mid - step * number, amount) for number in range(1, levels + 1)],
        asks=[(mid + step * number, amount) for number in range(1, levels + 1)],
    )


def _sorted(prices: Prices, *, reverse: bool) -> dict[Decimal, Decimal]:
    return dict(sorted(((Decimal(price), Decimal(amount)) for price, amount in prices), reverse=reverse))
