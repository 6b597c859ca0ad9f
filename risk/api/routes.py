"""Addresses of risk's faces."""

from dgbot.base.rest.routing import Router
from risk.api import kill, limits

router = Router()
router.register("risk/profiles", limits.ProfilesFace, "risk_profile")
router.register("risk/states", limits.StatesFace, "risk_state")
router.register("risk/events", limits.EventsFace, "risk_event")
router.register("risk/changes", limits.ChangesFace, "limit_change")
router.register("kill-switches", kill.SwitchesFace, "kill_switch")
router.register("kill-switch-changes", kill.SwitchChangesFace, "kill_switch_change")

urlpatterns = router.urls
