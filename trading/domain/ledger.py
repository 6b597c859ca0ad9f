"""Double entry: what an account holds changes by a leg only when another book gives or takes the same. Pure sums over fills.

    a buy of 2 BTC at 100 KRW, fee 1 KRW:  held BTC +2 · market BTC −2 · held KRW −200 · market KRW +200 · held KRW −1 · fees KRW +1

A perpetual is booked like a coin: its quote leg is the money it would have cost. The wallet of a margin account is therefore
this sum plus what its open contracts cost (`reconcile.told_holdings`), whoever of several bots opened them. docs/decisions/0029.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Protocol

from dgbot.core.money import EXACT, SMALLEST_STEP, round_down
from dgbot.core.types import Side


class Source(StrEnum):
    """What a group of legs records."""

    TRADE = "trade"  # a fill of an order of ours
    EXTERNAL = "external"  # a fill of somebody else's order in the same account
    LIQUIDATION = "liquidation"  # a fill the exchange forced
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FUNDING = "funding"
    OTHER = "other"  # a payment the exchange names in a word of its own
    ADJUSTMENT = "adjustment"  # an operator's entry, with the reason
    OPENING = "opening"  # what was there when the account was first read


class Book(StrEnum):
    """Where a leg lies. `held` is what the account has; the others say against whom it moved."""

    HELD = "held"
    MARKET = "market"
    FEES = "fees"
    FUNDING = "funding"
    OUTSIDE = "outside"  # deposits, withdrawals, the opening balance
    ADJUSTMENTS = "adjustments"


COUNTER = {
    Source.DEPOSIT: Book.OUTSIDE,
    Source.WITHDRAWAL: Book.OUTSIDE,
    Source.OPENING: Book.OUTSIDE,
    Source.FUNDING: Book.FUNDING,
    Source.OTHER: Book.ADJUSTMENTS,
    Source.ADJUSTMENT: Book.ADJUSTMENTS,
}


@dataclass(frozen=True)
class Leg:
    """One line of a group: `amount` of `asset` came into `book`, or left it where it is negative."""

    book: Book
    asset: str
    amount: Decimal


class Fill(Protocol):
    """One execution: a trade of ours or the exchange's word of it. fee in fee_currency."""

    @property
    def side(self) -> str: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def fee(self) -> Decimal: ...
    @property
    def fee_currency(self) -> str: ...


@dataclass(frozen=True)
class Sums:
    """What fills add up to. amounts: base currency; totals and fees: quote currency, totals without fees."""

    amount: Decimal = Decimal(0)
    bought_amount: Decimal = Decimal(0)
    bought_total: Decimal = Decimal(0)
    sold_total: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    def plus(self, fill: Fill, *, base: str, quote: str) -> "Sums":
        """With one more fill of the market of `base` in `quote`.

        A fee in base is bought (or sold) at the fill's price and paid at once: what is held is without it, the fee in quote is
        its worth. A fee in a third currency is in no sum here; the ledger has it in its own.
        """
        with localcontext(EXACT):
            in_base = fill.fee if fill.fee_currency == base else Decimal(0)
            worth = round_down(in_base * fill.price, step=SMALLEST_STEP)
            fees = self.fees + worth + (fill.fee if fill.fee_currency == quote else 0)
            total = fill.price * fill.amount
            if fill.side == Side.BUY:
                got = fill.amount - in_base
                return Sums(self.amount + got, self.bought_amount + got, self.bought_total + total - worth, self.sold_total, fees)
            gone = fill.amount + in_base
            return Sums(self.amount - gone, self.bought_amount, self.bought_total, self.sold_total + total + worth, fees)


@dataclass(frozen=True)
class Realised:
    """Profit taken by sales so far at the running mean cost of what was sold, quote currency, without fees.

    cost: of what is still held, quote currency. The last sale takes all that is left, so a closed stay is exact.
    """

    held: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    profit: Decimal = Decimal(0)

    def plus(self, fill: Fill, *, base: str, quote: str) -> "Realised":
        """With one more fill."""
        one = Sums().plus(fill, base=base, quote=quote)
        with localcontext(EXACT):
            if fill.side == Side.BUY:
                return Realised(self.held + one.amount, self.cost + one.bought_total, self.profit)
            sold = -one.amount
            cost = self.cost if sold >= self.held else round_down(self.cost * sold / self.held, step=SMALLEST_STEP)
            return Realised(max(Decimal(0), self.held - sold), self.cost - cost, self.profit + one.sold_total - cost)


def of_fill(fill: Fill, *, base: str, quote: str) -> tuple[Leg, ...]:
    """The legs of one fill: base, quote and, if there is one, the fee in whatever currency it was paid."""
    sign = 1 if fill.side == Side.BUY else -1
    return (
        *moved(base, sign * fill.amount, against=Book.MARKET),
        *moved(quote, EXACT.multiply(-sign * fill.price, fill.amount), against=Book.MARKET),
        *moved(fill.fee_currency, -fill.fee, against=Book.FEES),
    )


def moved(asset: str, amount: Decimal, *, against: Book) -> tuple[Leg, ...]:
    """`amount` of `asset` came to the account from another book, or went there where it is negative; nothing for zero."""
    return (Leg(Book.HELD, asset, amount), Leg(against, asset, -amount)) if amount else ()


def sums_of(fills: Iterable[Fill], *, base: str, quote: str) -> Sums:
    """What fills add up to, whatever their order."""
    sums = Sums()
    for fill in fills:
        sums = sums.plus(fill, base=base, quote=quote)
    return sums


def assets_of(symbol: str) -> tuple[str, str]:
    """(base, quote) of a symbol: `KRW-BTC` is Upbit's way, `ETH/USDT:USDT` Bitget's. Raises ValueError for another form."""
    if "/" in symbol:
        base, _slash, rest = symbol.partition("/")
        quote = rest.partition(":")[0]
    else:
        quote, _dash, base = symbol.partition("-")
    if not base or not quote:
        raise ValueError(f"{symbol!r} names no base and quote currency")
    return base, quote
