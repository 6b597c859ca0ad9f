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

SPARK_POINTS = 120

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
def account_badge(account: Any) -> SafeString:
    """LIVE, DEMO, PAPER, SIMULATED or REPLAY."""
    return badges.mode_badge(account.mode, is_demo=account.is_demo)


@register.simple_tag
def worth(account: Any) -> SafeString | str:
    """The newest point of an account's equity curve, or why it is unknown."""
    newest = next(iter(account.points), None)
    if newest is None:
        return _("not valued yet")
    if newest["value"] is None:
        return format_html('<span title="{}">{}</span>', newest["cause"], _("unknown"))
    value = Decimal(newest["value"])
    return format_html('<span title="{}">{} KRW</span>', display.korean_units(value), display.money(value))


@register.simple_tag
def made(profit: Any, account: Any) -> SafeString:
    """Signed and coloured, in the account's currency."""
    return badges.profit(profit if isinstance(profit, Decimal) else None, account.quote_currency)


@register.simple_tag
def sparkline(account: Any) -> SafeString | str:
    """An account's equity curve as a line, oldest point left; unknown points are left out."""
    values = [float(point["value"]) for point in reversed(account.points) if point["value"] is not None][-SPARK_POINTS:]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step, height = 120 / (len(values) - 1), high - low or 1.0
    dots = " ".join(f"{step * place:.1f},{26 - 24 * (value - low) / height:.1f}" for place, value in enumerate(values))
    return format_html(
        '<svg class="dg-spark" viewBox="0 0 120 28" role="img" aria-label="{}"><polyline points="{}"/></svg>', _("Equity"), dots
    )


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
