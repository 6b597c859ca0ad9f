"""What the ledger and the trades add up to: holdings, and profit by bot and account over a period. All of it computed, none stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum

from trading.domain.ledger import Book, Realised, assets_of
from trading.models import LedgerEntry, PortfolioSnapshot, Position, Trade


@dataclass
class Summary:
    """Profit of one bot, or of what no bot did in an account (bot_id None), over a period; quote currency where not said otherwise.

    realised: of sales in the period, at the mean cost of what was sold, without fees. unrealised: of what is open now; None while
    a price is missing. fees, funding: by the currency they were paid in; funding is negative where it was paid.
    """

    account_id: int
    bot_id: int | None
    realised: Decimal = Decimal(0)
    unrealised: Decimal | None = Decimal(0)
    fees: dict[str, Decimal] = field(default_factory=dict)
    funding: dict[str, Decimal] = field(default_factory=dict)
    sales: int = 0

    def net(self, quote: str) -> Decimal:
        """Realised profit after fees and funding that were paid in `quote`."""
        return self.realised - self.fees.get(quote, Decimal(0)) + self.funding.get(quote, Decimal(0))


def holdings(*, account_id: int) -> dict[str, Decimal]:
    """What the ledger says an account holds, by asset; zeros are left out."""
    held = LedgerEntry.objects.filter(account_id=account_id, book=Book.HELD).values_list("asset").annotate(Sum("amount"))
    return {asset: amount for asset, amount in held.order_by("asset") if amount}


def summaries(
    *,
    accounts: QuerySet[Any] | list[int],
    start: datetime | None = None,
    end: datetime | None = None,
    prices: Mapping[str, Decimal] | None = None,
) -> list[Summary]:
    """One line for each bot and account with anything in [start, end) (market time; None: open), in their order.

    prices: by symbol, for what is open; without a symbol's price its unrealised profit is unknown.
    """
    found: dict[tuple[int, int | None], Summary] = {}

    def of(account_id: int, bot_id: int | None) -> Summary:
        return found.setdefault((account_id, bot_id), Summary(account_id, bot_id))

    within = _within(start, end)
    _add_realised(of, accounts=accounts, within=within, start=start, end=end)
    paid = LedgerEntry.objects.filter(within, account__in=accounts, book__in=[Book.FEES, Book.FUNDING])
    for account_id, bot_id, book, asset, amount in (
        paid.values_list("account_id", "bot_id", "book", "asset").annotate(Sum("amount")).order_by("account_id", "bot_id", "asset")
    ):
        if book == Book.FEES:
            of(account_id, bot_id).fees[asset] = amount
        else:
            of(account_id, bot_id).funding[asset] = -amount  # what another book got, the account gave
    for position in Position.objects.open().filter(account__in=accounts, amount__gt=0):
        _add_unrealised(of(position.account_id, position.bot_id), position, price=(prices or {}).get(position.symbol))
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0))]


def last_prices(*, account_id: int) -> dict[str, Decimal]:
    """Prices by symbol as an account was last valued, quote currency. A symbol without a known price is left out."""
    newest = PortfolioSnapshot.objects.filter(account_id=account_id).order_by("-created_at").first()
    held = {} if newest is None else newest.positions
    return {
        symbol: Decimal(one["value_krw"]) / Decimal(one["amount"])
        for symbol, one in held.items()
        if one.get("value_krw") is not None and Decimal(one["amount"])
    }


def _add_realised(of: Any, *, accounts: Any, within: Q, start: datetime | None, end: datetime | None) -> None:
    """Walk the positions that sold something in the period from their first fill on."""
    sold = Trade.objects.filter(within, account__in=accounts, side="sell").exclude(position=None).values("position_id")
    # Exchanges tell whole seconds: what was bought in a second can be sold in it, never the other way round.
    trades = Trade.objects.filter(position_id__in=sold).order_by("position_id", "created_at", "side", "pk")
    stay = Realised()
    position_id: int | None = None
    for trade in trades:
        if trade.position_id != position_id:
            stay, position_id = Realised(), trade.position_id
        base, quote = assets_of(trade.symbol)
        before, stay = stay, stay.plus(trade, base=base, quote=quote)
        is_within = (start is None or trade.created_at >= start) and (end is None or trade.created_at < end)
        if is_within and trade.side == "sell":
            line = of(trade.account_id, trade.bot_id)
            line.realised += stay.profit - before.profit
            line.sales += 1


def _add_unrealised(line: Summary, position: Position, *, price: Decimal | None) -> None:
    entry_price = position.entry_price
    if price is None or entry_price is None:
        line.unrealised = None
    elif line.unrealised is not None:
        line.unrealised += (price - entry_price) * position.amount


def _within(start: datetime | None, end: datetime | None) -> Q:
    condition = Q()
    if start is not None:
        condition &= Q(created_at__gte=start)
    return condition & Q(created_at__lt=end) if end is not None else condition
