"""What the lists of trades, orders, decisions and positions are filtered by."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.filters import one_of
from risk.domain.exits import ExitReason
from trading.models import Bot

OTHER_REASONS = ("operator", "kill_switch", "unprotected", "recovered")  # exits that no rule of the position asked for
EXIT_REASONS = [(reason, reason.replace("_", " ")) for reason in (*(one.value for one in ExitReason), *OTHER_REASONS)]
MOST_CHOICES = 200  # bots in a filter
MOST_BOTS = 5_000


def symbols_beginning(request: HttpRequest, term: str) -> list[str]:
    """Symbols of the reader's bots that begin with `term`, whatever its case."""
    return [symbol for symbol, _label in _symbols(request) if symbol.casefold().startswith(term.casefold())]


def _own_bots(request: HttpRequest) -> list[tuple[int, str, str]]:
    """Id, name and symbol of the bots the reader may see; asked once for a page."""
    kept: Any = request.__dict__
    if "own_bots" not in kept:
        rows = Bot.objects.for_user(request.user).order_by("is_hidden", "name")
        kept["own_bots"] = list(rows.values_list("pk", "name", "symbol")[:MOST_BOTS])
    found: list[tuple[int, str, str]] = kept["own_bots"]
    return found


def _bots(request: HttpRequest) -> list[tuple[int, str]]:
    return [(pk, name) for pk, name, _symbol in _own_bots(request)[:MOST_CHOICES]]


def _symbols(request: HttpRequest) -> list[tuple[str, str]]:
    return [(symbol, symbol) for symbol in sorted({symbol for _pk, _name, symbol in _own_bots(request)})]


def style(request: HttpRequest) -> str:
    """The looks of these lists and of the pages beside them."""
    return static("trading/history.css")


BotFilter = one_of("bot", _("bot"), _bots)
SymbolFilter = one_of("symbol", _("symbol"), _symbols)
ModeFilter = one_of("mode", _("mode"), MODES)
ExitReasonFilter = one_of("exit_reason", _("exit reason"), EXIT_REASONS)
