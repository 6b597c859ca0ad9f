"""Addresses of monitoring's faces."""

from django.urls import path

from dgbot.base.rest.routing import Router
from monitoring.api import faces

router = Router()
router.register("monitoring/logs", faces.LogsFace, "log")
router.register("monitoring/backups", faces.BackupsFace, "backup")

urlpatterns = [
    path("monitoring/logs/summary", faces.LogSummaryFace.as_view(), name="logs_summary"),
    path("monitoring/backups/summary", faces.BackupSummaryFace.as_view(), name="backups_summary"),
    path("monitoring/scheduler", faces.SchedulerFace.as_view(), name="scheduler"),
    path("monitoring/alerts/config", faces.AlertsFace.as_view(), name="alerts_config"),
    path("monitoring/health", faces.HealthFace.as_view(), name="machine_health"),
    *router.urls,
]
