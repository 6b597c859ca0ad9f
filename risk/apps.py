"""The app's name for Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RiskConfig(AppConfig):
    """Risk limits."""

    name = "risk"
    verbose_name = _("Risk")
    label = "risk"

    def ready(self) -> None:
        """Have the shared profiles made at start."""
        from dgbot.base import seeds as registry
        from risk import seeds

        registry.register(30, "risk profiles", seeds.create_profiles)
