"""How pages show modes, states, numbers and plans."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dgbot.base import badges, display
from trading import tones
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
    """How long until a schedule fires next; unknown before its first run where that decides."""
    if not task.crontab and task.last_run_at is None:
        return _("unknown")
    try:
        left = task.schedule.remaining_estimate(task.last_run_at or timezone.now())
    except Exception:  # a broken schedule must not take the first page away
        return _("unknown")
    return _("in %(age)s") % {"age": display.age(left)}
