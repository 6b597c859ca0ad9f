"""Addresses of backtests' faces."""

from backtests.api import candles, runs, strategies, sweeps
from dgbot.base.rest.routing import Router

router = Router()
router.register("strategies", strategies.StrategiesFace, "strategy")
router.register("candles", candles.SeriesFace, "candles")
router.register("backtests", runs.BacktestsFace, "backtest")
router.register("sweeps", sweeps.SweepsFace, "sweep")

urlpatterns = router.urls
