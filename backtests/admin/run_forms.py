"""The forms a backtest and a sweep are asked for with: archived series, typed parameters of the chosen strategy, money, judgement."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from backtests.models import CandleSeries
from backtests.research.searching import OBJECTIVES
from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from risk.models import RiskProfile
from trading import strategy_fields
from trading.services.backtesting import Wanted, WantedSweep

RANGE_PREFIX = "range_"
OBJECTIVE_WORDS = {
    "sharpe": _("Sharpe ratio"),
    "sortino": _("Sortino ratio"),
    "calmar": _("Calmar ratio"),
    "total_return": _("total return"),
    "profit_factor": _("profit factor"),
}
SAMPLER_WORDS = (
    ("sobol", _("spread evenly (quasi-random)")),
    ("optuna", _("proposed from what was seen (Optuna)")),
    ("grid", _("every combination (grid)")),
)


def _money(label: Any, *, usual: str, help_text: Any = "") -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"placeholder": usual, "step": "any", "min": 0})
    return forms.DecimalField(label=label, required=False, min_value=Decimal(0), help_text=help_text, widget=widget)


class MarketForm(forms.Form):
    """What a backtest and a sweep are asked alike."""

    strategy = forms.ChoiceField(label=_("strategy"))
    shown_strategy = forms.CharField(required=False, widget=forms.HiddenInput)
    start = forms.DateField(
        label=_("from"), required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text=_("UTC; empty: all.")
    )
    end = forms.DateField(
        label=_("to"), required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text=_("This day included; empty: the newest.")
    )
    profile = forms.ModelChoiceField(
        RiskProfile.objects.none(), label=_("risk profile"), required=False, help_text=_("Its stops, limits and sizing. Empty: medium.")
    )
    has_limits = forms.BooleanField(
        label=_("with limits"), required=False, initial=True, help_text=_("Spacing, daily count, breakers and the RSI limit, as live.")
    )
    cash = _money(_("cash"), usual="1000000", help_text=_("Quote currency; perpetuals: 1000."))
    amount = _money(_("cost of an entry"), usual="50000", help_text=_("Quote currency; instead of the profile's sizing."))
    fraction = _money(_("or share of the equity"), usual="0.3", help_text=_("0.3 is 30 %."))
    fee_rate = _money(_("fee"), usual="0.0005", help_text=_("A fraction, of each fill; perpetuals: 0.0006."))
    slippage = _money(_("slippage"), usual="0.0002", help_text=_("A fraction, against us."))
    is_perpetual = forms.BooleanField(label=_("perpetual"), required=False, help_text=_("Shorts, leverage, funding, liquidation."))
    leverage = _money(_("leverage"), usual="1", help_text=_("Perpetuals alone."))
    funding_rate = forms.DecimalField(
        label=_("funding rate"),
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=_("Perpetuals alone, every eight hours."),
    )

    chosen: Strategy[Any]  # whose fields these are
    is_switched = False

    def __init__(self, *args: Any, user: Any, chosen: Strategy[Any], **kwargs: Any) -> None:
        self.chosen = chosen
        super().__init__(*args, **kwargs)
        strategy: Any = self.fields["strategy"]
        strategy.choices = [(one.name, now(one.title)) for one in STRATEGIES.values() if not one.needs_decisions]
        profile: Any = self.fields["profile"]
        profile.queryset = RiskProfile.objects.for_user(user).order_by("user_id", "name")
        self.fields.update(self.own_fields(chosen))
        self.initial = {"strategy": chosen.name, "shown_strategy": chosen.name, **self.initial}
        if self.is_bound and self.data.get("shown_strategy", chosen.name) != chosen.name:
            self.is_switched = True
            self.data = strategy_fields.switched(self.data, {"shown_strategy": chosen.name})

    def own_fields(self, chosen: Strategy[Any]) -> dict[str, forms.Field]:
        """Fields of the chosen strategy."""
        raise NotImplementedError

    def parts(self) -> Iterable[tuple[Any, list[Any], Any]]:
        """Title, fields and a hint of each part of the page, in the order of thought."""
        raise NotImplementedError

    def _picked(self, *names: str) -> list[Any]:
        return [self[name] for name in names]

    def _own(self) -> list[Any]:
        return [self[name] for name in self.own_fields(self.chosen)]

    def _common(self, series: Iterable[CandleSeries]) -> dict[str, Any]:
        """What `Wanted` takes, from the cleaned form. Raises BadInput for series that do not go together."""
        told, chosen = self.cleaned_data, list(series)
        if len({(one.exchange, one.interval) for one in chosen}) > 1:
            raise BadInput("Symbols that share cash must be of one exchange and one interval; choose series that are.")
        names = ("cash", "amount", "fraction", "fee_rate", "slippage", "leverage", "funding_rate", "profile", "is_perpetual", "has_limits")
        return {
            "strategy": self.chosen.name,
            "symbols": [one.symbol for one in chosen],
            "exchange": chosen[0].exchange,
            "interval": Interval(chosen[0].interval),
            "start": _midnight(told["start"]),
            "end": _midnight(told["end"] + timedelta(days=1)) if told["end"] else None,
            **{name: told[name] for name in names},
        }


class RunForm(MarketForm):
    """One backtest; several series share the cash."""

    series = forms.ModelMultipleChoiceField(
        CandleSeries.objects.all(), label=_("markets"), help_text=_("Several share one cash, in this order. More under Candle series.")
    )
    hold_out = forms.FloatField(
        label=_("hold-out"),
        required=False,
        widget=forms.NumberInput(attrs={"placeholder": "0.3", "step": "any", "min": 0, "max": 1}),
        help_text=_("Judge by this newest share of the candles: the promotion gate. One market alone."),
    )
    permutations = forms.IntegerField(
        label=_("permuted markets"),
        required=False,
        min_value=0,
        widget=forms.NumberInput(attrs={"placeholder": "0"}),
        help_text=_("Compare with the same bars in another order; takes long. One market alone."),
    )

    def own_fields(self, chosen: Strategy[Any]) -> dict[str, forms.Field]:
        """Typed and bounded, as in a bot's form."""
        return strategy_fields.fields(chosen)

    def parts(self) -> Iterable[tuple[Any, list[Any], Any]]:
        """Where, what, money, judgement."""
        return (
            (_("Market"), self._picked("series", "start", "end"), ""),
            (_("Strategy"), [*self._picked("strategy", "shown_strategy"), *self._own()], now(self.chosen.description)),
            (_("Money and limits"), self._picked("profile", "has_limits", "cash", "amount", "fraction", "fee_rate", "slippage"), ""),
            (_("Perpetual"), self._picked("is_perpetual", "leverage", "funding_rate"), ""),
            (_("Judgement"), self._picked("hold_out", "permutations"), ""),
        )

    def wanted(self) -> Wanted:
        """As it is asked for. Raises BadInput."""
        told = self.cleaned_data
        return Wanted(
            **self._common(told["series"]),
            parameters=strategy_fields.changed_values(self.chosen, told),
            hold_out=told["hold_out"] or None,
            permutations=told["permutations"] or 0,
        )


