"""The app's name for Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BacktestsConfig(AppConfig):
    """Backtests proves."""

    name = "backtests"
    verbose_name = _("Candles and backtests")
    label = "backtests"

    def ready(self) -> None:
        """Have the daily download scheduled at start, and the kernels loaded before they are needed."""
        from backtests import seeds
        from dgbot.base import seeds as registry
        from dgbot.base import warmups

        registry.register(55, "candle schedules", seeds.create_schedules)
        registry.register(56, "backtest schedules", seeds.create_job_schedules)
        warmups.register("kernels", _load_kernels)


def _load_kernels() -> None:
    from backtests.engine import warm

    warm()
