"""Analysts, their prompts, and every question they were asked."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import number, short, state_badge
from dgbot.base.confirm import ask
from dgbot.core.money import plain
from trading.models import Analyst, AnalystCall, CallPurpose, CallStatus, PromptTemplate
from trading.services import analysts
from trading.services.analysts import Question

TONES = {CallStatus.RESERVED: "quiet", CallStatus.ANSWERED: "good", CallStatus.FAILED: "bad"}
SAMPLE = {  # what a test is asked about: enough to answer, and plainly no market
    "symbol": "KRW-BTC",
    "note": "This is a test of the connection. Answer hold.",
    "price": {"value": "100000000", "known_at": "2026-01-01T00:00:00+00:00"},
    "indicators": {"rsi14": 50.0, "adx14": 20.0},
}


@admin.register(PromptTemplate)
class PromptTemplateAdmin(HouseAdmin):
    """A version never changes; saving an edited one makes the next."""

    list_display = ("name", "version", "created_by", "created_at", "beginning")
    list_select_related = ("created_by",)
    list_filter = ("name",)
    search_fields = ("name",)
    ordering = ("name", "-version")
    fields = ("name", "system", "version", "created_by", "created_at")
    readonly_fields = ("version", "created_by", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A prompt keeps its name, so that its versions stay together."""
        return ("name", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The next version, whatever was opened."""
        made = analysts.create_prompt(name=obj.name, system=obj.system, by=request.user)
        obj.pk, obj.version = made.pk, made.version
        messages.info(request, _("Saved as %(prompt)s. Analysts keep the version they have until you choose this one.") % {"prompt": made})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Decisions name their prompt for ever."""
        return False

    @admin.display(description=_("instructions"))
    def beginning(self, prompt: PromptTemplate) -> SafeString:
        """Its first words."""
        return short(prompt.system)


@admin.register(Analyst)
class AnalystAdmin(HouseAdmin):
    """Whom to ask, with which prompt, for how much."""

    list_display = ("name", "model", "prompt", "state", "spent_day", "spent_month")
    list_select_related = ("prompt",)
    search_fields = ("name", "model")
    actions_detail = ("test",)
    fieldsets = (
        (None, {"fields": ("name", "is_enabled", "model", "prompt")}),
        (_("Endpoint"), {"fields": ("base_url", "uses_responses", ("timeout_s", "max_output_tokens", "temperature"))}),
        (
            _("Money"),
            {"fields": (("input_price", "output_price"), ("cycle_budget", "day_budget", "month_budget"), ("spent_day", "spent_month"))},
        ),
    )
    readonly_fields = ("spent_day", "spent_month")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Bots and decisions know an analyst by its name."""
        return ("name", *self.readonly_fields) if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its calls are kept, so it is switched off instead."""
        return False

    @admin.display(description=_("status"), ordering="is_enabled")
    def state(self, analyst: Analyst) -> SafeString:
        """Coloured."""
        return state_badge("good", _("enabled")) if analyst.is_enabled else state_badge("quiet", _("switched off"))

    @admin.display(description=_("spent today"))
    def spent_day(self, analyst: Analyst) -> SafeString:
        """Of the day's budget, UTC."""
        return self._spent(analyst, "day", analyst.day_budget)

    @admin.display(description=_("spent this month"))
    def spent_month(self, analyst: Analyst) -> SafeString:
        """Of the month's budget, UTC."""
        return self._spent(analyst, "month", analyst.month_budget)

    def _spent(self, analyst: Any, span: str, budget: Any) -> SafeString:
        if analyst.pk is None:
            return number("–")
        used = analysts.spent(analyst)[span]
        return number(f"{used:.4f} / {plain(budget)} USD")

    @action(description=_("Test"), permissions=["change"], icon="science")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the model about a sample, within the budget, and show what came back."""
        analyst = self.get_object(request, object_id)
        if request.method != "POST":
            facts = [_("The answer costs money and counts against the budget."), analyst.prompt.system]
            return ask(self, request, question=_("Ask %(name)s about a sample now?") % {"name": analyst.name}, facts=facts)
        told = analysts.ask(Question(analyst, SAMPLE["symbol"], "propose", SAMPLE, purpose=CallPurpose.TEST))  # type: ignore[arg-type]
        for reason in told.reasons:
            messages.error(request, f"{reason.message} {reason.remedy}")
        if told.answer is not None and told.call is not None:
            messages.success(
                request,
                _("%(name)s answered %(decision)s with %(confidence)s %% in %(took)s ms for %(cost)s USD.")
                % {
                    "name": analyst.name,
                    "decision": told.answer.decision,
                    "confidence": told.answer.confidence,
                    "took": told.call.latency_ms,
                    "cost": "?" if told.call.cost is None else plain(told.call.cost),
                },
            )
        return redirect(reverse("admin:trading_analyst_change", args=[object_id]))


@admin.register(AnalystCall)
class AnalystCallAdmin(FactAdmin):
    """Every question with what it brought and cost."""

    list_display = ("asked_at", "analyst", "bot", "purpose", "state", "model", "tokens", "costs", "took", "what")
    list_filter = ("status", "purpose", ("analyst", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("analyst", "bot")
    ordering = ("-id",)

    @admin.display(description=_("status"), ordering="status")
    def state(self, call: AnalystCall) -> SafeString:
        """Coloured."""
        return state_badge(TONES[CallStatus(call.status)], call.get_status_display())

    @admin.display(description=_("tokens"))
    def tokens(self, call: AnalystCall) -> SafeString:
        """In and out."""
        is_known = call.input_tokens is not None and call.output_tokens is not None
        return number(f"{call.input_tokens:,} → {call.output_tokens:,}" if is_known else "–")

    @admin.display(description=_("cost"), ordering="cost")
    def costs(self, call: AnalystCall) -> SafeString:
        """USD; what is not known counts as reserved."""
        return number(f"{call.cost:.6f}" if call.cost is not None else f"≤ {call.reserved_cost:.6f}")

    @admin.display(description=_("took"))
    def took(self, call: AnalystCall) -> SafeString:
        """Machine time."""
        return number("–" if call.latency_ms is None else f"{call.latency_ms:,} ms")

    @admin.display(description=_("answer"))
    def what(self, call: AnalystCall) -> SafeString:
        """Its beginning, or why there is none."""
        return format_html("{}", short(call.error or call.raw_answer))
