"""The app's name for Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles, audit log, heartbeats."""

    name = "dgbot.accounts"
    label = "accounts"
