"""The guardian: follows prices and plans protective exits between cycles. Needs no Celery, no Redis, no analyst, no web."""

from collections.abc import Collection
from datetime import datetime

from dgbot.core.types import Ticker
from risk.domain.exits import exit_due
from trading.models import Order, Position
from trading.services import orders


def watched_symbols(*, account_id: int) -> Collection[str]:
    """Symbols in which this account holds something that has a stop or a target."""
    return set(Position.objects.open().filter(account_id=account_id).values_list("symbol", flat=True))


def step(*, account_id: int, tick: Ticker, now: datetime) -> list[Order]:
    """Plan the exit of every position that ends at this price. A repeat plans nothing new: one exit per position and version."""
    held = Position.objects.open().filter(account_id=account_id, symbol=tick.symbol, amount__gt=0).select_related("bot")
    due = [(position, exit_due(price=tick.price, stop_price=position.stop_price, target_price=position.target_price)) for position in held]
    return [orders.plan_exit(position=position, reason=reason, now=now) for position, reason in due if reason is not None]
