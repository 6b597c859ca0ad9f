"""How pages show modes, states, numbers and plans."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dgbot.base import badges, display
from trading import jobs, tones
from trading.models import BotStatus

register = template.Library()


@register.simple_tag
def mode_badge(bot: Any) -> SafeString:
    """LIVE, DEMO, PAPER, SIMULATED or REPLAY."""
    return badges.mode_badge(bot.mode, is_demo=bot.account.is_demo)


@register.simple_tag
def bot_state(bot: Any) -> SafeString:
    """What the bot does."""
    return badges.state_badge(tones.BOT[BotStatus(bot.status)], bot.get_status_display())


@register.simple_tag
def price(value: Decimal | None, currency: str) -> str:
    """With thousands separators."""
    return display.money(value, currency)


@register.simple_tag
def gain(value: Decimal | None, currency: str) -> SafeString:
    """Money with its sign, coloured."""
    return badges.profit(value, currency)


@register.simple_tag
def share(fraction: Decimal | None) -> str:
    """A fraction as percent."""
    return display.percent(fraction, places=0)


@register.simple_tag
def base_amount(value: Decimal | None) -> str:
    """Without trailing zeros."""
    return display.amount(value)


@register.simple_tag
def short_age(duration: timedelta) -> str:
    """In its largest unit."""
    return display.age(duration)


@register.simple_tag
def plan(task: Any) -> str:
    """A schedule in words."""
    return str(task.crontab.human_readable if task.crontab else task.interval or task.solar or task.clocked or "–")


@register.simple_tag
def next_run(task: Any) -> str:
    """How long until a schedule fires next."""
    return jobs.next_run_text(task)


@register.simple_tag
def last_result(run: Any) -> SafeString:
    """How the last run of a job ended, and how long it took."""
    if run is None:
        return badges.state_badge("quiet", _("none yet"))
    told = badges.state_badge("good" if run.is_ok else "bad", _("done") if run.is_ok else _("failed"))
    return format_html("{} <small>{} · {} ms</small>", told, badges.short(run.result), f"{run.duration_ms:,}")
