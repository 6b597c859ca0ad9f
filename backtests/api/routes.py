"""Addresses of backtests' faces."""

from backtests.api import candles, strategies
from dgbot.base.rest.routing import Router

router = Router()
router.register("strategies", strategies.StrategiesFace, "strategy")
router.register("candles", candles.SeriesFace, "candles")

urlpatterns = router.urls
