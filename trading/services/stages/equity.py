"""What a bot and its account are worth right now, quote currency; None when it cannot be told."""

from decimal import Decimal

from dgbot.core.errors import ExchangeUnavailable
from trading.models import Position
from trading.services.stages.context import Context


def bot_equity(context: Context, *, price: Decimal | None) -> Decimal | None:
    """Allocation plus all the bot has earned and lost, the open position at the last price."""
    if context.allocation is None:
        return None
    earned = context.readings.earned.get(context.bot.pk, Decimal(0))
    if context.position is None or not context.position.amount:
        return context.allocation + earned
    return None if price is None else context.allocation + earned + context.position.amount * price


def account_equity(context: Context, *, price: Decimal | None) -> Decimal | None:
    """All balances in quote currency, on margin with the profit of open positions; None when something cannot be valued."""
    total: Decimal | None = None
    for balance in context.balances.values():
        amount = balance.free + balance.locked
        value = amount if balance.asset == context.rules.quote else _value(context, asset=balance.asset, amount=amount, price=price)
        if value is None:
            return None
        total = value if total is None else total + value
    if total is None or not context.venue.exchange.capabilities.leverage:
        return total
    profit = _unrealised(context, price=price)
    return None if profit is None else total + profit


def _unrealised(context: Context, *, price: Decimal | None) -> Decimal | None:
    """Profit of all open positions of the account, which no balance on margin holds."""
    total = Decimal(0)
    for position in Position.objects.open().filter(account_id=context.bot.account_id):
        now = price if position.symbol == context.bot.symbol else _price(context, position.symbol)
        if now is None or position.entry_price is None:
            return None
        total += position.amount * (now - position.entry_price)
    return total


def _value(context: Context, *, asset: str, amount: Decimal, price: Decimal | None) -> Decimal | None:
    if not amount:
        return Decimal(0)
    if asset == context.rules.base:
        return None if price is None else amount * price
    known = _price(context, context.venue.exchange.capabilities.symbol_of(asset, quote=context.rules.quote))
    return None if known is None else amount * known


def _price(context: Context, symbol: str) -> Decimal | None:
    try:
        return context.venue.exchange.ticker(symbol).price
    except ExchangeUnavailable:
        return None
