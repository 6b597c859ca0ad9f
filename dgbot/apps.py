"""The house itself as an app: its checks, its commands, its Celery application."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    """dgbot wires."""

    name = "dgbot"
    label = "dgbot"

    def ready(self) -> None:
        """Register the checks, and the Celery app, without which `delay` would look for a broker on localhost."""
        from dgbot import celery, checks  # noqa: F401  imported for their registrations
