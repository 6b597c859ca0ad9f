"""The app's name for Django, and what it listens to."""

from datetime import UTC, datetime

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """Monitoring watches."""

    name = "monitoring"
    verbose_name = _("Monitoring")
    label = "monitoring"

    def ready(self) -> None:
        """Listen to trading's news, keep a process's log in the database, and have partitions made at start."""
        from dgbot.base import seeds
        from monitoring import live, logs
        from monitoring.seeds import create_schedules

        seeds.register(80, "log partitions", lambda: logs.ensure_partitions(datetime.now(tz=UTC)))
        seeds.register(81, "monitoring's schedules", create_schedules)
        if settings.TESTING:
            return  # a test that wants them asks
        live.connect()
        if settings.PROCESS:
            logs.attach()
