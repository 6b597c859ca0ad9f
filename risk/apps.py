"""The app's name for Django."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """Risk limits."""

    name = "risk"
    label = "risk"
