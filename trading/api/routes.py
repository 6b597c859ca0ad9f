"""Addresses of trading's faces."""

from dgbot.base.rest.routing import Router
from trading.api import bots, facts

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

urlpatterns = router.urls
