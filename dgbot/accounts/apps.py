"""The app's name for Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Users, roles, audit log, heartbeats."""

    name = "dgbot.accounts"
    verbose_name = _("Users and processes")
    label = "accounts"

    def ready(self) -> None:
        """Have roles and the first account made at start."""
        from dgbot.accounts import seeds, sign_ins, user_audit  # noqa: F401  they listen
        from dgbot.base import seeds as registry

        registry.register(10, "roles", seeds.create_roles)
        registry.register(20, "operator account", seeds.create_operator)
