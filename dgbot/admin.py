"""Schedules, in the skin of the rest. An edit here is effective within seconds; nothing overwrites it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from dgbot.accounts import audit
from dgbot.accounts.models import JobRun
from dgbot.base.admin import HouseAdmin
from dgbot.base.badges import number, short, state_badge
from dgbot.base.display import age
from dgbot.core.errors import BadInput, DgbotError
from trading import jobs
from trading.models import Bot
from trading.services import schedules
from trading.services.schedules import CYCLES

NOW = ("coming", "last_run", "last_result", "last_duration", "followers")  # on the page of a schedule
MOST_FOLLOWERS = 50
OURS = ("trading.", "monitoring.", "backtests.")

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The list of registered tasks."""


class ScheduleForm(PeriodicTaskForm):
    """The form of a schedule with the skin's inputs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelect()

    def clean(self) -> Any:
        """Refused here with the same sentence as everywhere."""
        data = super().clean()
        edited = PeriodicTask(name=self.instance.name or data.get("name", ""), task=data.get("task", ""))
        edited.crontab, edited.interval = data.get("crontab"), data.get("interval")
        _or_form_error(schedules.check, edited)
        return data


class PlanForm(forms.ModelForm):
    """A crontab or an interval, which the default schedule may follow."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # fills the instance
        if not self.errors:
            try:
                schedules.check_plan(self.instance)
            except BadInput as error:
                self.add_error(None, str(error))


def _or_form_error(check: Any, value: Any) -> None:
    try:
        check(value)
    except BadInput as error:
        raise forms.ValidationError(str(error)) from None


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin, HouseAdmin):
    """When jobs run, how they ended, and a button to run one now."""

    form = ScheduleForm
    list_display = ("name", "enabled", "when", "next_run", "last_run", "last_result", "last_duration")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "solar", "clocked")
    date_hierarchy = None
    actions = ("enable_tasks", "disable_tasks", "run_now")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """With the last run of each, in the same query."""
        last = JobRun.objects.filter(name=OuterRef("name"))
        shape = JSONObject(started_at="started_at", duration_ms="duration_ms", is_ok="is_ok", result="result")
        return super().get_queryset(request).annotate(job=Subquery(last.values(json=shape)[:1]))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What comes next, how the last run ended and who follows stand first."""
        told = super().get_fieldsets(request, obj)
        return told if obj is None else ((_("Now"), {"fields": NOW}), *told)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Our own jobs are known by name."""
        own = ("name",) if obj is not None and obj.task.startswith(OURS) else ()
        return (*self.readonly_fields, *NOW, *own)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row, which knows whose bots its page names."""
        row = super().get_object(request, object_id, from_field)
        row.reader = request.user
        return row

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Our own jobs are switched off, not deleted: the next start would only bring them back."""
        if obj is not None and obj.task.startswith(OURS) and not obj.task.startswith(CYCLES):
            return False
        if obj is not None and obj.name == schedules.HOURLY:
            return False
        return bool(super().has_delete_permission(request, obj))

    def get_actions(self, request: HttpRequest) -> Any:
        """Deleting is asked for one at a time, and switching only of those who may."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whoever may edit a schedule may run it."""
        return bool(self.has_change_permission(request))

    @admin.action(description=_("Switch selected schedules on"), permissions=["run"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Their next run is their next instant; what passed meanwhile is not made up for."""
        self._switch(request, queryset, to=True)

    @admin.action(description=_("Switch selected schedules off"), permissions=["run"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Nothing fires until they are switched on."""
        self._switch(request, queryset, to=False)

    @admin.action(description=_("Run selected schedules now"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """An extra run; for a cycle schedule, an extra cycle of each of its running bots."""
        for task in queryset:
            try:
                messages.success(request, jobs.run_now(task, by=request.user))
            except DgbotError as error:
                messages.error(request, f"{task.name}: {error}")

    def _switch(self, request: HttpRequest, queryset: QuerySet[PeriodicTask], *, to: bool) -> None:
        with transaction.atomic():
            changed = list(queryset.exclude(enabled=to).order_by("pk"))
            PeriodicTask.objects.filter(pk__in=[task.pk for task in changed]).update(enabled=to)
            for task in changed:
                audit.record(actor=request.user, action="switch schedule", target=f"schedule:{task.pk}", diff={"enabled": [not to, to]})
        messages.success(
            request, ngettext("%(count)d schedule switched.", "%(count)d schedules switched.", len(changed)) % {"count": len(changed)}
        )

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: Any, change: bool) -> None:
        """With its trace in the audit log; the setting follows in the same transaction."""
        super().save_model(request, obj, form, change)
        diff = {name: [str(form.initial.get(name, "")), str(form.cleaned_data.get(name, ""))] for name in form.changed_data}
        audit.record(actor=request.user, action="change schedule" if change else "create schedule", target=f"schedule:{obj.pk}", diff=diff)
        if obj.name == schedules.HOURLY:
            schedules.follow_schedule(by=request.user, reason="the schedule was edited in the admin")

    @admin.display(description=_("next runs"))
    def coming(self, task: PeriodicTask) -> str:
        """Its next instants, in the reader's zone."""
        runs = jobs.coming_runs(task, now=timezone.now())
        return " · ".join(f"{timezone.localtime(at):%m-%d %H:%M:%S}" for at in runs) or str(_("none: it is off, or they cannot be told"))

    @admin.display(description=_("followed by"))
    def followers(self, task: Any) -> str:
        """The reader's bots that run by it."""
        names = Bot.objects.for_user(task.reader).filter(schedule=task).order_by("name").values_list("name", flat=True)
        return ", ".join(names[:MOST_FOLLOWERS]) or str(_("no bot"))

    @admin.display(description=_("runs"))
    def when(self, task: PeriodicTask) -> str:
        """Its plan in words."""
        return str(task.crontab.human_readable if task.crontab else task.scheduler or "–")

    @admin.display(description=_("next run"))
    def next_run(self, task: PeriodicTask) -> str:
        """When it fires next."""
        return jobs.next_run_text(task)

    @admin.display(description=_("last run"), ordering="last_run_at")
    def last_run(self, task: Any) -> SafeString:
        """How long ago."""
        return number(age(None if task.last_run_at is None else timezone.now() - task.last_run_at))

    @admin.display(description=_("last result"))
    def last_result(self, task: Any) -> SafeString:
        """What the job answered, or why it failed."""
        job = task.job
        if not job:
            return state_badge("quiet", _("none yet"))
        return format_html(
            "{} {}", state_badge("good" if job["is_ok"] else "bad", _("done") if job["is_ok"] else _("failed")), short(job["result"])
        )

    @admin.display(description=_("duration"))
    def last_duration(self, task: Any) -> SafeString:
        """Of its last run."""
        return number(_("%(ms)s ms") % {"ms": f"{task.job['duration_ms']:,}"} if task.job else "–")


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(HouseAdmin):
    """Every so many minutes."""

    form = PlanForm


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, HouseAdmin):
    """At certain minutes, hours and days of a time zone."""

    form = PlanForm


@admin.register(SolarSchedule)
class SolarScheduleAdmin(HouseAdmin):
    """By the sun. Cycles refuse it: it has no grid."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatClockedScheduleAdmin, HouseAdmin):
    """Once."""
