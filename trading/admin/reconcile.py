"""What comparing with the exchanges has shown, and how an operator lets entries through again."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number, quantity, short, state_badge
from dgbot.base.confirm import ask
from dgbot.core.errors import BadInput
from trading.domain.reconcile import Verdict
from trading.models import ExternalOrder, ReconcileBreak, ReconcileRun
from trading.services import account_breaks

TONES = {Verdict.STABLE: "good", Verdict.READ: "good", Verdict.UNSTABLE: "warn", Verdict.VOID: "bad"}


@admin.register(ReconcileRun)
class ReconcileRunAdmin(FactAdmin):
    """Each run, what it booked and what differed."""

    list_display = ("recorded_at", "account", "scope", "verdict_shown", "news", "differing", "took", "why")
    list_filter = ("verdict", "scope", ("account", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("account",)
    ordering = ("-id",)

    @admin.display(description=_("verdict"), ordering="verdict")
    def verdict_shown(self, run: ReconcileRun) -> SafeString:
        """Red when a question went unanswered."""
        return state_badge(TONES[Verdict(run.verdict)], run.get_verdict_display())

    @admin.display(description=_("booked"))
    def news(self, run: ReconcileRun) -> str:
        """What was news."""
        return ", ".join(f"{name} {count}" for name, count in run.booked.items()) or "–"

    @admin.display(description=_("differences"))
    def differing(self, run: ReconcileRun) -> SafeString:
        """Asset by asset."""
        return short("; ".join(run.differences) or "–")

    @admin.display(description=_("took"))
    def took(self, run: ReconcileRun) -> SafeString:
        """Milliseconds."""
        return number(f"{run.duration_ms} ms")

    @admin.display(description=_("cause"))
    def why(self, run: ReconcileRun) -> SafeString:
        """Of a void or unstable run."""
        return short(run.cause or "–")


class StillOpen(admin.SimpleListFilter):
    """Whether it blocks entries."""

    title = _("question")
    parameter_name = "question"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The questions."""
        return [("blocks", _("blocks entries")), ("seen", _("seen by one run")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows that answer."""
        wanted: dict[str | None, Q] = {
            "blocks": Q(over_at=None, confirmed_at__isnull=False),
            "seen": Q(over_at=None, confirmed_at=None),
            "over": Q(over_at__isnull=False),
        }
        return queryset.filter(wanted.get(self.value(), Q()))


@admin.register(ReconcileBreak)
class ReconcileBreakAdmin(FactAdmin):
    """Differences to the exchange. An open one blocks the entries of its account; exits go on."""

    list_display = ("first_seen_at", "account", "kind", "subject", "told_shown", "booked_shown", "state", "detail")
    list_filter = (StillOpen, "kind", ("account", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("account",)
    ordering = ("-id",)
    actions_detail = ("end_it",)

    @admin.display(description=_("exchange"))
    def told_shown(self, row: ReconcileBreak) -> SafeString:
        """As the exchange tells."""
        return quantity(row.told)

    @admin.display(description=_("books"))
    def booked_shown(self, row: ReconcileBreak) -> SafeString:
        """As our ledger says."""
        return quantity(row.booked)

    @admin.display(description=_("state"))
    def state(self, row: ReconcileBreak) -> SafeString:
        """Red while it blocks."""
        if row.over_at is not None:
            return state_badge("quiet", _("over"))
        return state_badge("warn", _("seen by one run")) if row.confirmed_at is None else state_badge("bad", _("blocks entries"))

    def has_end_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Whoever may change limits may let entries through."""
        return bool(request.user.has_perm("trading.change_reconcilebreak"))

    @action(description=_("It has been looked into"), permissions=["end"], icon="task_alt")
    def end_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let entries through again, with what was found. A difference that is still there comes back by itself."""
        row = self.get_object(request, object_id)
        if request.method != "POST":
            return ask(self, request, question=_("Let entries of %(account)s through again?") % {"account": row.account}, with_reason=True)
        try:
            account_breaks.end_break(break_pk=row.pk, by=request.user, reason=request.POST.get("reason", ""))
            messages.success(request, _("Entries of %(account)s pass again, unless something else blocks them.") % {"account": row.account})
        except BadInput as error:
            messages.error(request, str(error))
        return redirect(reverse("admin:trading_reconcilebreak_change", args=[object_id]))


@admin.register(ExternalOrder)
class ExternalOrderAdmin(FactAdmin):
    """Orders in our accounts that are not ours."""

    list_display = ("created_at", "account", "symbol", "side", "status", "filled", "is_resting")
    list_filter = ("is_resting", ("account", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("account",)
    ordering = ("-id",)

    @admin.display(description=_("filled"))
    def filled(self, order: ExternalOrder) -> SafeString:
        """Base currency."""
        return quantity(order.filled_amount)
