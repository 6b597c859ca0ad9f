"""The form of a bot: typed, bounded fields of the chosen strategy instead of raw JSON, which stays the stored form."""

from typing import Any

from django import forms
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.base.reasoned import ReasonedForm
from dgbot.core.errors import BadInput
from trading import strategy_fields
from trading.models import Analyst, Bot
from trading.models.bots import RULES


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
        begins_with = {"shown_strategy": self.chosen.name, **strategy_fields.stored_values(self.chosen, self.instance)}
        self.initial = {**self.initial, **begins_with}
        if self.is_bound and self.data.get("shown_strategy", self.chosen.name) != self.chosen.name:
            self.is_switched = True
            self.data = strategy_fields.switched(self.data, begins_with)

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
        try:
            self.instance.parameters = strategy_fields.changed_values(self.chosen, cleaned)
        except BadInput as error:  # bounds were checked field by field; this is a rule between them
            raise forms.ValidationError(str(error)) from None
        return cleaned


def form_for(strategy: Strategy[Any]) -> type[BotForm]:
    """The form with this strategy's fields, in the skin's inputs."""
    fields = strategy_fields.fields(strategy)
    for field in fields.values():
        field.widget = _in_skin(field)
    return type("BotForm", (BotForm,), {"chosen": strategy, "__module__": __name__, **fields})


def _in_skin(field: forms.Field) -> forms.Widget:
    if isinstance(field, forms.BooleanField):
        return UnfoldBooleanWidget()
    skin = UnfoldAdminIntegerFieldWidget if isinstance(field, forms.IntegerField) else UnfoldAdminDecimalFieldWidget
    return skin(attrs=field.widget.attrs)
