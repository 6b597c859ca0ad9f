"""What a market order would cost in a given book."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.types import Level, OrderBook, Side

WARNING_SLIPPAGE = Decimal("0.003")  # requirements S2-35
WARNING_LEVELS = 5


@dataclass(frozen=True)
class Liquidity:
    """Names as operators know them. Percentages are relative to the best price; prices in quote currency.

    `expected_avg_price` and `expected_slippage_pct` are None when the book cannot fill the order.
    """

    expected_slippage_pct: Decimal | None
    expected_avg_price: Decimal | None
    liquidity_available: bool
    required_levels: int
    warning: str


def measure(*, book: OrderBook, side: Side, amount: Decimal | None = None, quote_amount: Decimal | None = None) -> Liquidity:
    """Walk the book for an order sized in base (`amount`) or quote (`quote_amount`) currency; exactly one is given."""
    if (amount is None) == (quote_amount is None):
        raise ValueError("give either amount or quote_amount")
    levels = book.asks if side is Side.BUY else book.bids
    taken, base, quote = _walk(levels, amount=amount, quote_amount=quote_amount)
    if base is None or quote is None or base <= 0:
        return Liquidity(None, None, liquidity_available=False, required_levels=taken, warning="The book cannot fill this order.")
    average, best = quote / base, levels[0].price
    slippage = abs(average - best) / best
    return Liquidity(
        expected_slippage_pct=slippage * 100,
        expected_avg_price=average,
        liquidity_available=True,
        required_levels=taken,
        warning=_warning(slippage=slippage, levels=taken),
    )


def is_usable(book: OrderBook) -> bool:
    """Whether both sides exist, hold something and do not cross."""
    if not book.bids or not book.asks or not all(_is_possible(level) for level in (*book.bids, *book.asks)):
        return False
    return book.bids[0].price < book.asks[0].price


def _is_possible(level: Level) -> bool:
    return all(number.is_finite() and number > 0 for number in (level.price, level.amount))


def _walk(levels: Sequence[Level], *, amount: Decimal | None, quote_amount: Decimal | None) -> tuple[int, Decimal | None, Decimal | None]:
    base = quote = Decimal(0)
    for number, level in enumerate(levels, start=1):
        if amount is not None:
            take = min(level.amount, amount - base)
        elif quote_amount is not None:
            take = min(level.amount, (quote_amount - quote) / level.price)
        base, quote = base + take, quote + take * level.price
        if take < level.amount or base == amount or quote == quote_amount:
            return number, base, quote
    return len(levels), None, None


def _warning(*, slippage: Decimal, levels: int) -> str:
    if slippage > WARNING_SLIPPAGE:
        return f"Expected slippage {slippage * 100:.3f} % is over {WARNING_SLIPPAGE * 100:.1f} %."
    if levels > WARNING_LEVELS:
        return f"The order reaches {levels} levels deep; more than {WARNING_LEVELS} is thin."
    return ""
