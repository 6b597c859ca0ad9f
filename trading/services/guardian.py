"""The guardian: follows prices and plans protective exits between cycles. Needs no Celery, no Redis, no analyst, no web."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from dgbot.core.crash import crash_point
from dgbot.core.protocols import Exchange
from dgbot.core.types import Ticker
from risk.models import KillLevel
from risk.selectors import kill_level
from trading.models import Order, Position
from trading.services import exits

log = logging.getLogger(__name__)


def watched_symbols(*, account_id: int) -> Collection[str]:
    """Symbols in which this account holds something that has a stop or a target."""
    return set(Position.objects.open().filter(account_id=account_id).values_list("symbol", flat=True))


def step(
    *,
    account_id: int,
    exchange: Exchange,
    tick: Ticker,
    now: datetime,
    believes: Callable[[Position, Ticker], bool] = lambda _position, _tick: True,
) -> list[Order]:
    """Plan what this price sells of every position, whole or in part. A repeat plans nothing new: one exit per position and version.

    exchange: told the market's grid and minimum, and only where a position has partial levels. believes: asked at every look whether
    the price is to be acted on, for a market where one price alone is not believed.
    """
    held = Position.objects.open().filter(account_id=account_id, symbol=tick.symbol, amount__gt=0).select_related("bot__account")
    planned = []
    for position in held:
        if not believes(position, tick):
            continue
        seen = exits.look(position, price=tick.price, rules=exits.rules_from(exchange, symbol=tick.symbol, at=now))
        exits.spend(position, levels=seen.spent)
        if seen.due is not None and not _is_frozen(position):
            crash_point("trigger seen")
            planned.append(exits.plan(position, seen.due, now=now))
    return planned


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
