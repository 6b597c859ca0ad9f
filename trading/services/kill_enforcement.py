"""What a raised kill switch does to what is there already: entry orders are cancelled, positions sold.

The gateway asks at every turn what the switch says now, so nothing depends on having heard of its change: after a crash, or for a
late fill that opened something more, the next turn does the same.
"""

import logging

from risk import selectors as risk_selectors
from risk.domain import kill
from risk.models import KillSwitch
from trading.domain.lifecycle import Status
from trading.exchanges.venue import Venue
from trading.models import Bot, ExchangeAccount, Order, Position
from trading.services import orders, sales

log = logging.getLogger(__name__)

EXIT_REASON = "kill_switch"
CANCELLABLE = (Status.SUBMITTING, Status.UNKNOWN, Status.OPEN, Status.PARTIALLY_FILLED)  # a planned one is denied when it is claimed


def enforce(account: ExchangeAccount, *, venue: Venue) -> None:
    """Bring an account to what its level demands. Nothing is asked of the exchange unless something has to be sold."""
    raised = [switch for switch in risk_selectors.raised_switches() if switch.level >= kill.CANCEL]
    if raised:
        _cancel_entries(account, raised=raised)
        _sell_positions(account, raised=raised, venue=venue)


def _cancel_entries(account: ExchangeAccount, *, raised: list[KillSwitch]) -> None:
    entries = Order.objects.filter(account=account, purpose="entry", status__in=CANCELLABLE, cancel_commands=None)
    for order in entries.select_related("bot__account"):
        level = _level(order.bot, symbol=order.symbol, raised=raised)
        if kill.CANCEL <= level < kill.FREEZE:
            orders.request_cancel(order_pk=order.pk, reason=f"the kill switch is at level {level}")


def _sell_positions(account: ExchangeAccount, *, raised: list[KillSwitch], venue: Venue) -> None:
    for position in Position.objects.open().filter(account=account, amount__gt=0).select_related("bot__account"):
        level = _level(position.bot, symbol=position.symbol, raised=raised)
        is_leaving = Order.objects.filter(bot_id=position.bot_id, decision_key=orders.exit_key(position)).exists()
        if level == kill.FLATTEN and not is_leaving:
            order = sales.sell(position, reason=EXIT_REASON, venue=venue, now=venue.clock.now())
            log.warning("position=%s bot=%s order=%s sold by the kill switch", position.pk, position.bot_id, order.pk)


def _level(bot: Bot, *, symbol: str, raised: list[KillSwitch]) -> int:
    return risk_selectors.level_of(
        raised, bot_id=bot.pk, account_id=bot.account_id, user_id=bot.user_id, exchange=bot.account.exchange, symbol=symbol
    )
