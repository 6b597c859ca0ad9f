"""What the pages of backtests and sweeps share: state with its bar, cancel, retry, pin, and the news a page asks for while it is open."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action

from backtests.models import Job, JobStatus
from backtests.services import jobs, results
from dgbot.accounts import audit
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number, state_badge
from dgbot.core.errors import BadInput

TONES = {
    JobStatus.QUEUED: "quiet",
    JobStatus.RUNNING: "busy",
    JobStatus.CANCELLING: "warn",
    JobStatus.CANCELLED: "quiet",
    JobStatus.FINISHED: "good",
    JobStatus.FAILED: "bad",
    JobStatus.DEAD: "bad",
}
MOST_ASKED = 100  # jobs one page may ask news of


class JobAdmin(FactAdmin):
    """Jobs are asked for, cancelled, retried and pinned; nothing of them is edited."""

    actions = ("cancel_selected", "retry_selected", "pin_selected", "unpin_selected")  # type: ignore[assignment]  # facts usually have none
    actions_detail = ("cancel_one", "retry_one")
    list_select_related = ("user",)

    class Media:
        js = ("backtests/jobs.js",)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:  # type: ignore[override]  # as the admin calls it
        """Whoever may start one."""
        return bool(request.user.has_perm(f"backtests.add_{self.opts.model_name}"))

    def has_steer_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may cancel, retry and pin."""
        return bool(request.user.has_perm(f"backtests.change_{self.opts.model_name}"))

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether there is something to cancel, too."""
        return self._may(request, object_id, finished_at__isnull=True)

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether it was given up, too."""
        return self._may(request, object_id, status=JobStatus.DEAD)

    def _may(self, request: HttpRequest, object_id: Any, **state: Any) -> bool:
        return self.has_steer_permission(request) and (
            object_id is None or self.get_queryset(request).filter(pk=object_id, **state).exists()
        )

    def get_urls(self) -> list[Any]:
        """With the news of open jobs."""
        news = path("news/", self.admin_site.admin_view(self.news), name=f"backtests_{self.opts.model_name}_news")
        return [news, *super().get_urls()]

    def news(self, request: HttpRequest) -> JsonResponse:
        """How the jobs named by `id` stand, of those this user may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = [int(text) for text in request.GET.getlist("id")[:MOST_ASKED] if text.isdigit()]
        rows = self.get_queryset(request).filter(pk__in=asked)
        return JsonResponse({"jobs": [{"id": row.pk, "open": row.is_open, "html": job_state(row)} for row in rows]})

    # --- the list ---
    @admin.display(description=_("state"), ordering="status")
    def stands(self, job: Any) -> SafeString:
        """A bar while something happens; the script beside the page keeps it fresh."""
        address = reverse(f"admin:backtests_{self.opts.model_name}_news")
        return format_html('<span data-job="{}" data-open="{}" data-news="{}">{}</span>', job.pk, int(job.is_open), address, job_state(job))

    @admin.display(description=_("kept"), ordering="is_pinned")
    def pinned(self, job: Any) -> SafeString | str:
        """Whether its files stay."""
        if job.is_pinned:
            return state_badge("good", _("pinned"))
        return state_badge("quiet", _("removed")) if job.expired_at else ""

    # --- what can be done ---
    @admin.action(description=_("Cancel selected"), permissions=["steer"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Those that have not ended."""
        self._cancel(request, list(queryset))

    @admin.action(description=_("Retry selected that were given up"), permissions=["steer"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """With all their attempts."""
        self._retry(request, list(queryset))

    @admin.action(description=_("Pin selected: keep their results"), permissions=["steer"])
    def pin_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """However old they are."""
        self._pin(request, list(queryset), is_pinned=True)

    @admin.action(description=_("Unpin selected"), permissions=["steer"])
    def unpin_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The clean-up takes them when they are old."""
        self._pin(request, list(queryset), is_pinned=False)

    @action(description=_("Cancel"), permissions=["cancel"], icon="cancel")
    def cancel_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it before its time."""
        return self._do_one(request, object_id, self._cancel)

    @action(description=_("Retry"), permissions=["retry"], icon="refresh")
    def retry_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After it was given up."""
        return self._do_one(request, object_id, self._retry)

    def queue(self, request: HttpRequest, job: Any) -> None:
        """Hand it to the workers; each kind of job has its own task."""
        raise NotImplementedError

    def _do_one(self, request: HttpRequest, object_id: str, deed: Any) -> HttpResponse:
        job = self.get_object(request, object_id)
        if job is not None:
            deed(request, [job])
        return redirect(reverse(f"admin:backtests_{self.opts.model_name}_change", args=[object_id]))

    def _cancel(self, request: HttpRequest, wanted: list[Any]) -> None:
        done = [job for job in wanted if job.is_open and jobs.cancel(type(job), job.pk)]
        for job in done:
            audit.record(actor=request.user, action="cancel", target=f"{self.opts.model_name}:{job.pk}")
        told = ngettext("%(done)d is cancelled.", "%(done)d are cancelled.", len(done)) % {"done": len(done)}
        if len(done) < len(wanted):
            told = f"{told} {_('The rest had ended already.')}"
        self.message_user(request, told, messages.SUCCESS if done else messages.WARNING)

    def _retry(self, request: HttpRequest, wanted: list[Any]) -> None:
        for job in wanted:
            try:
                jobs.retry(type(job), job.pk)
            except BadInput as error:
                self.message_user(request, str(error), messages.WARNING)
                continue
            audit.record(actor=request.user, action="retry", target=f"{self.opts.model_name}:{job.pk}")
            self.queue(request, job)

    def _pin(self, request: HttpRequest, wanted: list[Any], *, is_pinned: bool) -> None:
        for job in wanted:
            try:
                results.pin(job, is_pinned=is_pinned)
            except BadInput as error:
                self.message_user(request, str(error), messages.WARNING)


def job_state(job: Job) -> SafeString:
    """Badge, bar and, on hovering, the reason."""
    status = JobStatus(job.status)
    badge = format_html('<span title="{}">{}</span>', job.reason, state_badge(TONES[status], status.label))
    if status is not JobStatus.RUNNING:
        return badge
    share = f"{job.progress:.0%}".replace("%", " %")
    return format_html(
        '{} <progress class="dg-bar" value="{}" max="{}"></progress> {}', badge, job.progress_done, job.progress_total, number(share)
    )


def share(value: Any, *, signed: bool = False) -> SafeString:
    """A fraction as coloured percent; unknown is said."""
    if value is None:
        return number(_("unknown"))
    text = f"{value * 100:{'+' if signed else ''}.2f} %"
    kind = "" if not signed or not value else "dg-gain" if value > 0 else "dg-loss"
    return format_html('<span class="dg-number {}">{}</span>', kind, text)


def ratio(value: Any) -> SafeString:
    """Two decimals; unknown is said."""
    return number(_("unknown") if value is None else f"{value:,.2f}")
