"""Choices of columns that hold a core enum, so that words and their translations stand once."""

from django.utils.translation import gettext_lazy as _

from dgbot.core.types import Mode, OrderType, Purpose, Side

MODES = [
    (Mode.SIMULATED.value, _("simulated")),
    (Mode.REPLAY.value, _("replay")),
    (Mode.PAPER.value, _("paper")),
    (Mode.LIVE.value, _("live")),
]
SIDES = [(Side.BUY.value, _("buy")), (Side.SELL.value, _("sell"))]
ORDER_TYPES = [(OrderType.MARKET.value, _("market")), (OrderType.LIMIT.value, _("limit"))]
PURPOSES = [(Purpose.ENTRY.value, _("entry")), (Purpose.EXIT.value, _("exit")), (Purpose.EMERGENCY.value, _("emergency"))]
