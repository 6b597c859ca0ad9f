"""The app's name for Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TradingConfig(AppConfig):
    """Trading acts."""

    name = "trading"
    verbose_name = _("Trading")
    label = "trading"

    def ready(self) -> None:
        """Have settings, schedules and the demo made at start, and keep schedule and setting together."""
        from dgbot.base import seeds as registry
        from trading import seeds
        from trading.services import schedules

        schedules.connect()
        registry.register(30, "sealing key", seeds.create_sealing_key)
        registry.register(35, "keys in the environment", seeds.import_keys)
        registry.register(40, "settings", seeds.create_settings)
        registry.register(50, "schedules", seeds.create_schedules)
        registry.register(55, "prompt", seeds.create_prompt)
        registry.register(60, "demo", seeds.create_demo)
