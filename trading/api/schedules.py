"""Schedules of trading cycles."""

from datetime import datetime

from django.utils import timezone as clock
from django_celery_beat.models import PeriodicTask
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.base.rest.fields import Instant, RowSerializer
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import Input, Rows
from trading.services import schedule_editing, slots
from trading.services.schedules import CYCLES


class ScheduleRow(RowSerializer):
    """When cycles run."""

    crontab = serializers.SerializerMethodField(allow_null=True, help_text="Five fields; null for a schedule of another kind.")
    timezone = serializers.SerializerMethodField(allow_null=True)
    period_minutes = serializers.SerializerMethodField(allow_null=True, help_text="Null unless it names the same instants every day.")
    next_run_at = serializers.SerializerMethodField(allow_null=True)

    class Meta:
        model = PeriodicTask
        fields = (
            "id",
            "name",
            "enabled",
            "crontab",
            "timezone",
            "period_minutes",
            "next_run_at",
            "last_run_at",
            "total_run_count",
            "description",
        )

    def get_crontab(self, task: PeriodicTask) -> str | None:
        """As in a crontab."""
        found: str | None = schedule_editing.described(task)["crontab"]
        return found

    def get_timezone(self, task: PeriodicTask) -> str | None:
        """Its clock."""
        found: str | None = schedule_editing.described(task)["timezone"]
        return found

    def get_period_minutes(self, task: PeriodicTask) -> int | None:
        """Of a daily grid."""
        return slots.period_minutes(task)

    def get_next_run_at(self, task: PeriodicTask) -> datetime | None:
        """The next instant it names; null while it is switched off."""
        found = slots.upcoming(task, now=clock.now()) if task.enabled else None
        return None if found is None else Instant().to_representation(found)  # type: ignore[return-value]


class ScheduleInput(Input):
    """A new schedule."""

    name = serializers.CharField(max_length=200)
    crontab = serializers.CharField(max_length=200, help_text="minute hour day-of-month month day-of-week, such as `0 * * * *`.")
    timezone = serializers.CharField(max_length=63, required=False, default="Asia/Seoul")
    enabled = serializers.BooleanField(required=False, default=True)
    description = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)


class ScheduleChange(Input):
    """What changes of a schedule."""

    crontab = serializers.CharField(max_length=200, required=False)
    timezone = serializers.CharField(max_length=63, required=False)
    enabled = serializers.BooleanField(required=False)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=255, required=False, default="", allow_blank=True)


EVERY_HOUR = OpenApiExample("Every four hours", value={"name": "Every four hours", "crontab": "0 */4 * * *"}, request_only=True)


@extend_schema_view(list=extend_schema(summary="Schedules"), retrieve=extend_schema(summary="One schedule"))
class SchedulesFace(Rows):
    """Schedules that trading cycles follow; everybody's bots may follow one."""

    queryset = PeriodicTask.objects.filter(task=CYCLES).select_related("crontab", "interval")
    serializer_class = ScheduleRow
    orderings = ("id", "-id")
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("django_celery_beat.view_periodictask")),
        "create": trades("django_celery_beat.add_periodictask"),
        "partial_update": trades("django_celery_beat.change_periodictask"),
    }

    @extend_schema(summary="Make a schedule", request=ScheduleInput, responses={201: ScheduleRow}, examples=[EVERY_HOUR])
    def create(self, request: Request) -> Response:
        """Bots follow it once they name it."""
        return self.shown(schedule_editing.create(**self.given(request, ScheduleInput), by=request.user), status=201)

    @extend_schema(summary="Change a schedule", request=ScheduleChange, responses=ScheduleRow)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Followed within seconds. “Trading cycle (hourly)” and the setting `trading_interval_minutes` are one."""
        task, asked = self.get_object(), dict(self.given(request, ScheduleChange, partial=True))
        reason = asked.pop("reason", "")
        return self.shown(schedule_editing.change(task_pk=task.pk, values=asked, by=request.user, reason=reason))
