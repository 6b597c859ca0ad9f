"""Schedules, in the skin of the rest. An edit here is effective within seconds; nothing overwrites it."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from dgbot.base.admin import HouseAdmin

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The list of registered tasks."""


class ScheduleForm(PeriodicTaskForm):
    """The form of a schedule with the skin's inputs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin, HouseAdmin):
    """When jobs run."""

    form = ScheduleForm
    list_display = ("name", "enabled", "when", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "solar", "clocked")
    date_hierarchy = None

    @admin.display(description=_("runs"))
    def when(self, task: PeriodicTask) -> str:
        """Its plan in words."""
        return str(task.schedule_str if hasattr(task, "schedule_str") else task.scheduler)


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(HouseAdmin):
    """Every so many minutes."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, HouseAdmin):
    """At certain minutes, hours and days of a time zone."""


@admin.register(SolarSchedule)
class SolarScheduleAdmin(HouseAdmin):
    """By the sun. Cycles refuse it: it has no grid."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatClockedScheduleAdmin, HouseAdmin):
    """Once."""
