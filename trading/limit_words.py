"""What each limit is called, wherever its use is shown."""

from django.utils.translation import gettext_lazy as _

NAMES = {
    "daily_loss": _("loss today"),
    "weekly_loss": _("loss in 7 trading days"),
    "drawdown": _("below its peak"),
    "loss_streak": _("losing trades in a row"),
    "daily_count": _("entries today"),
    "spacing": _("still to wait"),
    "position": _("position"),
    "account_exposure": _("at stake in the account"),
    "symbol_exposure": _("at stake in the symbol"),
    "group_exposure": _("at stake in the group"),
    "leverage": _("at stake, leverage"),
    "liquidation_gap": _("gap from stop to liquidation, needed of what is there"),
}
