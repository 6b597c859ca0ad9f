"""Settings as people say and change them: each key with its input, and its values in words. The stored form stays that of the domain."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from dgbot.base.display import amount
from dgbot.core.errors import BadInput
from dgbot.core.money import parse_decimal, plain
from trading.domain.config import PERIODS, RISK_LEVELS, SETTINGS
from trading.models import Bot

LEVELS = {"low": gettext_lazy("low"), "medium": gettext_lazy("medium"), "high": gettext_lazy("high")}


def period(minutes: int) -> str:
    """A period in its largest whole unit."""
    if minutes % 60:
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    return ngettext("%(count)d hour", "%(count)d hours", minutes // 60) % {"count": minutes // 60}


def said(key: str, value: Any) -> str:
    """A stored value in words; one that is not of its key's form as it is stored, so that nothing is hidden."""
    if value is None:
        return _("none: the first value")
    try:
        (inner,) = value.values()
        return _SAID[key](inner)
    except (KeyError, ValueError, TypeError, AttributeError):
        return str(value)


def _switch(is_on: Any) -> str:
    return _("on: entries are allowed") if is_on else _("off: paper and live bots open nothing")


def _level(level: str) -> str:
    return _("%(level)s: risk profile “%(profile)s”") % {"level": LEVELS[level], "profile": RISK_LEVELS[level]}


_SAID = {
    "bot_status": _switch,
    "trading_interval_minutes": lambda minutes: _("every %(period)s") % {"period": period(int(minutes))},
    "max_trade_amount_krw": lambda most: f"{amount(parse_decimal(most, name='amount'))} KRW",
    "risk_level": _level,
    "target_symbols": ", ".join,
}


@dataclass(frozen=True)
class Change:
    """What a version changed, for a table: words before and after; of a list, what came and what went."""

    before: str
    after: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def change_of(key: str, before: Any, after: Any) -> Change:
    """The difference of two stored values."""
    sets = [set(value["symbols"]) if isinstance(value, Mapping) and "symbols" in value else set() for value in (before, after)]
    return Change(said(key, before), said(key, after), added=tuple(sorted(sets[1] - sets[0])), removed=tuple(sorted(sets[0] - sets[1])))


def field_for(key: str) -> forms.Field:
    """The input of a key. Raises BadInput for an unknown one."""
    if key not in _FIELDS:
        raise BadInput(f"There is no setting {key!r}; known are {', '.join(SETTINGS)}.")
    return _FIELDS[key]()


def shown(key: str, value: Mapping[str, Any]) -> Any:
    """What the input shows for a stored value."""
    (inner,) = value.values()
    return "\n".join(inner) if key == "target_symbols" else inner


def stored(key: str, given: Any) -> dict[str, Any]:
    """The form in which the domain keeps what was given. It judges it."""
    (name,) = SETTINGS[key].first
    return {name: _STORED.get(key, lambda value: value)(given)}


def concerned(key: str, value: Mapping[str, Any], *, user: Any) -> str:
    """Whom it concerns now, of the bots `user` may see."""
    bots = Bot.objects.for_user(user).filter(is_hidden=False)
    (inner,) = value.values()
    if key == "bot_status":
        count = bots.filter(mode__in=("paper", "live"), is_running=True).count()
        return ngettext("%(count)d paper or live bot wants to run.", "%(count)d paper and live bots want to run.", count) % {"count": count}
    if key == "risk_level":
        count = bots.filter(risk_profile=None).count()
        text = ngettext("%(count)d bot names no risk profile of its own.", "%(count)d bots name no risk profile of their own.", count)
        return text % {"count": count}
    if key == "max_trade_amount_krw":
        count = bots.filter(account__quote_currency="KRW", trade_amount__gt=Decimal(str(inner))).count()
        return ngettext("It caps %(count)d bot that asks for more.", "It caps %(count)d bots that ask for more.", count) % {"count": count}
    if key == "target_symbols":
        left = bots.exclude(symbol__in=inner).filter(is_running=True).order_by("name").values_list("name", flat=True)
        names = ", ".join(left)
        return (
            _("Open nothing, since their symbol is no target: %(names)s.") % {"names": names}
            if names
            else _("Every running bot's symbol is a target.")
        )
    count = bots.filter(schedule__name="Trading cycle (hourly)").count()
    return ngettext("%(count)d bot follows it.", "%(count)d bots follow it.", count) % {"count": count}


def _symbols(text: str) -> list[str]:
    return [piece for line in text.splitlines() for piece in (part.strip() for part in line.split(",")) if piece]


def _amount(value: Decimal) -> int | str:
    return int(value) if value == int(value) else plain(value)


_STORED: dict[str, Any] = {"target_symbols": _symbols, "max_trade_amount_krw": _amount, "trading_interval_minutes": int}
_FIELDS: dict[str, Any] = {
    "bot_status": lambda: forms.BooleanField(
        required=False, label=_("Entries allowed"), widget=UnfoldBooleanSwitchWidget, help_text=_("Exits go on either way.")
    ),
    "trading_interval_minutes": lambda: forms.TypedChoiceField(
        label=_("Period"),
        coerce=int,
        choices=[(minutes, period(minutes)) for minutes in PERIODS],
        widget=UnfoldAdminSelectWidget,
        help_text=_("Only periods that divide an hour or a day give the same instants every day. The schedule follows."),
    ),
    "max_trade_amount_krw": lambda: forms.DecimalField(
        label=_("Most per entry"),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
        help_text=_("KRW. Entries in USDT are capped through the rate."),
    ),
    "risk_level": lambda: forms.ChoiceField(
        label=_("Level"),
        choices=[(level, said("risk_level", {"level": level})) for level in RISK_LEVELS],
        widget=UnfoldAdminRadioSelectWidget,
    ),
    "target_symbols": lambda: forms.CharField(
        label=_("Symbols"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=_("The exchanges' own codes, such as KRW-BTC; one per line, or with commas."),
    ),
}
