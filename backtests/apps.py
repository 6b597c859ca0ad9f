"""The app's name for Django."""

from django.apps import AppConfig


class BacktestsConfig(AppConfig):
    """Backtests proves."""

    name = "backtests"
    label = "backtests"
