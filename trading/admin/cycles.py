"""Cycles, their stages, and the decisions they came to."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dgbot.base.admin import FactAdmin, FactInline
from dgbot.base.badges import mode_badge, number, short, state_badge
from dgbot.base.filters import by_period, one_of
from dgbot.base.history import HistoryAdmin, Totals, totals
from trading import tones
from trading.admin.history import BotFilter, ModeFilter, SymbolFilter, symbols_beginning
from trading.admin.why.pages import TellsWhy
from trading.models import Analyst, Cycle, CycleStatus, Decision, Lease, StageResult
from trading.models.bots import RULES
from trading.models.decisions import DECISIONS
from trading.selectors import stories
from trading.selectors.searching import by_words

AnalystFilter = one_of(
    "analyst",
    _("analyst"),
    lambda _request: [(name, name) for name in (RULES, *Analyst.objects.order_by("name").values_list("name", flat=True))],
)
ANSWERS = {"passed": _("passed"), "blocked": _("blocked"), "unknown": _("cannot decide")}


def reasons_of(stage: StageResult) -> SafeString:
    """Every reason on its own line, with value and limit."""
    told = (item if isinstance(item, dict) else {"message": item} for item in stage.reasons)
    return format_html_join(
        "", "<div>{} <small>{}</small></div>", ((item.get("message") or item.get("code"), item.get("remedy") or "") for item in told)
    )


class StageInline(FactInline):
    """The four stages of a cycle."""

    model = StageResult
    fields = readonly_fields = ("stage", "said", "reasons_shown", "took", "created_at")
    ordering = ("id",)

    @admin.display(description=_("action"))
    def said(self, stage: StageResult) -> SafeString:
        """Coloured."""
        return state_badge(tones.ACTION.get(stage.action, "quiet"), stage.get_action_display())

    @admin.display(description=_("reasons"))
    def reasons_shown(self, stage: StageResult) -> SafeString:
        """All of them."""
        return reasons_of(stage)

    @admin.display(description=_("duration"))
    def took(self, stage: StageResult) -> SafeString:
        """Machine time."""
        return number(f"{stage.duration_ms:,} ms")


class DecisionInline(FactInline):
    """What the analyst answered."""

    model = Decision
    fields = readonly_fields = ("decision", "confidence", "reason", "analyst")
    show_change_link = True


@admin.register(Cycle)
class CycleAdmin(TellsWhy, FactAdmin):
    """One run of the pipeline each."""

    list_display = ("slot", "bot", "mode_shown", "state", "how", "trigger", "took", "why_link")
    list_filter = (by_period("slot"), "status", "trigger", BotFilter, ModeFilter)
    list_select_related = ("bot", "account")
    ordering = ("-id",)
    inlines = (StageInline, DecisionInline)
    story_of = staticmethod(stories.of_cycle)
    actions_detail = ("why",)

    @admin.display(description=_("mode"))
    def mode_shown(self, cycle: Cycle) -> SafeString:
        """Whether the money is real."""
        return mode_badge(cycle.mode, is_demo=cycle.account.is_demo)

    @admin.display(description=_("status"), ordering="status")
    def state(self, cycle: Cycle) -> SafeString:
        """Coloured."""
        return state_badge(tones.CYCLE[CycleStatus(cycle.status)], cycle.get_status_display())

    @admin.display(description=_("outcome"))
    def how(self, cycle: Cycle) -> SafeString:
        """In one sentence."""
        return short(cycle.outcome)

    @admin.display(description=_("duration"))
    def took(self, cycle: Cycle) -> SafeString:
        """Machine time."""
        return number("–" if cycle.finished_at is None else f"{(cycle.finished_at - cycle.recorded_at).total_seconds() * 1000:,.0f} ms")


@admin.register(StageResult)
class StageResultAdmin(FactAdmin):
    """What single stages said."""

    list_display = ("created_at", "cycle", "stage", "said", "reasons_shown")
    list_filter = ("stage", "action")
    list_select_related = ("cycle",)
    ordering = ("-id",)

    @admin.display(description=_("action"))
    def said(self, stage: StageResult) -> SafeString:
        """Coloured."""
        return state_badge(tones.ACTION.get(stage.action, "quiet"), stage.get_action_display())

    @admin.display(description=_("reasons"))
    def reasons_shown(self, stage: StageResult) -> SafeString:
        """All of them."""
        return reasons_of(stage)


@admin.register(Decision)
class DecisionAdmin(TellsWhy, HistoryAdmin):
    """What was answered, and on what it was based."""

    list_display = ("at", "bot", "mode_shown", "symbol", "answer", "sure", "reason_begins", "analyst", "why_link")
    list_filter = (by_period("created_at"), "decision", BotFilter, SymbolFilter, AnalystFilter, ModeFilter)
    list_select_related = ("bot", "account")
    search_fields = ("symbol", "reason")
    search_help_text = _("The beginning of a symbol, or words of the reason.")
    ordering = ("-created_at", "-id")
    export_paths = (
        *("id", "created_at", "bot__name", "account__name", "mode", "symbol", "decision", "confidence", "analyst", "reason"),
        *("candle_count", "anchor_at", "candles_hash", "previous_hash", "hash", "cycle_id"),
    )
    readonly_fields = ("rules_shown", "filter_shown")
    story_of = staticmethod(stories.of_decision)
    actions_detail = ("why",)

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """A symbol's beginning, else words of the reason."""
        symbols = symbols_beginning(request, term)
        return rows.filter(symbol__in=symbols) if symbols else by_words(rows, term, field="reason")

    def totals_of(self, rows: QuerySet[Any]) -> Totals:
        """How often each answer was given."""
        labels = dict(DECISIONS)
        return totals(
            rows,
            lambda groups: ((labels.get(group["decision"], group["decision"]), f"{group['count']:,}") for group in groups),
            by={"decision": "decision"},
        )

    @admin.display(description=_("validator, rule by rule"))
    def rules_shown(self, decision: Decision) -> SafeString:
        """Every rule's answer with what it compared; rules that are off or do not apply are named in one line."""
        rules = decision.verdict.get("rules", [])
        asked = [rule for rule in rules if rule["tests"]]
        left = ", ".join(rule["code"].replace("_", " ") for rule in rules if not rule["tests"]) or "—"
        rows = (
            (
                state_badge({"passed": "good", "blocked": "bad"}.get(rule["answer"], "warn"), ANSWERS.get(rule["answer"], rule["answer"])),
                rule["code"].replace("_", " "),
                "; ".join(f"{test['value']} ({'≤' if test['blocks'] == 'over' else '≥'} {test['limit']})" for test in rule["tests"]),
            )
            for rule in asked
        )
        return format_html(
            "{}<div><small>{}: {}</small></div>", format_html_join("", "<div>{} {} {}</div>", rows), _("off or not asked"), left
        )

    @admin.display(description=_("quick filter"))
    def filter_shown(self, decision: Decision) -> SafeString | str:
        """The verdict of every threshold, and on which span."""
        told = decision.verdict.get("quick_filter")
        if not told or not told["checks"]:
            return "—"
        rows = (
            (
                state_badge("good" if check["is_met"] else "bad", _("met") if check["is_met"] else _("not met")),
                check["name"].replace("_", " "),
                check["value"],
                "≤" if check["is_most"] else "≥",
                check["limit"],
            )
            for check in told["checks"]
        )
        blocks = _("blocks entries") if told["blocks"] else _("is shown only")
        return format_html(
            "{}<div><small>{} · {}</small></div>", format_html_join("", "<div>{} {} {} ({} {})</div>", rows), told["span"], blocks
        )

    @admin.display(description=_("mode"))
    def mode_shown(self, decision: Decision) -> SafeString:
        """Whether the money is real."""
        return mode_badge(decision.mode, is_demo=decision.account.is_demo)

    @admin.display(description=_("decision"), ordering="decision")
    def answer(self, decision: Decision) -> SafeString:
        """Coloured."""
        return state_badge(tones.DECISION.get(decision.decision, "quiet"), decision.get_decision_display())

    @admin.display(description=_("confidence"))
    def sure(self, decision: Decision) -> Any:
        """Empty for the rules, where it does not apply."""
        return "–" if decision.confidence is None else format_html('<span class="dg-number">{} %</span>', f"{decision.confidence:.1f}")

    @admin.display(description=_("reason"))
    def reason_begins(self, decision: Decision) -> SafeString:
        """Its beginning."""
        return short(decision.reason)


@admin.register(Lease)
class LeaseAdmin(FactAdmin):
    """Who may work on what right now."""

    list_display = ("name", "holder", "epoch", "expires_at")
    ordering = ("name",)
