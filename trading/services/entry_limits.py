"""The last look at an entry before it is claimed: the tighter of the limits it was planned under and those in force now."""

from decimal import Decimal

from dgbot.core.money import plain
from risk import services as risk
from risk.domain import exposure, limits
from risk.domain.limits import EffectiveLimits
from risk.models import Reservation, RiskState
from trading.domain.margin import Terms
from trading.models import Order
from trading.selectors import at_stake
from trading.selectors.limits import effective, profile_of
from trading.services import config, margins


def refusal(order: Order) -> str:
    """Every limit this planned entry would pass, in one text; empty when it may leave. Holds the account until the claim commits.

    Source: order-path §2.4, T1 and §2.7. Its own reservation is counted, as are all others.
    """
    risk.hold_account(order.account_id)
    profile = profile_of(order.bot, settings=config.current())
    now = effective(order.bot, profile=profile)
    held = limits.tighter(limits.from_row(order.plan.get("limits") or {}), now)
    is_margin = order.plan.get("margin") is not None
    money = at_stake.read(account_id=order.account_id, quote=order.account.quote_currency, symbol=order.symbol, is_margin=is_margin)
    bounds = exposure.bounds(limits=held, at_stake=money.at_stake, symbol=order.symbol, group=money.group)
    found = [reason.message.rstrip(".") for reason in exposure.exceeded(bounds)]
    found += _too_large(order, held=held)
    found += _unsafe_margin(order, held=held, gap_fraction=profile.liquidation_gap_fraction) if is_margin else []
    found += [f"safe mode: {text}" for text in _safe_modes(order)]
    return "; ".join(found)


def _too_large(order: Order, *, held: EffectiveLimits) -> list[str]:
    """Why it would be a larger position than its bot may have."""
    if held.position_fraction is None:
        return []
    if order.bot.allocation is None:
        return ["the allocation of its bot is unknown, so its largest position is"]
    most, spent = order.bot.allocation * held.position_fraction, spends(order)
    return [f"{plain(spent)} is over the largest position of {plain(most)}"] if spent > most else []


def _unsafe_margin(order: Order, *, held: EffectiveLimits, gap_fraction: Decimal) -> list[str]:
    """Why the leverage forbids it: not confirmed, over the limit, or with its liquidation before its stop."""
    leverage = margins.confirmed(order.account_id, order.symbol)
    reasons = exposure.unfit_leverage(confirmed=leverage, limit=held.leverage_limit)
    if leverage is not None:
        reasons += Terms.from_row(order.plan["margin"]).unsafe(leverage=leverage, gap_fraction=gap_fraction)
    return [reason.message.rstrip(".") for reason in reasons]


def spends(order: Order) -> Decimal:
    """Quote currency an entry spends without its fee. One that is sized in base counts at the price it was planned at."""
    if order.quote_amount is not None:
        return order.quote_amount
    terms = order.plan.get("margin")
    if order.amount is None or terms is None:
        return Reservation.objects.get(order=order).notional  # all that is held for it, its fee included: never too little
    return order.amount * Terms.from_row(terms).entry


def _safe_modes(order: Order) -> list[str]:
    """Why its bot or account went into safe mode since it was planned."""
    scopes = RiskState.objects.filter(account_id=order.account_id, bot=None) | RiskState.objects.filter(bot_id=order.bot_id)
    newest = scopes.order_by("bot_id", "-trading_day").distinct("bot_id").values_list("safe_mode", "safe_mode_reason")
    return [reason for is_safe, reason in newest if is_safe]
