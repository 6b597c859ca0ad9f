"""Portfolio snapshots: what an account was worth, or why that could not be told."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Sum

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.money import plain
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, ExchangeAccount, PortfolioSnapshot, Position
from trading.signals import snapshot_taken

CENT = Decimal("0.01")
DOLLAR = "USDT"  # what a dollar is worth in KRW is read from it: the one dollar that is traded for KRW all day
NO_RATE = "the KRW–USD rate is not known"


def take(*, account: ExchangeAccount, venue: Venue, now: datetime) -> PortfolioSnapshot:
    """Value the account's balances at the last prices. Taken twice for one instant it stays as it was."""
    balances = list(AccountBalance.objects.filter(account=account).order_by("asset"))
    rate = None if venue.rates is None else venue.rates.krw_per(DOLLAR)
    holdings, value, cause = _valued(balances, account=account, venue=venue, rate=rate)
    in_krw, in_usd = _in_both(value, currency=account.quote_currency, rate=rate)
    snapshot = PortfolioSnapshot(
        account=account,
        user_id=account.user_id,
        mode=account.mode,
        total_value_krw=in_krw,
        total_value_usd=in_usd,
        positions=holdings,
        cause="; ".join(part for part in (cause, "" if rate else NO_RATE) if part),
        created_at=now,
    )
    return _store(snapshot)


def take_unknown(*, account: ExchangeAccount, cause: str, now: datetime) -> PortfolioSnapshot:
    """Record that an account could not be valued, and why. now: machine time, since there is no venue to tell market time."""
    return _store(PortfolioSnapshot(account=account, user_id=account.user_id, mode=account.mode, positions={}, cause=cause, created_at=now))


def _store(snapshot: PortfolioSnapshot) -> PortfolioSnapshot:
    try:
        with transaction.atomic():
            snapshot.save(force_insert=True)
            transaction.on_commit(lambda: snapshot_taken.send_robust(sender=PortfolioSnapshot, pk=snapshot.pk))
    except IntegrityError as error:
        if "snapshot_once_per_instant" not in str(error):
            raise
        return PortfolioSnapshot.objects.get(account=snapshot.account, created_at=snapshot.created_at)
    return snapshot


def _in_both(value: Decimal | None, *, currency: str, rate: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """A value in KRW and in USD. rate: KRW for one dollar; None is unknown."""
    if currency == "KRW":
        return value, None if value is None or rate is None else (value / rate).quantize(CENT)
    return None if value is None or rate is None else (value * rate).quantize(CENT), value


def _valued(
    balances: list[AccountBalance], *, account: ExchangeAccount, venue: Venue, rate: Decimal | None
) -> tuple[dict[str, Any], Decimal | None, str]:
    if not balances:
        return {}, None, "the exchange has not told the balances yet"
    quote = account.quote_currency
    krw = Decimal(1) if quote == "KRW" else rate
    holdings: dict[str, Any] = {}
    total: Decimal | None = Decimal(0)
    unknown = []
    for balance in balances:
        amount = balance.free + balance.locked
        if balance.asset == quote:
            holdings[quote] = {"amount": plain(amount)}
            total = None if total is None else total + amount
            continue
        if not amount:
            continue
        symbol = venue.exchange.capabilities.symbol_of(balance.asset, quote=quote)
        price = _price(symbol, venue=venue)
        total = None if total is None or price is None else total + amount * price
        if price is None:
            unknown.append(f"the price of {symbol} is not known")
        holdings[symbol] = _holding(amount, price=price, krw=krw, entry_price=_entry_price(account, symbol=symbol))
    return holdings, None if total is None else total.quantize(CENT), "; ".join(unknown)


def _entry_price(account: ExchangeAccount, *, symbol: str) -> Decimal | None:
    """Mean price of what is held in a symbol, over all bots of the account; None when no bot of ours bought it."""
    held = Position.objects.open().filter(account=account, symbol=symbol)
    sums = held.aggregate(total=Sum("bought_total"), amount=Sum("bought_amount"))
    return sums["total"] / sums["amount"] if sums["amount"] else None


def _holding(amount: Decimal, *, price: Decimal | None, krw: Decimal | None, entry_price: Decimal | None) -> dict[str, str | None]:
    """krw: KRW for one unit of the price's currency."""
    rate = None if price is None or not entry_price else (price / entry_price - 1) * 100
    return {
        "amount": plain(amount),
        "value_krw": None if price is None or krw is None else plain((amount * price * krw).quantize(CENT)),
        "profit_rate": None if rate is None else plain(rate.quantize(Decimal("0.0001"))),
    }


def _price(symbol: str, *, venue: Venue) -> Decimal | None:
    try:
        return venue.exchange.ticker(symbol).price
    except ExchangeUnavailable:
        return None  # told as unknown, with its cause, by the caller
