"""Each limit of a bot with how much of it is used, as bars."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dgbot.base.display import age, money, percent
from dgbot.core.errors import DgbotError
from risk.domain.usage import Unit, Usage
from trading.limit_words import NAMES
from trading.models import Bot
from trading.selectors.limits import usage_of
from trading.services.bots import market_now
from trading.services.config import current

ROW = (
    '<tr><td class="pr-4">{}</td><td class="pr-4 tabular-nums">{} / {}</td>'
    '<td><progress class="dg-bar" max="1" value="{}" aria-label="{}"></progress> {}</td><td class="pl-4"><small>{}</small></td></tr>'
)
NEAR = Decimal("0.8")


def limit_bars(bot: Bot) -> SafeString | str:
    """A table with one bar for each limit; what is unknown says so."""
    try:
        told = usage_of(bot.pk, settings=current(), now=market_now(bot))
    except (DgbotError, LookupError) as error:
        return str(_("unknown: %(why)s") % {"why": error})
    return format_html("<table>{}</table>", format_html_join("", ROW, (_row(usage, bot.account.quote_currency) for usage in told)))


def _row(usage: Usage, currency: str) -> tuple[Any, ...]:
    name, share = NAMES[usage.code], usage.fraction
    value, limit = _shown(usage.value, usage, currency), _shown(usage.limit, usage, currency)
    word = _("unknown") if share is None else _("used up") if share >= 1 else _("nearly used up") if share >= NEAR else ""
    return (name, value, limit, "" if share is None else f"{min(share, Decimal(1)):.4f}", name, word, usage.origin)


def _shown(value: Decimal | None, usage: Usage, currency: str) -> str:
    if value is None:
        return "—"
    if usage.unit is Unit.FRACTION:
        return percent(value)
    if usage.unit is Unit.MONEY:
        return money(value, currency)
    return age(timedelta(seconds=int(value))) if usage.unit is Unit.SECONDS else f"{value:f}"