class SweepForm(MarketForm):
    """One search on one market."""

    series = forms.ModelChoiceField(CandleSeries.objects.all(), label=_("market"), help_text=_("More under Candle series."))
    sampler = forms.ChoiceField(label=_("sets are"), choices=SAMPLER_WORDS)
    sets = forms.IntegerField(label=_("parameter sets"), initial=2048, min_value=1, help_text=_("A grid counts its own."))
    objective = forms.ChoiceField(label=_("what is to be large"), choices=[(name, OBJECTIVE_WORDS[name]) for name in OBJECTIVES])
    hold_out = forms.FloatField(
        label=_("hold-out"), initial=0.3, help_text=_("The newest share of the candles is not read before the very end, to judge by.")
    )
    folds = forms.IntegerField(label=_("folds of the walk forward"), initial=4, min_value=0, help_text=_("0: none."))

    def own_fields(self, chosen: Strategy[Any]) -> dict[str, forms.Field]:
        """What to search of each parameter."""
        return {RANGE_PREFIX + name: _range_field(chosen, name) for name in chosen.parameters.bounds()}

    def parts(self) -> Iterable[tuple[Any, list[Any], Any]]:
        """Where, what is searched, how, money."""
        hint = _("Empty: searched within its bounds. 5..60: within less. 10: fixed. 5, 10, 20: these values; a grid takes only such.")
        return (
            (_("Market"), self._picked("series", "start", "end"), ""),
            (_("Search"), self._picked("sampler", "sets", "objective", "hold_out", "folds"), ""),
            (_("Strategy"), [*self._picked("strategy", "shown_strategy"), *self._own()], hint),
            (_("Money and limits"), self._picked("profile", "has_limits", "cash", "amount", "fraction", "fee_rate", "slippage"), ""),
            (_("Perpetual"), self._picked("is_perpetual", "leverage", "funding_rate"), ""),
        )

    def wanted(self) -> WantedSweep:
        """As it is asked for. Raises BadInput."""
        told = self.cleaned_data
        texts = {name: told[RANGE_PREFIX + name] for name in self.chosen.parameters.bounds()}
        ranges, grid = searched(texts, is_grid=told["sampler"] == "grid")
        return WantedSweep(
            run=Wanted(**self._common([told["series"]])),
            sampler=told["sampler"],
            sets=told["sets"],
            ranges=ranges,
            grid=grid,
            objective=told["objective"],
            hold_out=told["hold_out"],
            folds=told["folds"],
        )


