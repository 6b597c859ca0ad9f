"""What a bot and its account are worth right now, quote currency; None when it cannot be told."""

from decimal import Decimal

from dgbot.core.errors import ExchangeUnavailable
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
    """All balances in quote currency; None when one of them cannot be valued."""
    total: Decimal | None = None
    for balance in context.balances.values():
        amount = balance.free + balance.locked
        value = amount if balance.asset == context.rules.quote else _value(context, asset=balance.asset, amount=amount, price=price)
        if value is None:
            return None
        total = value + (total or Decimal(0))
    return total


def _value(context: Context, *, asset: str, amount: Decimal, price: Decimal | None) -> Decimal | None:
    if not amount:
        return Decimal(0)
    if asset == context.rules.base:
        return None if price is None else amount * price
    exchange = context.venue.exchange
    try:
        return amount * exchange.ticker(exchange.capabilities.symbol_of(asset, quote=context.rules.quote)).price
    except ExchangeUnavailable:
        return None
