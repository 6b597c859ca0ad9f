"""The guardian: follows prices and plans protective exits between cycles. Needs no Celery, no Redis, no analyst, no web."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from dgbot.core.types import Ticker
from risk.domain.exits import exit_due
from risk.models import KillLevel
from risk.selectors import kill_level
from trading.models import Order, Position
from trading.services import orders

log = logging.getLogger(__name__)


def watched_symbols(*, account_id: int) -> Collection[str]:
    """Symbols in which this account holds something that has a stop or a target."""
    return set(Position.objects.open().filter(account_id=account_id).values_list("symbol", flat=True))


def reached(position: Position, tick: Ticker) -> str | None:
    """Why a position ends at this price, or None."""
    return exit_due(price=tick.price, stop_price=position.stop_price, target_price=position.target_price)


def step(*, account_id: int, tick: Ticker, now: datetime, due: Callable[[Position, Ticker], str | None] = reached) -> list[Order]:
    """Plan the exit of every position that ends at this price. A repeat plans nothing new: one exit per position and version.

    due: why a position ends, for a market where one price alone is not believed.
    """
    held = Position.objects.open().filter(account_id=account_id, symbol=tick.symbol, amount__gt=0).select_related("bot__account")
    reasons = [(position, due(position, tick)) for position in held]
    return [
        orders.plan_exit(position=position, reason=reason, now=now)
        for position, reason in reasons
        if reason is not None and not _is_frozen(position)
    ]


def _is_frozen(position: Position) -> bool:
    """Whether the kill switch forbids every order: then even an exit waits, and the log says which."""
    level = kill_level(
        bot_id=position.bot_id,
        account_id=position.account_id,
        user_id=position.user_id,
        exchange=position.bot.account.exchange,
        symbol=position.symbol,
    )
    if level < KillLevel.FREEZE:
        return False
    log.warning("position=%s bot=%s is due, but the kill switch forbids every order", position.pk, position.bot_id)
    return True
