"""The page of results: what was earned, when, where and why, with pictures."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dgbot.base.choices import MODES
from dgbot.base.filters import PERIOD, PRESETS, SINCE, UNTIL, Period, period_of
from dgbot.core.money import plain
from trading.models import Bot, Trade
from trading.selectors import results
from trading.selectors.results import Asked, Line, Result
from trading.services import candle_pictures

FIRST_PERIOD = "30d"
MOST_MARKS = 500  # trades on the candles; the newest
BAR_WIDTH = 100  # drawing units of the longest bar


class AskForm(forms.Form):
    """Which results. Everything is optional; what cannot be read is told beside its field."""

    period = forms.ChoiceField(label=gettext_lazy("period"), required=False, choices=[("", gettext_lazy("Any time")), *PRESETS])
    since = forms.DateField(label=gettext_lazy("first day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=gettext_lazy("last day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    bot = forms.ModelChoiceField(label=gettext_lazy("bot"), required=False, queryset=Bot.objects.none(), empty_label=gettext_lazy("All"))
    symbol = forms.ChoiceField(label=gettext_lazy("symbol"), required=False)
    strategy = forms.ChoiceField(label=gettext_lazy("strategy"), required=False)
    mode = forms.ChoiceField(label=gettext_lazy("mode"), required=False, choices=[("", gettext_lazy("All")), *MODES])

    def __init__(self, data: Any, *, user: Any) -> None:
        super().__init__(data)
        bots = Bot.objects.for_user(user).order_by("name")
        self.fields["bot"].queryset = bots  # type: ignore[attr-defined]
        told = set(bots.values_list("symbol", "strategy"))
        for name, values in (("symbol", {symbol for symbol, _strategy in told}), ("strategy", {strategy for _symbol, strategy in told})):
            self.fields[name].choices = [("", _("All")), *((value, value) for value in sorted(values))]  # type: ignore[attr-defined]

    @property
    def asked(self) -> Asked:
        """What was asked for; nothing but the period when the form is wrong."""
        told = self.cleaned_data if self.is_valid() else {}
        bot = told.get("bot")
        period = self.chosen_period
        return Asked(
            since=period.since,
            until=period.until,
            bot=None if bot is None else bot.pk,
            symbol=told.get("symbol", ""),
            mode=told.get("mode", ""),
            strategy=told.get("strategy", ""),
        )

    @property
    def chosen_period(self) -> Period:
        """Two dates come before a preset."""
        told = self.cleaned_data if self.is_valid() else {}
        since, until = (told[name].isoformat() if told.get(name) else "" for name in (SINCE, UNTIL))
        preset = "" if since or until else told.get(PERIOD, "")
        return period_of(preset=preset, since=since, until=until, now=timezone.localtime(timezone.now()))


class TellsResults:
    """For the admin of trades: the page beside its list."""

    def get_urls(self: Any) -> list[Any]:
        """Before the paths of single rows."""
        view = self.admin_site.admin_view
        return [
            path("results/", view(self.results), name="trading_trade_results"),
            path("results/candles.json", view(self.results_candles), name="trading_trade_results_candles"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def results(self: Any, request: HttpRequest) -> HttpResponse:
        """Profit by day, market, strategy and exit; the candles of a bot with its trades."""
        form = self._form(request)
        asked = form.asked
        zone = timezone.get_current_timezone()
        found = results.of(asked, user=request.user, zone=zone)
        bot = self._drawn_bot(request, asked)
        address = f"{reverse('admin:trading_trade_results_candles')}?{urlencode({**form.data.dict(), 'bot': bot.pk})}" if bot else ""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Results"),
            "form": form,
            "periods": [("", _("Any time")), *PRESETS],
            "asked": asked,
            "too_many": found is None,
            "most": f"{results.MOST_POSITIONS:,}",
            "results": [_shown(one) for one in found or ()],
            "drawn_bot": bot,
            "candles_address": address,
        }
        return TemplateResponse(request, "trading/results.html", context)

    def results_candles(self: Any, request: HttpRequest) -> JsonResponse:
        """The candles of one bot within the period, with its newest trades."""
        form = self._form(request)
        bot = Bot.objects.for_user(request.user).select_related("account__simulated_market").filter(pk=form.asked.bot or 0).first()
        if bot is None:
            return JsonResponse({"bars": [], "marks": [], "why_empty": _("No bot was chosen, or it is not yours.")})
        trades = Trade.objects.filter(bot=bot).order_by("-created_at", "-pk")
        period = form.chosen_period
        if period.since is not None:
            trades = trades.filter(created_at__gte=period.since)
        if period.until is not None:
            trades = trades.filter(created_at__lt=period.until)
        shown = list(trades[:MOST_MARKS])
        if not shown:
            return JsonResponse({"bars": [], "marks": [], "why_empty": _("%(bot)s traded nothing in this period.") % {"bot": bot}})
        drawn = candle_pictures.picture(bot, symbol=bot.symbol, since=shown[-1].created_at, until=shown[0].created_at, trades=shown)
        return JsonResponse(drawn.as_json())

    def _form(self: Any, request: HttpRequest) -> AskForm:
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.GET.copy()
        if not given:
            given[PERIOD] = FIRST_PERIOD
        return AskForm(given, user=request.user)

    def _drawn_bot(self: Any, request: HttpRequest, asked: Asked) -> Bot | None:
        """The one chosen, else the one that closed a position last."""
        if asked.bot is not None:
            return Bot.objects.for_user(request.user).filter(pk=asked.bot).first()
        newest = results.closed(asked, user=request.user).select_related("bot").order_by("-closed_at").first()
        return None if newest is None else newest.bot


def _shown(result: Result) -> dict[str, Any]:
    """A result as the template and its script read it."""
    groups = ((_("By symbol"), result.symbols), (_("By strategy"), result.strategies), (_("By exit reason"), result.reasons))
    return {
        "result": result,
        "best": max(result.days, key=lambda line: line.profit),
        "worst": min(result.days, key=lambda line: line.profit),
        "groups": [(title, _bars(lines)) for title, lines in groups],
        "chart": {
            "currency": result.currency,
            "days": [{"time": line.name.isoformat(), "value": float(line.profit)} for line in result.days],
            "earned": [{"time": day.isoformat(), "value": float(plain(earned))} for day, earned in result.cumulative],
        },
    }


def _bars(lines: tuple[Line, ...]) -> list[dict[str, Any]]:
    """Each line with the length of its bar, the largest gain or loss being the longest."""
    longest = max((abs(line.profit) for line in lines), default=0) or 1
    return [{"line": line, "length": f"{abs(line.profit) / longest * BAR_WIDTH:.1f}", "is_loss": line.profit < 0} for line in lines]
