"""A strategy's own parameters as form fields: typed, bounded, explained. Shared by the admin and the pages outside it.

The fields belong to `shown_strategy`; a post that names another strategy saves nothing and comes back with that one's fields, so
it works without JavaScript: the script beside a form only presses its button.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.http import HttpRequest, QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext as now

from backtests.strategies.base import Bounds, Strategy
from backtests.strategies.registry import STRATEGIES
from trading.models import Bot

PREFIX = "parameter_"


def asked_for(request: HttpRequest, bot: Bot | None) -> Strategy[Any]:
    """The strategy whose fields to show: the one posted, else the bot's own, else the one in the address, else the first."""
    names = (request.POST.get("strategy"), bot.strategy if bot else None, request.GET.get("strategy"), next(iter(STRATEGIES)))
    return next(STRATEGIES[name] for name in names if name in STRATEGIES)


def names(strategy: Strategy[Any]) -> tuple[str, ...]:
    """Names of its fields, in order."""
    return tuple(PREFIX + name for name in strategy.parameters.bounds())


def fields(strategy: Strategy[Any]) -> dict[str, forms.Field]:
    """A field for each of its parameters; an empty one stands for its default."""
    return {PREFIX + name: _field(strategy, name, bounds) for name, bounds in strategy.parameters.bounds().items()}


def stored_values(strategy: Strategy[Any], bot: Bot) -> dict[str, Any]:
    """What the fields begin with: the bot's parameters where it has this strategy, else the defaults."""
    stored = bot.parameters if bot.strategy == strategy.name else {}
    defaults = strategy.parameters()
    return {PREFIX + name: stored.get(name, getattr(defaults, name)) for name in strategy.parameters.bounds()}


def changed_values(strategy: Strategy[Any], cleaned: dict[str, Any]) -> dict[str, float]:
    """The stored form of cleaned fields; empty ones become their defaults, in `cleaned` too. Raises BadInput for a rule between them."""
    defaults = strategy.parameters()
    found = [name for name in strategy.parameters.bounds() if PREFIX + name in cleaned]
    for name in found:
        if cleaned[PREFIX + name] is None:
            cleaned[PREFIX + name] = getattr(defaults, name)
    return strategy.parameters.of({name: cleaned[PREFIX + name] for name in found}).changed()


def switched(query: Any, begins_with: Mapping[str, Any]) -> QueryDict:
    """A post whose parameter fields are those of the strategy it switches to, everything else as it was. query: a QueryDict."""
    found = QueryDict(mutable=True)
    for name, given in query.lists():
        if not name.startswith(PREFIX):
            found.setlist(name, given)
    for name, value in begins_with.items():
        if value is not False:
            found.setlist(name, [value])
    return found


def _field(strategy: Strategy[Any], name: str, bounds: Bounds) -> forms.Field:
    kind, default = strategy.parameters.kinds()[name], getattr(strategy.parameters(), name)
    label, help_text = capfirst(now(name.replace("_", " "))), now(bounds.help)
    if kind is bool:
        return forms.BooleanField(label=label, required=False, help_text=help_text)
    limits = {"low": f"{bounds.low:g}", "high": f"{bounds.high:g}", "unit": now(bounds.unit), "default": f"{default:g}"}
    asked = now("%(low)s … %(high)s %(unit)s, empty: %(default)s.") % limits
    common: dict[str, Any] = {
        "label": label,
        "required": False,
        "help_text": f"{help_text} {asked}",
        "validators": [_within(bounds, limits)],
    }
    attributes = {"min": bounds.low, "max": bounds.high, "step": 1 if kind is int else "any", "placeholder": limits["default"]}
    made = forms.IntegerField if kind is int else forms.FloatField
    return made(widget=forms.NumberInput(attrs=attributes), **common)


def _within(bounds: Bounds, limits: dict[str, str]) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not bounds.low <= value <= bounds.high:
            told = now("%(value)s is outside %(low)s … %(high)s %(unit)s; enter a value within, or nothing for %(default)s.")
            raise forms.ValidationError(told % {"value": f"{value:g}", **limits})

    return check
