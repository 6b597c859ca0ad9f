"""The last look at an entry before it is claimed: the tighter of the limits it was planned under and those in force now."""

from risk import services as risk
from risk.domain import exposure, limits
from risk.domain.limits import EffectiveLimits
from risk.models import Reservation, RiskState
from trading.models import Order
from trading.selectors import at_stake
from trading.selectors.limits import effective, profile_of
from trading.services import config


def refusal(order: Order) -> str:
    """Every limit this planned entry would pass, in one text; empty when it may leave. Holds the account until the claim commits.

    Source: order-path §2.4, T1 and §2.7. Its own reservation is counted, as are all others.
    """
    risk.hold_account(order.account_id)
    bot = order.bot
    now = effective(bot, profile=bot.risk_profile or profile_of(bot, settings=config.current()))
    held = limits.tighter(limits.from_row(order.plan.get("limits") or {}), now)
    money = at_stake.read(account_id=order.account_id, quote=order.account.quote_currency, symbol=order.symbol)
    bounds = exposure.bounds(limits=held, at_stake=money.at_stake, symbol=order.symbol, group=money.group)
    found = [reason.message.rstrip(".") for reason in exposure.exceeded(bounds)]
    found += _too_large(order, held=held)
    found += [f"safe mode: {text}" for text in _safe_modes(order)]
    return "; ".join(found)


def _too_large(order: Order, *, held: EffectiveLimits) -> list[str]:
    """Why it would be a larger position than its bot may have. An order sized in base counts as what is reserved for it."""
    if held.position_fraction is None:
        return []
    if order.bot.allocation is None:
        return ["the allocation of its bot is unknown, so its largest position is"]
    spends = Reservation.objects.get(order=order).notional if order.quote_amount is None else order.quote_amount
    most = order.bot.allocation * held.position_fraction
    return [f"{spends:f} is over the largest position of {most:f}"] if spends > most else []


def _safe_modes(order: Order) -> list[str]:
    """Why its bot or account went into safe mode since it was planned."""
    scopes = RiskState.objects.filter(account_id=order.account_id, bot=None) | RiskState.objects.filter(bot_id=order.bot_id)
    newest = scopes.order_by("bot_id", "-trading_day").distinct("bot_id").values_list("safe_mode", "safe_mode_reason")
    return [reason for is_safe, reason in newest if is_safe]
