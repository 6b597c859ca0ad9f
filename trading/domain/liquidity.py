"""What a market order would cost in a given book, and into how many parts a large one is better split.

over 0.3 % or more than 5 levels  a warning, and parts are recommended
over 1 %                          an entry is refused (the profile says how much); an exit goes out in parts, never refused
over 10 %                         no part of an exit reaches so deep
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from dgbot.core.money import plain, round_down
from dgbot.core.types import Level, OrderBook, Side, TradingRules

WARNING_SLIPPAGE = Decimal("0.003")  # requirements S2-35
WARNING_LEVELS = 5
EXIT_SLIPPAGE = Decimal("0.01")  # of one part of an exit
EXIT_COLLAR = Decimal("0.10")  # how far from the best price any part of an exit may reach; order-path §2.7
MOST_PARTS = 10


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

    def as_row(self) -> dict[str, str | int | bool | None]:
        """As it is stored with a stage and an order's plan."""
        return {
            "expected_slippage_pct": None if self.expected_slippage_pct is None else plain(round(self.expected_slippage_pct, 6)),
            "expected_avg_price": None if self.expected_avg_price is None else plain(self.expected_avg_price),
            "liquidity_available": self.liquidity_available,
            "required_levels": self.required_levels,
            "warning": self.warning,
        }


@dataclass(frozen=True)
class Part:
    """One part of a split order: its size, in the currency the whole was sized in, and what it meets after the parts before it."""

    size: Decimal
    liquidity: Liquidity


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


def split(
    *,
    book: OrderBook,
    side: Side,
    step: Decimal,
    minimum_total: Decimal,
    amount: Decimal | None = None,
    quote_amount: Decimal | None = None,
) -> list[Part]:
    """The fewest parts, at most ten, none of which is worth a warning on what the earlier ones leave of the book.

    One part when the whole is worth none. Each part is worth the market's minimum; together they are the whole, to the last digit.
    Where even ten are too large, ten are told; what the book cannot fill at all is told as one.
    step: grid of the sizes, in the currency of the size. minimum_total: quote currency.
    """
    whole = measure(book=book, side=side, amount=amount, quote_amount=quote_amount)
    size = amount if amount is not None else quote_amount
    assert size is not None  # measure has checked it
    best = [Part(size, whole)]
    if not whole.liquidity_available or not whole.warning:
        return best
    for count in range(2, MOST_PARTS + 1):
        parts = _walk_parts(book, side=side, sizes=_sizes(size, count=count, step=step), in_base=amount is not None)
        if parts is None or any(_worth(part, in_base=amount is not None) < minimum_total for part in parts):
            return best
        best = parts
        if not any(part.liquidity.warning for part in parts):
            return best
    return best


def exit_part(*, book: OrderBook, amount: Decimal, rules: TradingRules) -> Decimal:
    """How much of a long position is sold now, base currency: all of it where the book takes it, else the largest of ten equal parts
    that slips at most EXIT_SLIPPAGE, and never deeper than EXIT_COLLAR below the best bid.

    Neither what is sold nor what stays may fall under the market's minimum, which could not be sold: then it is all of it.
    """
    if not book.bids or book.is_assumed:
        return amount
    floor = book.bids[0].price * (1 - EXIT_COLLAR)
    reachable = replace(book, bids=tuple(level for level in book.bids if level.price >= floor))
    part = amount
    for count in range(1, MOST_PARTS + 1):
        part = amount if count == 1 else round_down(amount / count, step=rules.lot_step)
        found = measure(book=reachable, side=Side.SELL, amount=part)
        if found.expected_slippage_pct is not None and found.expected_slippage_pct <= EXIT_SLIPPAGE * 100:
            break
    else:
        depth = sum((level.amount for level in reachable.bids), Decimal(0))
        part = min(part, round_down(depth, step=rules.lot_step))
    return amount if part != amount and min(part, amount - part) * floor < rules.minimum_total else part


def is_usable(book: OrderBook) -> bool:
    """Whether both sides exist, hold something and do not cross."""
    if not book.bids or not book.asks or not all(_is_possible(level) for level in (*book.bids, *book.asks)):
        return False
    return book.bids[0].price < book.asks[0].price


def _is_possible(level: Level) -> bool:
    return all(number.is_finite() and number > 0 for number in (level.price, level.amount))


def _sizes(size: Decimal, *, count: int, step: Decimal) -> list[Decimal]:
    """`count` equal sizes on the grid; the last takes what is left."""
    each = round_down(size / count, step=step)
    return [*[each] * (count - 1), size - each * (count - 1)]


def _walk_parts(book: OrderBook, *, side: Side, sizes: Sequence[Decimal], in_base: bool) -> list[Part] | None:
    """The parts one after the other; None when one is nothing or the book cannot fill it."""
    parts = []
    levels = book.asks if side is Side.BUY else book.bids
    for size in sizes:
        left = replace(book, asks=levels) if side is Side.BUY else replace(book, bids=levels)
        found = measure(book=left, side=side, **{"amount" if in_base else "quote_amount": size}) if size > 0 else None
        if found is None or found.expected_avg_price is None:
            return None
        parts.append(Part(size, found))
        levels = _without(levels, size if in_base else size / found.expected_avg_price)
    return parts


def _without(levels: Sequence[Level], amount: Decimal) -> tuple[Level, ...]:
    """What is left of one side after `amount` (base) was taken from its best end."""
    left = []
    for level in levels:
        taken = min(level.amount, amount)
        amount -= taken
        if level.amount > taken:
            left.append(Level(level.price, level.amount - taken))
    return tuple(left)


def _worth(part: Part, *, in_base: bool) -> Decimal:
    if not in_base:
        return part.size
    assert part.liquidity.expected_avg_price is not None  # a part that the book cannot fill is none
    return part.size * part.liquidity.expected_avg_price


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
