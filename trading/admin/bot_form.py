"""The form of a bot: typed, bounded fields of the chosen strategy instead of raw JSON, which stays the stored form.

It works without JavaScript: the fields belong to `shown_strategy`; a post that names another strategy saves nothing and comes
back with that one's fields. The script beside it only presses the button.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from backtests.strategies.base import Bounds, Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.base.reasoned import ReasonedForm
from dgbot.core.errors import BadInput
from trading.models import Analyst, Bot
from trading.models.bots import RULES

PREFIX = "parameter_"


class BotForm(ReasonedForm):
    """A bot takes its owner and mode from its account; both never change."""

    strategy = forms.ChoiceField(label=_("Strategy"), widget=UnfoldAdminSelectWidget)
    analyst = forms.ChoiceField(label=_("Analyst"), widget=UnfoldAdminSelectWidget, help_text=_("Analysts are made under Analysts."))
    shown_strategy = forms.CharField(required=False, widget=forms.HiddenInput)

    chosen: Strategy[Any]  # whose fields these are; set by form_for
    is_switched = False  # the post came with another strategy's fields

    class Meta:
        model = Bot
        fields = (
            "name",
            "account",
            "symbol",
            "strategy",
            "interval",
            "schedule",
            "tick_seconds",
            "anchor_at",
            "allocation",
            "trade_amount",
            "risk_profile",
            "analyst",
            "analyst_mode",
            "is_hidden",
        )

    class Media:
        js = ("trading/bot_form.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        strategy: Any = self.fields["strategy"]
        strategy.choices = [(one.name, now(one.title)) for one in STRATEGIES.values()]
        names = {RULES, self.instance.analyst, *Analyst.objects.filter(is_enabled=True).values_list("name", flat=True)}
        analyst: Any = self.fields["analyst"]
        analyst.choices = [(RULES, now("the rules alone")), *((name, name) for name in sorted(names - {RULES}))]
        begins_with = self._begins_with()
        self.initial = {**self.initial, **begins_with}
        if self.is_bound and self.data.get("shown_strategy", self.chosen.name) != self.chosen.name:
            self.is_switched = True
            query: Any = self.data  # a QueryDict, as every post's
            kept = {name: values for name, values in query.lists() if not name.startswith(PREFIX)}
            self.data = _query({**kept, **{name: [value] for name, value in begins_with.items() if value is not False}})

    def _begins_with(self) -> dict[str, Any]:
        """The stored parameters where the bot has this strategy, else its defaults."""
        stored = self.instance.parameters if self.instance.strategy == self.chosen.name else {}
        defaults = self.chosen.parameters()
        values = {name: stored.get(name, getattr(defaults, name)) for name in self.chosen.parameters.bounds()}
        return {"shown_strategy": self.chosen.name} | {PREFIX + name: value for name, value in values.items()}

    def clean_strategy(self) -> str:
        """A registered strategy, and the one whose fields were filled in."""
        name: str = self.cleaned_data["strategy"]
        if self.is_switched:
            told = _("Nothing is saved yet: the parameters are those of %(strategy)s now. Look them over and save again.")
            raise forms.ValidationError(told % {"strategy": now(self.chosen.title)})
        return name

    def clean(self) -> Any:
        """Store what differs from the defaults. An empty field is its default."""
        cleaned: Any = super().clean()
        if cleaned.get("schedule") and cleaned.get("tick_seconds"):
            self.add_error("tick_seconds", _("Choose a schedule or a period in seconds, not both; leave one of them empty."))
        defaults = self.chosen.parameters()
        names = [name for name in self.chosen.parameters.bounds() if PREFIX + name in cleaned]
        for name in names:
            if cleaned[PREFIX + name] is None:
                cleaned[PREFIX + name] = getattr(defaults, name)
        try:
            self.instance.parameters = self.chosen.parameters.of({name: cleaned[PREFIX + name] for name in names}).changed()
        except BadInput as error:  # bounds were checked field by field; this is a rule between them
            raise forms.ValidationError(str(error)) from None
        return cleaned


def strategy_asked_for(request: HttpRequest, bot: Bot | None) -> Strategy[Any]:
    """The strategy whose fields to show: the one posted, else the bot's own, else the one in the address, else the first."""
    names = (request.POST.get("strategy"), bot.strategy if bot else None, request.GET.get("strategy"), next(iter(STRATEGIES)))
    return next(STRATEGIES[name] for name in names if name in STRATEGIES)


def parameter_fields(strategy: Strategy[Any]) -> tuple[str, ...]:
    """Names of its fields, in order."""
    return tuple(PREFIX + name for name in strategy.parameters.bounds())


def form_for(strategy: Strategy[Any]) -> type[BotForm]:
    """The form with this strategy's fields."""
    fields = {PREFIX + name: _field(strategy, name, bounds) for name, bounds in strategy.parameters.bounds().items()}
    return type("BotForm", (BotForm,), {"chosen": strategy, "__module__": __name__, **fields})


def _field(strategy: Strategy[Any], name: str, bounds: Bounds) -> forms.Field:
    kind, default = strategy.parameters.kinds()[name], getattr(strategy.parameters(), name)
    label, help_text = capfirst(now(name.replace("_", " "))), now(bounds.help)
    if kind is bool:
        return forms.BooleanField(label=label, required=False, help_text=help_text, widget=UnfoldBooleanWidget)
    limits = {"low": f"{bounds.low:g}", "high": f"{bounds.high:g}", "unit": now(bounds.unit), "default": f"{default:g}"}
    asked = now("%(low)s … %(high)s %(unit)s, empty: %(default)s.") % limits
    common: dict[str, Any] = {
        "label": label,
        "required": False,
        "help_text": f"{help_text} {asked}",
        "validators": [_within(bounds, limits)],
    }
    attributes = {"min": bounds.low, "max": bounds.high, "step": 1 if kind is int else "any", "placeholder": limits["default"]}
    if kind is int:
        return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget(attrs=attributes), **common)
    return forms.FloatField(widget=UnfoldAdminDecimalFieldWidget(attrs=attributes), **common)


def _within(bounds: Bounds, limits: dict[str, str]) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not bounds.low <= value <= bounds.high:
            told = now("%(value)s is outside %(low)s … %(high)s %(unit)s; enter a value within, or nothing for %(default)s.")
            raise forms.ValidationError(told % {"value": f"{value:g}", **limits})

    return check


def _query(values: dict[str, list[Any]]) -> QueryDict:
    query = QueryDict(mutable=True)
    for name, given in values.items():
        query.setlist(name, given)
    return query
