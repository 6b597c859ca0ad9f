"""What an order book says: spread, imbalance, and walls. A side is amounts and prices, best first; an assumed book says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.types import Level, OrderBook

IMBALANCE_LEVELS = 10
WALL_LEVELS = 20  # a wall is a share of these; with fewer nothing is a wall (W-33: in a book cut to 5, every level was one)
WALL_SHARE = Decimal("0.10")


@dataclass(frozen=True)
class Wall:
    """A level that holds more than a tenth of its side's 20 levels. share: of their value, a fraction."""

    side: str
    price: Decimal
    share: Decimal


@dataclass(frozen=True)
class BookReading:
    """None is unknown. spread_bps: (ask − bid) / middle × 10,000. imbalance: (bids − asks) / (bids + asks) in quote value, −1…1.

    walls: of both sides, best first; None when a side has fewer than 20 levels.
    """

    spread_bps: Decimal | None = None
    imbalance: Decimal | None = None
    walls: tuple[Wall, ...] | None = None


def read(book: OrderBook | None) -> BookReading:
    """What the book says; nothing when it is missing, one-sided, or assumed from a price."""
    if book is None or book.is_assumed or not book.bids or not book.asks:
        return BookReading()
    bid, ask = book.bids[0].price, book.asks[0].price
    bids, asks = _value(book.bids[:IMBALANCE_LEVELS]), _value(book.asks[:IMBALANCE_LEVELS])
    has_depth = min(len(book.bids), len(book.asks)) >= WALL_LEVELS
    return BookReading(
        spread_bps=(ask - bid) / ((ask + bid) / 2) * 10_000,
        imbalance=(bids - asks) / (bids + asks) if bids + asks else None,
        walls=(*_walls("bid", book.bids), *_walls("ask", book.asks)) if has_depth else None,
    )


def _value(levels: Sequence[Level]) -> Decimal:
    return sum((level.price * level.amount for level in levels), Decimal(0))


def _walls(side: str, levels: Sequence[Level]) -> tuple[Wall, ...]:
    total = _value(levels[:WALL_LEVELS])
    if not total:
        return ()
    shares = ((level, level.price * level.amount / total) for level in levels[:WALL_LEVELS])
    return tuple(Wall(side, level.price, share) for level, share in shares if share > WALL_SHARE)
