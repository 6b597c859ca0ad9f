"""Which value rules, and where it comes from: switches combine by AND, caps by the smallest, preferences by
code < environment < bot_config < bot.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from dgbot.core.money import plain
from dgbot.core.types import Mode
from trading.domain.config import RISK_LEVELS, SETTINGS, Settings
from trading.models import Bot, ConfigVersion

CODE, ENVIRONMENT, CONFIG, BOT = "code", "environment", "bot_config", "bot"
BY_ENVIRONMENT = {"trading_interval_minutes": "SCHEDULER_INTERVAL_MINUTES"}  # first values that .env may name


@dataclass(frozen=True)
class Effective:
    """One value that rules, the place it comes from, and every voice that was heard."""

    name: str
    value: str
    origin: str
    voices: tuple[tuple[str, str], ...]  # origin, value


def of_settings() -> dict[str, str]:
    """The origin of each setting's value: code, environment, or bot_config since somebody changed it. One query."""
    newest = ConfigVersion.objects.order_by("key", "-pk").distinct("key").select_related("changed_by")
    found = {version.key: _origin(version) for version in newest}
    return {key: found.get(key, _("unknown: no version of it is recorded")) for key in SETTINGS}


def for_bot(bot: Bot, *, settings: Settings) -> list[Effective]:
    """What rules this bot now. `bot` with its account, risk profile and schedule."""
    return [_entries(bot, settings), most_per_entry(bot, settings), _profile(bot, settings), _period(bot)]


def _entries(bot: Bot, settings: Settings) -> Effective:
    voices = [
        (_("bot: wanted running"), bot.is_running),
        (_("bot: entries not paused"), not bot.is_paused),
        (_("bot_config: %(symbol)s in target_symbols") % {"symbol": bot.symbol}, bot.symbol in settings.target_symbols),
    ]
    if Mode(bot.mode).is_recorded:
        told = [(_("bot_config: bot_status"), _("ignored: it governs paper and live bots"))]
    else:
        voices.append((_("bot_config: bot_status"), settings.enabled))
        told = []
    closed = [name for name, is_on in voices if not is_on]
    heard = tuple((name, _("yes") if is_on else _("no")) for name, is_on in voices)
    return Effective(_("Entries"), _("blocked") if closed else _("allowed"), " · ".join(closed) or _("every switch is on"), (*heard, *told))


def most_per_entry(bot: Bot, settings: Settings) -> Effective:
    """The smallest of the caps that are known without asking the market, quote currency."""
    profile = bot.risk_profile
    voices: list[tuple[str, Decimal | None]] = [(_("bot: amount per trade"), bot.trade_amount)]
    if bot.account.quote_currency == "KRW":
        voices.append((_("bot_config: max_trade_amount_krw"), settings.max_trade_amount_krw))
    else:
        voices.append((_("bot_config: max_trade_amount_krw through the rate to KRW"), None))
    voices.append((_("bot: allocation"), bot.allocation))
    if profile is not None and bot.allocation is not None:
        voices.append((_("risk profile: largest position"), bot.allocation * profile.position_fraction))
    known = [(name, value) for name, value in voices if value is not None]
    origin, smallest = min(known, key=lambda voice: voice[1])
    heard = tuple((name, _("unknown") if value is None else plain(value)) for name, value in voices)
    return Effective(_("Most per entry (%(currency)s)") % {"currency": bot.account.quote_currency}, plain(smallest), origin, heard)


def _profile(bot: Bot, settings: Settings) -> Effective:
    named = RISK_LEVELS[settings.risk_level]
    by_config = (_("bot_config: risk_level %(level)s") % {"level": settings.risk_level}, named)
    by_code = (CODE, RISK_LEVELS["medium"])
    if bot.risk_profile is None:
        return Effective(_("Risk profile"), named, by_config[0], (by_code, by_config))
    return Effective(_("Risk profile"), bot.risk_profile.name, BOT, (by_code, by_config, (BOT, bot.risk_profile.name)))


def _period(bot: Bot) -> Effective:
    task = bot.schedule
    if task is None:
        return Effective(_("Schedule"), _("only by hand"), BOT, ())
    plan = task.crontab or task.interval or task.solar or task.clocked or "–"
    told = str(plan) if task.enabled else _("switched off: %(plan)s") % {"plan": plan}
    return Effective(_("Schedule"), told, _("schedule: %(name)s") % {"name": task.name}, ())


def _origin(version: Any) -> str:
    if version.before is not None:
        who = version.changed_by.get_username() if version.changed_by else _("the platform")
        return _("bot_config: changed by %(who)s, %(at)s UTC") % {"who": who, "at": f"{version.changed_at:%Y-%m-%d %H:%M}"}
    variable = BY_ENVIRONMENT.get(version.key)
    is_given = variable is not None and version.after != dict(SETTINGS[version.key].first)
    if is_given:
        return _("environment: %(name)s at the first start") % {"name": variable}
    return _("code: the first value")
