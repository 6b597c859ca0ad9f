"""What the platform says of itself: its log, its schedules, its backups, its channels, its machine."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_filters import CharFilter, ChoiceFilter
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts import jobs
from dgbot.accounts.models import Heartbeat
from dgbot.base.machine import machine_now
from dgbot.base.rest.authentication import user_of
from dgbot.base.rest.fields import Instant, RowSerializer
from dgbot.base.rest.filters import filters, refuse_unknown
from dgbot.base.rest.needs import reads
from dgbot.base.rest.paging import LongPagination
from dgbot.base.rest.views import Face, Rows
from monitoring import machine
from monitoring.backups import keeping
from monitoring.backups.models import Backup, BackupKind
from monitoring.models import Channel, LogLevel, SystemLog
from trading.services import slots

SEES_LOGS, SEES_BACKUPS, SEES_SCHEDULES = "monitoring.view_systemlog", "monitoring.view_backup", "django_celery_beat.view_periodictask"
MOST_HOURS, DAY_HOURS = 168, 24
LOGGERS_TOLD = 20
TAG = "monitoring"


class LogRow(RowSerializer):
    """One line."""

    context = serializers.JSONField(help_text="Logger, process and the ids the line speaks of.")  # type: ignore[assignment]  # a column's name

    class Meta:
        model = SystemLog
        fields = ("id", "level", "message", "context", "created_at")


class LogFilters(filters(SystemLog, exact=("level",), times=("created_at",))):  # type: ignore[misc]
    """And by logger."""

    logger_name = CharFilter(field_name="context__logger", max_length=200, label="Such as trading.services.gateway.")


@extend_schema_view(list=extend_schema(summary="Log lines"), retrieve=extend_schema(summary="One log line"))
class LogsFace(Rows):
    """The system log: lines of our own loggers from INFO on, without secrets."""

    queryset = SystemLog.objects.all()
    serializer_class = LogRow
    filterset_class = LogFilters
    orderings = ("-created_at", "created_at")
    pagination_class = LongPagination
    needs = dict.fromkeys(("list", "retrieve"), reads(SEES_LOGS))
    tag = TAG


class LoggerCount(serializers.Serializer[Any]):
    """How much one logger said."""

    logger = serializers.CharField(allow_null=True)
    count = serializers.IntegerField()


class LogSummary(serializers.Serializer[Any]):
    """How much was said."""

    hours = serializers.IntegerField()
    since = Instant()
    total = serializers.IntegerField()
    levels = serializers.DictField(child=serializers.IntegerField(), help_text="By level, all four.")
    loggers = LoggerCount(many=True, help_text="The loudest 20.")


class LogSummaryFace(Face):
    """How much was logged."""

    needs = {"get": reads(SEES_LOGS)}
    tag = TAG

    @extend_schema(
        operation_id="monitoring_logs_summary",
        summary="Log lines by level and logger",
        parameters=[OpenApiParameter("hours", {"type": "integer", "minimum": 1, "maximum": MOST_HOURS, "default": DAY_HOURS})],
        responses=LogSummary,
    )
    def get(self, request: Request) -> Response:
        """Of the last hours."""
        refuse_unknown(request.query_params, known={"hours"})
        hours = _hours(request)
        since = timezone.now() - timedelta(hours=hours)
        lines = SystemLog.objects.filter(created_at__gte=since)
        counted = dict(lines.values_list("level").annotate(count=Count("pk")).order_by())
        loggers = (
            lines.annotate(logger=KeyTextTransform("logger", "context")).values("logger").annotate(count=Count("pk")).order_by("-count")
        )
        told = {
            "hours": hours,
            "since": since,
            "total": sum(counted.values()),
            "levels": {level: counted.get(level, 0) for level in LogLevel.values},
            "loggers": list(loggers[:LOGGERS_TOLD]),
        }
        return Response(LogSummary(told).data)


class JobShape(serializers.Serializer[Any]):
    """One schedule, when it fires next, and how its last run ended."""

    name = serializers.CharField()
    task = serializers.CharField()
    enabled = serializers.BooleanField()
    next_run_at = Instant(allow_null=True)
    last_run_at = Instant(allow_null=True)
    last_duration_ms = serializers.IntegerField(allow_null=True)
    last_succeeded = serializers.BooleanField(allow_null=True)
    last_result = serializers.CharField(allow_null=True, allow_blank=True)
    runs = serializers.IntegerField()
    failures = serializers.IntegerField()


class SchedulerShape(serializers.Serializer[Any]):
    """Who gives the beat, and every schedule."""

    is_beating = serializers.BooleanField(allow_null=True, help_text="Null: no beat has ever been heard.")
    last_beat_at = Instant(allow_null=True)
    jobs = JobShape(many=True)


class SchedulerFace(Face):
    """Schedules."""

    needs = {"get": reads(SEES_SCHEDULES)}
    tag = TAG

    @extend_schema(operation_id="monitoring_scheduler", summary="Schedules and their last runs", responses=SchedulerShape)
    def get(self, request: Request) -> Response:
        """Every schedule, not only those of cycles."""
        refuse_unknown(request.query_params, known=set())
        now, ended = machine_now(), jobs.last_runs()
        beat = Heartbeat.objects.filter(process="beat").order_by("-beat_at").first()
        is_beating = None if beat is None else (now - beat.beat_at).total_seconds() <= beat.late_after_s
        tasks = PeriodicTask.objects.select_related("crontab", "interval").order_by("name")
        told = {
            "is_beating": is_beating,
            "last_beat_at": None if beat is None else beat.beat_at,
            "jobs": [_job(task, ended.get(task.name), now=now) for task in tasks],
        }
        return Response(SchedulerShape(told).data)


class BackupRow(RowSerializer):
    """One attempt to back something up."""

    class Meta:
        model = Backup
        fields = (
            *("id", "kind", "reason", "state", "file", "bytes", "sha256", "duration_ms", "error"),
            *("started_at", "proven_at", "uploaded_at", "removed_at"),
        )


class BackupFilters(filters(Backup, exact=("state",), times=("started_at",))):  # type: ignore[misc]
    """And by what was backed up."""

    backup_type = ChoiceFilter(field_name="kind", choices=BackupKind.choices, label="What was backed up.")


@extend_schema_view(list=extend_schema(summary="Backups"), retrieve=extend_schema(summary="One backup"))
class BackupsFace(Rows):
    """Backups, those that failed included."""

    queryset = Backup.objects.all()
    serializer_class = BackupRow
    filterset_class = BackupFilters
    needs = dict.fromkeys(("list", "retrieve"), reads(SEES_BACKUPS))
    tag = TAG


class StandingShape(serializers.Serializer[Any]):
    """How one kind of backup stands."""

    kind = serializers.CharField()
    count = serializers.IntegerField()
    bytes = serializers.IntegerField()
    newest = serializers.CharField(allow_blank=True, help_text="File of the newest good one.")
    age_s = serializers.FloatField(allow_null=True, help_text="Of the newest good one; null: there is none.")
    proven_age_s = serializers.FloatField(allow_null=True, help_text="Since a drill last restored one; null: never.")
    failures = serializers.IntegerField(help_text="Since the newest good one.")
    last_error = serializers.CharField(allow_blank=True)


class BackupSummaryFace(Face):
    """How backups stand."""

    needs = {"get": reads(SEES_BACKUPS)}
    tag = TAG

    @extend_schema(operation_id="monitoring_backups_summary", summary="How backups stand", responses=StandingShape(many=True))
    def get(self, request: Request) -> Response:
        """By kind: how many, how old the newest good one is, when one was last proven."""
        refuse_unknown(request.query_params, known=set())
        return Response([StandingShape(one.as_dict()).data for one in keeping.standing()])


class ChannelShape(RowSerializer):
    """One way a user is told, without its secret address."""

    address = serializers.CharField(source="shown", allow_blank=True, help_text="What may be shown of it.")
    kinds = serializers.ListField(child=serializers.CharField())
    modes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Channel
        fields = ("id", "name", "medium", "address", "is_enabled", "kinds", "least_level", "modes", "per_minute", "failures", "broken_at")


class AlertsShape(serializers.Serializer[Any]):
    """Whom alerts reach and what makes one."""

    channels = ChannelShape(many=True)
    warn_percent = serializers.FloatField(help_text="Of processor, memory and disk.")


class AlertsFace(Face):
    """How one is told."""

    needs = {"get": reads()}
    tag = TAG

    @extend_schema(operation_id="monitoring_alerts_config", summary="Your alerts", responses=AlertsShape)
    def get(self, request: Request) -> Response:
        """Your own channels, and the limits of `GET /api/v1/monitoring/health`."""
        refuse_unknown(request.query_params, known=set())
        own = Channel.objects.filter(user=user_of(request)).order_by("pk")
        return Response({"channels": ChannelShape(own, many=True).data, "warn_percent": machine.WARN_PERCENT})


class MemoryShape(serializers.Serializer[Any]):
    """Memory of the machine."""

    percent = serializers.FloatField()
    available_mb = serializers.FloatField()


class DiskShape(serializers.Serializer[Any]):
    """Disk of the data folder."""

    percent = serializers.FloatField()
    free_gb = serializers.FloatField()


class HealthShape(serializers.Serializer[Any]):
    """How the machine does."""

    status = serializers.ChoiceField(choices=["OK", "WARNING"])
    cpu_percent = serializers.FloatField(help_text="Since the last question to this web process.")
    memory = MemoryShape()
    disk = DiskShape()
    warnings = serializers.ListField(child=serializers.CharField())


BUSY = OpenApiExample(
    "A busy machine",
    value={
        "status": "WARNING",
        "cpu_percent": 82.5,
        "memory": {"percent": 61.2, "available_mb": 3100.5},
        "disk": {"percent": 40.1, "free_gb": 120.4},
        "warnings": ["CPU 82.5 % is over 80 %"],
    },
    response_only=True,
)


class HealthFace(Face):
    """The machine."""

    needs = {"get": reads()}
    tag = TAG

    @extend_schema(operation_id="monitoring_health", summary="How the machine does", responses=HealthShape, examples=[BUSY])
    def get(self, request: Request) -> Response:
        """OK, or WARNING with one sentence for each limit passed. Whether the platform can work is `/health/ready`."""
        refuse_unknown(request.query_params, known=set())
        found = machine.look()
        told = {
            "status": found.status,
            "cpu_percent": found.cpu_percent,
            "memory": {"percent": found.memory_percent, "available_mb": found.memory_available_mb},
            "disk": {"percent": found.disk_percent, "free_gb": found.disk_free_gb},
            "warnings": found.warnings,
        }
        return Response(HealthShape(told).data)


def _hours(request: Request) -> int:
    text = request.query_params.get("hours", str(DAY_HOURS))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST_HOURS):
        raise ValidationError({"hours": [f"It must be a whole number from 1 to {MOST_HOURS}."]})
    return int(text)


def _job(task: PeriodicTask, run: Any, *, now: datetime) -> dict[str, Any]:
    return {
        **{name: getattr(task, name) for name in ("name", "task", "enabled")},
        "next_run_at": slots.upcoming(task, now=now) if task.enabled else None,
        "last_run_at": None if run is None else run.started_at,
        "last_duration_ms": None if run is None else run.duration_ms,
        "last_succeeded": None if run is None else run.is_ok,
        "last_result": None if run is None else run.result,
        "runs": 0 if run is None else run.runs,
        "failures": 0 if run is None else run.failures,
    }
