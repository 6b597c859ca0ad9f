"""What the lists of trades, orders, decisions and positions are filtered by."""

from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.filters import one_of
from risk.domain.exits import ExitReason
from trading.models import Bot

OTHER_REASONS = ("operator", "kill_switch", "unprotected", "recovered")  # exits that no rule of the position asked for
EXIT_REASONS = [(reason, reason.replace("_", " ")) for reason in (*(one.value for one in ExitReason), *OTHER_REASONS)]
MOST_CHOICES = 200


def _bots(request: HttpRequest) -> list[tuple[int, str]]:
    return list(Bot.objects.for_user(request.user).order_by("is_hidden", "name").values_list("pk", "name")[:MOST_CHOICES])


def _symbols(request: HttpRequest) -> list[tuple[str, str]]:
    found = Bot.objects.for_user(request.user).order_by("symbol").values_list("symbol", flat=True).distinct()[:MOST_CHOICES]
    return [(symbol, symbol) for symbol in found]


def style(request: HttpRequest) -> str:
    """The looks of these lists and of the pages beside them."""
    return static("trading/history.css")


BotFilter = one_of("bot", _("bot"), _bots)
SymbolFilter = one_of("symbol", _("symbol"), _symbols)
ModeFilter = one_of("mode", _("mode"), MODES)
ExitReasonFilter = one_of("exit_reason", _("exit reason"), EXIT_REASONS)
