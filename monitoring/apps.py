"""The app's name for Django."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Monitoring watches."""

    name = "monitoring"
    label = "monitoring"