def searched(texts: Mapping[str, str], *, is_grid: bool) -> tuple[dict[str, tuple[float, float]], dict[str, list[float]]]:
    """What is typed of each parameter as ranges and grid. Raises BadInput naming the parameter."""
    ranges: dict[str, tuple[float, float]] = {}
    grid: dict[str, list[float]] = {}
    for name, text in texts.items():
        if not text.strip():
            continue
        low, dots, high = text.partition("..")
        try:
            values = [_number(one) for one in ([low, high] if dots else text.split(","))]
        except ValueError:
            raise BadInput(f"{name} takes a value, a range such as 5..60 or values such as 5, 10, 20; was {text!r}.") from None
        if is_grid and not dots:
            grid[name] = values
        elif not is_grid and (dots or len(values) == 1):
            ranges[name] = values[0], values[-1]
        else:
            kind = (
                "a grid takes values such as 5, 10, 20" if is_grid else "values such as 5, 10, 20 are for a grid; say a range such as 5..60"
            )
            raise BadInput(f"{name} was {text!r}: {kind}.")
    return ranges, grid


def _number(text: str) -> float:
    words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
    return words.get(text.strip().lower()) if text.strip().lower() in words else float(text)  # type: ignore[return-value]  # it is there


def _range_field(strategy: Strategy[Any], name: str) -> forms.CharField:
    bounds, default = strategy.parameters.bounds()[name], getattr(strategy.parameters(), name)
    limits = now("%(low)s … %(high)s %(unit)s, as designed: %(default)s.") % {
        "low": f"{bounds.low:g}",
        "high": f"{bounds.high:g}",
        "unit": now(bounds.unit),
        "default": f"{default:g}",
    }
    widget = forms.TextInput(attrs={"placeholder": f"{bounds.low:g}..{bounds.high:g}"})
    label = capfirst(now(name.replace("_", " ")))
    return forms.CharField(label=label, required=False, max_length=200, widget=widget, help_text=f"{now(bounds.help)} {limits}")


def _midnight(day: Any) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), tzinfo=UTC)
