"""Sales that are larger than the book: a first part now, the rest as the gateway goes on. Kill switch and operator sell through here.

    sell ──► part 1, plan.rest ──filled──► part 2, less rest ──► … ──► nothing is left to sell

Each part is an exit like any other, under the next version's key, so a stop that fires meanwhile is one of the parts.
"""

import logging
from datetime import datetime
from decimal import Decimal

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.money import parse_decimal
from risk import selectors as risk_selectors
from risk.domain import kill
from risk.domain.kill import Deed
from trading.domain import liquidity
from trading.domain.lifecycle import CLOSED_VALUES, Actor
from trading.exchanges.venue import Venue
from trading.models import Bot, Order, Position
from trading.services import orders

log = logging.getLogger(__name__)


def sell(
    position: Position,
    *,
    reason: str,
    venue: Venue,
    now: datetime,
    amount: Decimal | None = None,
    actor: Actor = Actor.PLANNER,
) -> Order:
    """Plan the sale of a position, or of `amount` (base) of it: as much now as the book takes, the rest later.

    Asks for the book, so it is called outside any transaction; a book that is not known never keeps a position from being left.
    """
    whole = position.amount if amount is None else min(amount, position.amount)
    part = _part(position, whole=whole, venue=venue, now=now)
    return orders.plan_exit(position=position, reason=reason, now=now, actor=actor, amount=part, rest=whole - part)


def go_on(*, account_id: int, venue: Venue) -> list[Order]:
    """Plan the next part of every sale of an account whose last part is over and sold something. For the gateway, at every turn."""
    held = Position.objects.open().filter(account_id=account_id, amount__gt=0, exit_version__gt=1).select_related("bot__account")
    last = {f"exit:{position.pk}:{position.exit_version - 1}": position for position in held}
    if not last:
        return []
    parts = Order.objects.filter(
        account_id=account_id,
        position__in=last.values(),
        decision_key__in=last,
        status__in=CLOSED_VALUES,
        plan__has_key="rest",
        filled_amount__gt=0,
    )
    return [_go_on(last[part.decision_key], part, venue=venue) for part in parts if not is_frozen(last[part.decision_key])]


def is_frozen(position: Position) -> bool:
    """Whether the kill switch forbids every order of this position's bot."""
    return kill.forbids(level_over(position.bot, symbol=position.symbol), Deed.EXIT)


def level_over(bot: Bot, *, symbol: str) -> int:
    """The kill switch's level over a bot in this market."""
    return risk_selectors.kill_level(
        bot_id=bot.pk, account_id=bot.account_id, user_id=bot.user_id, exchange=bot.account.exchange, symbol=symbol
    )


def _go_on(position: Position, part: Order, *, venue: Venue) -> Order:
    """What was left over, and what the part itself did not sell."""
    assert part.amount is not None  # what is sold is sized in base
    left = parse_decimal(part.plan["rest"], name="rest") + part.amount - part.filled_amount
    return sell(position, reason=part.exit_reason, venue=venue, now=venue.clock.now(), amount=left)


def _part(position: Position, *, whole: Decimal, venue: Venue, now: datetime) -> Decimal:
    try:
        book = venue.exchange.order_book(position.symbol)
        return liquidity.exit_part(book=book, amount=whole, rules=venue.exchange.trading_rules(position.symbol, at=now))
    except ExchangeUnavailable as error:
        log.warning("position=%s bot=%s sold in one piece, the book is unknown: %s", position.pk, position.bot_id, error)
        return whole
