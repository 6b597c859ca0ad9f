"""The form that makes a bot, in the order of thought: where, what, how, when and with how much."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.types import Mode
from risk.models import RiskProfile
from trading import strategy_fields
from trading.models import Analyst, Bot, ExchangeAccount
from trading.models.accounts import ExchangeName
from trading.models.bots import RULES
from trading.services import markets, new_bots
from trading.services.candle_sources import MAJORS
from trading.services.schedules import CYCLES, HOURLY

NEW = "new:"
SIMULATED = "trading.tasks.tick_simulated"
FIRST_CASH = Decimal(10_000_000)  # KRW
BESIDE = ("ETH", "XRP", "SOL")  # offered beside the majors until the exchange has told its list


class NewBotForm(forms.ModelForm):
    """A bot of one user's. `home` is an account of the user's, or a paper account that is made along with the bot."""

    home = forms.ChoiceField(label=_("Account"), help_text=_("It decides whether money is real. A bot never changes its account."))
    paper_cash = forms.DecimalField(
        label=_("pretended money"),
        required=False,
        min_value=Decimal(1),
        max_value=Decimal(10) ** 15,
        help_text=_("Only for a new paper account, in its quote currency: what it begins with."),
    )
    symbol = forms.CharField(label=_("Symbol"), max_length=30, help_text=_("The exchange's own code, such as KRW-BTC."))
    strategy = forms.ChoiceField(label=_("Strategy"))
    analyst = forms.ChoiceField(label=_("Analyst"), help_text=_("A model at an endpoint may veto; analysts are made in the admin."))
    shown_strategy = forms.CharField(required=False, widget=forms.HiddenInput)

    chosen: Strategy[Any]  # whose fields these are; set by form_for
    is_switched = False  # the post came with another strategy's fields

    class Meta:
        model = Bot
        fields = (
            "name",
            "symbol",
            "strategy",
            "interval",
            "schedule",
            "risk_profile",
            "allocation",
            "trade_amount",
            "analyst",
            "analyst_mode",
        )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.accounts = {str(row.pk): row for row in _accounts_of(user)}
        self._fill_choices()
        begins_with = {"shown_strategy": self.chosen.name, **strategy_fields.stored_values(self.chosen, self.instance)}
        self.initial = {**self.initial, **begins_with}
        if self.is_bound and self.data.get("shown_strategy", self.chosen.name) != self.chosen.name:
            self.is_switched = True
            self.data = strategy_fields.switched(self.data, begins_with)

    def _fill_choices(self) -> None:
        fields: Any = self.fields
        fields["home"].choices = [*((pk, _named(row)) for pk, row in self.accounts.items()), *_new_accounts(self.user)]
        fields["strategy"].choices = [(one.name, now(one.title)) for one in STRATEGIES.values()]
        names = Analyst.objects.filter(is_enabled=True).order_by("name").values_list("name", flat=True)
        fields["analyst"].choices = [(RULES, now("the rules alone")), *((name, name) for name in names)]
        fields["schedule"].queryset = PeriodicTask.objects.filter(task=CYCLES).order_by("name")
        fields["schedule"].empty_label = now("only by hand")
        fields["risk_profile"].queryset = RiskProfile.objects.for_user(self.user).order_by("pk")
        fields["risk_profile"].empty_label = now("as the setting risk_level says")
        for name in ("allocation", "trade_amount", "paper_cash"):
            fields[name].widget.attrs["step"] = "any"
        fields["symbol"].widget.attrs.update({"list": "symbols", "autocapitalize": "characters", "spellcheck": "false"})

    def clean_symbol(self) -> str:
        """As exchanges write them."""
        return str(self.cleaned_data["symbol"]).strip().upper()

    def clean_strategy(self) -> str:
        """A registered strategy, and the one whose fields were filled in."""
        name: str = self.cleaned_data["strategy"]
        if self.is_switched:
            told = now("Nothing is saved yet: the parameters are those of %(strategy)s now. Look them over.")
            raise forms.ValidationError(told % {"strategy": now(self.chosen.title)})
        return name

    def clean(self) -> Any:
        """The account of the draft, and only the parameters that differ from the defaults."""
        cleaned: Any = super().clean()
        home = cleaned.get("home", "")
        if home:
            self.instance.account = self._account(home, name=cleaned.get("name", ""))
            self.instance.mode, self.instance.user = self.instance.account.mode, self.instance.account.user
        if self._is_new and not cleaned.get("paper_cash"):
            self.add_error("paper_cash", now("Say how much pretended money the account begins with."))
        if home and self.instance.mode == Mode.SIMULATED:
            cleaned["schedule"] = PeriodicTask.objects.filter(task=SIMULATED).first()  # its own: every closed hour of its market
        try:
            self.instance.parameters = strategy_fields.changed_values(self.chosen, cleaned)
        except BadInput as error:  # bounds were checked field by field; this is a rule between them
            raise forms.ValidationError(str(error)) from None
        return cleaned

    def clean_name(self) -> str:
        """Not used by another bot of its owner."""
        name: str = self.cleaned_data["name"]
        if Bot.objects.filter(user=self.user, name=name).exists():
            raise forms.ValidationError(now("You already have a bot of this name."))
        return name

    @property
    def _is_new(self) -> bool:
        return str(self.cleaned_data.get("home", "")).startswith(NEW)

    def _account(self, home: str, *, name: str) -> ExchangeAccount:
        if not home.startswith(NEW):
            return self.accounts[home]
        exchange = home.removeprefix(NEW)
        quote = new_bots.QUOTE[ExchangeName(exchange)]
        return ExchangeAccount(user=self.user, name=_paper_name(name), exchange=exchange, mode=Mode.PAPER.value, quote_currency=quote)

    def create(self) -> Bot:
        """Keep the bot, and its new account. Raises DgbotError."""
        if self._is_new:
            draft = self.instance.account
            cash = self.cleaned_data["paper_cash"]
            self.instance.account = new_bots.open_paper_account(
                owner=self.user, name=draft.name, exchange=draft.exchange, cash=cash, by=self.user
            )
        return new_bots.create(self.instance, by=self.user)


def form_for(strategy: Strategy[Any]) -> type[NewBotForm]:
    """The form with this strategy's fields."""
    return type("NewBotForm", (NewBotForm,), {"chosen": strategy, "__module__": __name__, **strategy_fields.fields(strategy)})


