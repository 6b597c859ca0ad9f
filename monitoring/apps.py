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
        from dgbot.base import loops, seeds
        from monitoring import live, logs
        from monitoring.notifications import bell
        from monitoring.notifications import seeds as notifications
        from monitoring.seeds import create_schedules
        from monitoring.system import reader, requests

        seeds.register(80, "log partitions", lambda: logs.ensure_partitions(datetime.now(tz=UTC)))
        seeds.register(81, "monitoring's schedules", create_schedules)
        seeds.register(82, "what dashboards may read", reader.grant)
        seeds.register(85, "notification channels", notifications.create_channels)
        seeds.register(86, "notification read marks", notifications.begin_reading)
        seeds.register(87, "notification schedules", notifications.create_schedules)
        if settings.TESTING:
            return  # a test that wants them asks
        live.connect()
        bell.listen()
        if settings.PROCESS:
            logs.attach()
        if settings.PROCESS == "web":
            loops.beat_in_background("web")
            requests.tally.is_on = True
