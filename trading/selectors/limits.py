"""The limits in force for a bot, with whose each is, and how much of them is used."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from dgbot.core.types import Mode
from risk.domain import exposure, limits
from risk.domain.breakers import Mark
from risk.domain.limits import NAMES, EffectiveLimits
from risk.domain.usage import Gap, Usage, Used, usage
from risk.models import AccountLimits, BotLimits, RiskProfile, RiskState
from risk.selectors import recent_states
from risk.services import losses_of
from trading.domain.config import RISK_LEVELS, Settings
from trading.domain.margin import Terms
from trading.models import Bot, MarginSetting, Position
from trading.selectors import at_stake

OWNERS_OF_LIMITS = ("risk_profile", "limits", "account", "account__limits")  # select_related: all limits of a bot in its own statement


def profile_of(bot: Bot, *, settings: Settings) -> RiskProfile:
    """The bot's own profile, or the one `risk_level` names. Raises LookupError when that is missing."""
    return bot.risk_profile or profile_named_by(settings)


def profile_named_by(settings: Settings) -> RiskProfile:
    """The profile of every bot without its own. Raises LookupError when it is missing."""
    name = RISK_LEVELS[settings.risk_level]
    profile = RiskProfile.objects.filter(user=None, name=name).first()
    if profile is None:
        raise LookupError(f"the risk profile {name!r} is missing; run `manage.py prepare`")
    return profile


def effective(bot: Bot, *, profile: RiskProfile) -> EffectiveLimits:
    """The account's hard limits over the bot's own over the profile's."""
    own: BotLimits | None = getattr(bot, "limits", None)
    hard: AccountLimits | None = getattr(bot.account, "limits", None)
    return limits.resolve(
        profile={name: getattr(profile, name) for name in NAMES},
        bot={} if own is None else own.as_values(),
        account={} if hard is None else hard.as_values(),
        profile_name=profile.name,
    )


def of_account(bot: Bot, *, profile: RiskProfile) -> EffectiveLimits:
    """What the whole account is held to when `bot` looks at it: its hard limits, and its bot's profile where they are tighter."""
    hard: AccountLimits | None = getattr(bot.account, "limits", None)
    values = {name: getattr(profile, name) for name in NAMES}
    return limits.resolve(profile=values, bot={}, account={} if hard is None else hard.as_values(), profile_name=profile.name)


def governed(row: RiskProfile | AccountLimits | BotLimits) -> QuerySet[Bot]:
    """Bots whose trading hangs on this row. A shared profile may be chosen by `risk_level`, so it governs those without their own."""
    if isinstance(row, AccountLimits):
        return Bot.objects.filter(account_id=row.account_id)
    if isinstance(row, BotLimits):
        return Bot.objects.filter(pk=row.bot_id)
    found = Bot.objects.filter(risk_profile=row)
    return found | Bot.objects.filter(risk_profile=None) if row.user_id is None and row.name in RISK_LEVELS.values() else found


def governs_live(row: RiskProfile | AccountLimits | BotLimits) -> bool:
    """Whether real money hangs on this row."""
    return governed(row).filter(mode=Mode.LIVE.value, account__is_demo=False).exists()


def usage_of(bot_pk: int, *, settings: Settings, now: datetime) -> tuple[Usage, ...]:
    """Each limit of a bot with how much of it is used; unknown stays unknown. now: market time."""
    bot = Bot.objects.select_related(*OWNERS_OF_LIMITS).get(pk=bot_pk)
    profile = profile_of(bot, settings=settings)
    held = effective(bot, profile=profile)
    (recent,) = recent_states([(bot.account_id, bot.pk)]).values()
    state = recent[0] if recent else None
    position = Position.objects.open().filter(bot=bot).first()
    price = None if position is None else position.entry_price
    is_margin = MarginSetting.objects.filter(account_id=bot.account_id).exists()
    money = at_stake.read(account_id=bot.account_id, quote=bot.account.quote_currency, symbol=bot.symbol, is_margin=is_margin)
    used = Used(
        losses=None if state is None or state.equity is None else losses_of(state, mark=Mark(state.equity, state.capital), recent=recent),
        allocation=bot.allocation,
        entries_today=0 if state is None else state.daily_trade_count,
        last_entry_at=None if state is None else state.last_trade_time,
        position=Decimal(0) if position is None or price is None else position.amount * price,
        gap=None if position is None else _gap(position, needed=profile.liquidation_gap_fraction),
    )
    bounds = exposure.bounds(limits=held, at_stake=money.at_stake, symbol=bot.symbol, group=money.group)
    return usage(limits=held, used=used, bounds=bounds, now=now)


def nearest(bots: Sequence[Bot], *, settings: Settings) -> dict[int, Usage]:
    """Of each bot the limit of its own that is used most, unknown ones left out; at a fixed number of queries for all of them.

    bots: with OWNERS_OF_LIMITS. What is at stake in a whole account and the time between entries are on the bot's page.
    """
    states = recent_states([(bot.account_id, bot.pk) for bot in bots])
    costs = {held.bot_id: held.amount * (held.entry_price or Decimal(0)) for held in Position.objects.open().filter(bot__in=bots)}
    named = profile_named_by(settings) if any(bot.risk_profile is None for bot in bots) else None
    found = {}
    for bot in bots:
        profile = bot.risk_profile or named
        recent = states[bot.account_id, bot.pk]
        if profile is None or not recent:
            continue
        used = _used_alone(bot, recent, cost=costs.get(bot.pk, Decimal(0)))
        told = [
            one for one in usage(limits=effective(bot, profile=profile), used=used, bounds=(), now=recent[0].updated_at) if one.fraction
        ]
        if told:
            found[bot.pk] = max(told, key=lambda one: one.fraction or Decimal(0))
    return found


def _used_alone(bot: Bot, recent: list[RiskState], *, cost: Decimal) -> Used:
    state = recent[0]
    known = state.equity is not None
    return Used(
        losses=losses_of(state, mark=Mark(state.equity, state.capital), recent=recent) if known else None,  # type: ignore[arg-type]
        allocation=bot.allocation,
        entries_today=state.daily_trade_count,
        last_entry_at=None,
        position=cost,
    )


def _gap(position: Position, *, needed: Decimal) -> Gap | None:
    """How far liquidation lies beyond the stop of today; None for a position that is not on margin."""
    if position.plan.get("margin") is None:
        return None
    setting = MarginSetting.objects.filter(account_id=position.account_id, symbol=position.symbol).first()
    stop = position.current_stop
    if setting is None or setting.leverage is None or stop is None:
        return Gap(needed=needed, there=None)
    terms = Terms.from_row(position.plan["margin"])
    beyond = stop - terms.liquidation(leverage=setting.leverage)
    return Gap(needed=needed, there=beyond / terms.entry)
