"""Stage 1, RiskCheck: may this bot open anything now, and must it leave what it holds?

With an open position only the freeze level of the kill switch ends the cycle; everything else blocks entries.
"""

from decimal import Decimal

from django.conf import settings as django_settings
from django.db import connection

from dgbot.core.errors import ExchangeUnavailable
from risk import selectors as risk_selectors
from risk import services as risk
from risk.domain.assess import EffectiveLimits, RiskUse, blocks
from risk.domain.exits import exit_due
from risk.domain.reasons import Reason
from risk.models import KillLevel, RiskState
from trading.domain.stages import Action, Outcome
from trading.models import Order, Position
from trading.services import switches
from trading.services.stages.context import Context

EARNED = "SELECT coalesce(sum(sold_total - bought_total - fees), 0) FROM positions WHERE bot_id = %s"


def check(context: Context) -> Outcome:
    """Observe equity, trip what must trip, and say how the cycle goes on."""
    price = _price(context)
    bot_state, account_state = _observe(context, price=price)
    level = risk_selectors.kill_level(
        bot_id=context.bot.pk,
        account_id=context.bot.account_id,
        user_id=context.bot.user_id,
        exchange=context.bot.account.exchange,
        symbol=context.bot.symbol,
    )
    data = _data(context, price=price, bot_state=bot_state, level=level)
    if level >= KillLevel.FREEZE:
        return Outcome(
            Action.STOP,
            (
                Reason(
                    "kill_switch",
                    "The kill switch forbids every order.",
                    value=str(level),
                    limit="3",
                    remedy="Lower it in the admin once its cause is gone.",
                ),
            ),
            data,
        )
    if context.position is not None:
        return _with_position(context, position=context.position, price=price, data=data)
    reasons = blocks(limits=_limits(context), use=_use(context, bot_state, account_state, level=level, price=price), now=context.now)
    return Outcome(Action.STOP if reasons else Action.CONTINUE, reasons, data)


def _with_position(context: Context, *, position: Position, price: Decimal | None, data: dict[str, object]) -> Outcome:
    if price is None:
        return Outcome(
            Action.CONTINUE, (Reason("price_unknown", f"The price of {context.bot.symbol} is unknown; stop and target wait for it."),), data
        )
    reason = exit_due(price=price, stop_price=position.stop_price, target_price=position.target_price)
    if reason is None:
        return Outcome(Action.CONTINUE, (), data)
    limit = position.stop_price if reason == "stop" else position.target_price
    message = f"The {reason} of position {position.pk} at {limit} is reached at {price}; it is sold now."
    return Outcome(Action.EXIT, (Reason(reason, message, value=str(price), limit=str(limit)),), {**data, "exit_reason": reason})


def _observe(context: Context, *, price: Decimal | None) -> list[RiskState]:
    bot, profile = context.bot, context.profile
    fractions = {"daily_fraction": profile.daily_loss_fraction, "weekly_fraction": profile.weekly_loss_fraction}
    return risk.observe(
        owner=risk.Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode),
        observations=[
            risk.Observation(
                bot_id=bot.pk, whose=f"Bot {bot.name}", equity=_bot_equity(context, price=price), limit_base=bot.allocation, **fractions
            ),
            risk.Observation(
                bot_id=None, whose=f"Account {bot.account.name}", equity=_account_equity(context, price=price), limit_base=None, **fractions
            ),
        ],
        now=context.now,
        zone=django_settings.RISK_TIMEZONE,
    )


def _bot_equity(context: Context, *, price: Decimal | None) -> Decimal | None:
    """Allocation plus all the bot has earned and lost, the open position at the last price."""
    if context.allocation is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(EARNED, [context.bot.pk])
        (earned,) = cursor.fetchone()
    held = context.position.amount if context.position else Decimal(0)
    if held and price is None:
        return None
    return context.allocation + earned + held * (price or Decimal(0))


def _account_equity(context: Context, *, price: Decimal | None) -> Decimal | None:
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
    try:
        return amount * context.venue.exchange.ticker(f"{context.rules.quote}-{asset}").price
    except ExchangeUnavailable:
        return None


def _use(context: Context, bot_state: RiskState, account_state: RiskState, *, level: int, price: Decimal | None) -> RiskUse:
    unknown = []
    if price is None:
        unknown.append(f"the price of {context.bot.symbol} is unknown")
    if context.allocation is None:
        unknown.append("the allocation is unknown until the exchange has told the account's cash")
    if account_state.equity is None:
        unknown.append("the account's equity is unknown")
    states = (("bot", bot_state), ("account", account_state))
    return RiskUse(
        entries_today=bot_state.daily_trade_count,
        last_entry_at=bot_state.last_trade_time,
        kill_level=level,
        safe_mode_reasons=tuple(f"{whose}: {state.safe_mode_reason}" for whose, state in states if state.safe_mode),
        unknown=tuple(unknown),
        unproven_orders=Order.objects.unsettled().filter(bot=context.bot).count(),
        switched_off=switches.blocking(context.bot, settings=context.settings),
    )


def _limits(context: Context) -> EffectiveLimits:
    return EffectiveLimits(spacing=context.profile.spacing, entries_per_day=context.profile.entries_per_day)


def _price(context: Context) -> Decimal | None:
    try:
        return context.venue.exchange.ticker(context.bot.symbol).price
    except ExchangeUnavailable:
        return None


def _data(context: Context, *, price: Decimal | None, bot_state: RiskState, level: int) -> dict[str, object]:
    return {
        "price": None if price is None else str(price),
        "known_at": context.now.isoformat(),
        "equity": None if bot_state.equity is None else str(bot_state.equity),
        "daily_pnl": None if bot_state.daily_pnl is None else str(bot_state.daily_pnl),
        "weekly_pnl": None if bot_state.weekly_pnl is None else str(bot_state.weekly_pnl),
        "entries_today": bot_state.daily_trade_count,
        "kill_level": level,
        "risk_profile": context.profile.name,
        "position": None if context.position is None else context.position.pk,
    }
