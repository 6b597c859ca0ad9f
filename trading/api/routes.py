"""Addresses of trading's faces."""

from django.urls import path

from dgbot.base.rest.routing import Router
from trading.api import bots, facts, schedules, settings, short_forms

router = Router()
router.register("bots", bots.BotsFace, "bot")
router.register("accounts", facts.AccountsFace, "account")
router.register("balances", facts.BalancesFace, "balance")
router.register("positions", facts.PositionsFace, "position")
router.register("orders", facts.OrdersFace, "order")
router.register("trades", facts.TradesFace, "trade")
router.register("cycles", facts.CyclesFace, "cycle")
router.register("decisions", facts.DecisionsFace, "decision")
router.register("snapshots", facts.SnapshotsFace, "snapshot")
router.register("settings", settings.SettingsFace, "setting")
router.register("setting-versions", settings.VersionsFace, "setting_version")
router.register("schedules", schedules.SchedulesFace, "schedule")

urlpatterns = router.urls

short_patterns = [
    path("bot/start", short_forms.StartFace.as_view(), name="bot_start"),
    path("bot/stop", short_forms.StopFace.as_view(), name="bot_stop"),
    path("bot/status", short_forms.StatusFace.as_view(), name="bot_status"),
    path("account/positions", short_forms.PositionsShortFace.as_view(), name="account_positions"),
]