def begins_with(user: Any, *, strategy: Strategy[Any]) -> dict[str, Any]:
    """What a new form shows first: a paper account where the user has one, the hourly schedule, a name nobody uses."""
    accounts = list(_accounts_of(user))
    paper = next((row for row in accounts if row.mode == Mode.PAPER), None)
    may_open = _new_accounts(user)
    home = str(paper.pk) if paper else may_open[0][0] if may_open else str(accounts[0].pk) if accounts else ""
    hourly = PeriodicTask.objects.filter(name=HOURLY).first()
    return {
        "home": home,
        "name": new_bots.free_name("My first paper bot" if not paper else "Paper bot", user_id=user.pk),
        "symbol": "KRW-BTC",
        "strategy": strategy.name,
        "schedule": None if hourly is None else hourly.pk,
        "paper_cash": FIRST_CASH,
        "analyst": RULES,
    }


def symbols_offered(exchanges: set[str]) -> list[str]:
    """Symbols to choose from: what the exchanges have told, and the best known ones while they have not."""
    told = [symbol for exchange in sorted(exchanges) for symbol in markets.known(exchange)]
    majors = [symbol for exchange in MAJORS if exchange in exchanges for symbol in MAJORS[exchange]]
    beside = [f"KRW-{base}" for base in BESIDE] if not told else []
    return list(dict.fromkeys([*majors, *told, *beside]))


def refusal(error: DgbotError, form: NewBotForm) -> None:
    """Show why nothing was kept."""
    form.add_error(None, str(error))


def _accounts_of(user: Any) -> Any:
    mine = ExchangeAccount.objects.for_user(user).filter(is_hidden=False).exclude(mode=Mode.REPLAY.value)
    return mine.select_related("user", "simulated_market").order_by("mode", "name", "pk")


def _new_accounts(user: Any) -> list[tuple[str, Any]]:
    if not user.has_perm("trading.add_exchangeaccount"):
        return []
    told = now("PAPER · a new account on real quotes of %(exchange)s")
    return [(f"{NEW}{name.value}", told % {"exchange": name.label}) for name in (ExchangeName.UPBIT, ExchangeName.BITGET)]


def _named(account: ExchangeAccount) -> str:
    badge = "DEMO" if account.is_demo else account.mode.upper()
    return f"{badge} · {account.name} · {account.get_exchange_display()} · {account.quote_currency}"


def _paper_name(bot_name: str) -> str:
    return now("Paper account of %(bot)s") % {"bot": bot_name[:40]}
