"""The app's name for Django."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """Trading acts."""

    name = "trading"
    label = "trading"
