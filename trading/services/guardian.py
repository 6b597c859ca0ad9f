"""The guardian: follows prices and plans protective exits between cycles. Needs no Celery, no Redis, no analyst, no web."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.db.models import QuerySet

from dgbot.core.crash import crash_point
from dgbot.core.protocols import Exchange
from dgbot.core.types import OrderBook, Ticker
from risk import selectors as risk_selectors
from risk.domain import kill
from risk.domain.kill import Deed
from risk.models import KillSwitch
from trading.domain import liquidity
from trading.domain.watchlist import Guarded, Market
from trading.models import Order, Position
from trading.services import exits, orders

log = logging.getLogger(__name__)

FIRED_AT_ONCE = 200  # in one transaction: a thousand stops at once are committed in five steps, the first of them early
# The stop that holds, the target, whether a partial level waits, and whether the exit of this version is planned already.
OPEN = """
SELECT p.id, p.account_id, a.exchange, coalesce(a.simulated_market_id, 0), p.symbol,
       coalesce(p.trailing_stop_price, p.stop_price), p.target_price,
       coalesce(jsonb_array_length(p.plan->'levels'), 0) > p.levels_taken,
       o.id IS NOT NULL
FROM positions p
JOIN exchange_accounts a ON a.id = p.account_id
LEFT JOIN orders o ON o.bot_id = p.bot_id AND o.decision_key = 'exit:' || p.id || ':' || p.exit_version
WHERE p.closed_at IS NULL AND p.amount > 0 AND a.mode <> 'replay'
"""


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """What the guardian remembers of a position. has_level: a partial level waits, whose price has to be asked for."""

    pk: int
    account_id: int
    market: Market
    stop: Decimal | None
    target: Decimal | None
    has_level: bool
    is_leaving: bool


@dataclass(frozen=True, slots=True)
class Touch:
    """A position whose stop, target or level a believed price has reached. now: market time. book None: unknown."""

    position_id: int
    tick: Ticker
    exchange: Exchange
    now: datetime
    book: OrderBook | None = None


def open_positions() -> list[OpenPosition]:
    """Every position that is to be guarded, in one statement and without its plan."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN)
        rows = cursor.fetchall()
    return [
        OpenPosition(pk, account_id, Market(exchange, symbol, world), stop, target, has_level, is_leaving)
        for pk, account_id, exchange, world, symbol, stop, target, has_level, is_leaving in rows
    ]


def guarded(row: OpenPosition, *, exchange: Callable[[], Exchange], now: Callable[[], datetime]) -> Guarded | None:
    """Between which prices nothing happens to a position; None while its exit is on its way."""
    if row.is_leaving:
        return None
    above = row.target
    if row.has_level:
        position = Position.objects.get(pk=row.pk)
        _stop, above = exits.triggers(position, rules=exits.rules_from(exchange(), symbol=row.market.symbol, at=now()))
    return Guarded(key=row.pk, account_id=row.account_id, stop=row.stop, above=above)


def fire(touches: Sequence[Touch]) -> list[Order]:
    """Plan what the touched positions sell, as their rows say now. A repeat plans nothing new: one exit per position and version."""
    planned: list[Order] = []
    for start in range(0, len(touches), FIRED_AT_ONCE):
        planned += _fire(touches[start : start + FIRED_AT_ONCE])
    return planned


def warm_up() -> None:
    """Ask once for a position that does not exist: the first real fall must not wait for the first query to be compiled."""
    open_positions()
    list(_held([0]))
    risk_selectors.raised_switches()
    orders.plan_exits([])


def step(*, account_id: int, exchange: Exchange, tick: Ticker, now: datetime) -> list[Order]:
    """Hold one price against everything an account holds in its market, as a replay does at every point of a bar."""
    held = Position.objects.open().filter(account_id=account_id, symbol=tick.symbol, amount__gt=0)
    return fire([Touch(pk, tick=tick, exchange=exchange, now=now) for pk in held.values_list("pk", flat=True)])


def _fire(touches: Sequence[Touch]) -> list[Order]:
    positions = {position.pk: position for position in _held([touch.position_id for touch in touches])}
    raised = risk_selectors.raised_switches()
    due = [_due(positions[touch.position_id], touch, raised=raised) for touch in touches if touch.position_id in positions]
    return orders.plan_exits([one for one in due if one is not None])


def _held(pks: Sequence[int]) -> QuerySet[Position]:
    return Position.objects.open().filter(pk__in=pks, amount__gt=0).select_related("bot__account")


def _due(position: Position, touch: Touch, *, raised: Sequence[KillSwitch]) -> orders.Exit | None:
    rules = exits.rules_from(touch.exchange, symbol=position.symbol, at=touch.now)
    seen = exits.look(position, price=touch.tick.price, rules=rules)
    exits.spend(position, levels=seen.spent)
    if seen.due is None or _is_frozen(position, raised=raised):
        return None
    crash_point("trigger seen")
    market = rules() if touch.book is not None else None
    amount = seen.due.amount
    if touch.book is not None and market is not None:
        amount = liquidity.exit_part(book=touch.book, amount=amount, rules=market)
    return orders.Exit(position, reason=seen.due.reason, now=touch.now, amount=amount, level=seen.due.level, rest=seen.due.amount - amount)


def _is_frozen(position: Position, *, raised: Sequence[KillSwitch]) -> bool:
    """Whether the kill switch forbids every order: then even an exit waits, and the log says which."""
    level = risk_selectors.level_of(
        raised,
        bot_id=position.bot_id,
        account_id=position.account_id,
        user_id=position.user_id,
        exchange=position.bot.account.exchange,
        symbol=position.symbol,
    )
    if not kill.forbids(level, Deed.EXIT):
        return False
    log.warning("position=%s bot=%s is due, but the kill switch forbids every order", position.pk, position.bot_id)
    return True
