"""What an operator asks of a bot, position or order, for every face alike: one sentence for an answer, or a DgbotError with one."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.money import parse_decimal
from trading import doorbell
from trading.exchanges.venue import Venue
from trading.models import Bot, BotStatus, ExchangeAccount
from trading.services import bots, by_hand, slots
from trading.services.venues import venue_for
from trading.tasks import run_cycle


class QueueAway(DgbotError):
    """The broker cannot be reached: nothing was queued."""

    is_temporary = True


def start(*, bot_pk: int, by: Any, reason: str = "", second_factor: Callable[[], bool] = lambda: False) -> str:
    """Want the bot running. second_factor: whether `by` has just proven one; asked only where money is real."""
    bot = bots.start(bot_pk=bot_pk, by=by, reason=reason, second_factor=second_factor)
    return _("%(name)s will run from its next slot on.") % {"name": bot.name}


def stop(*, bot_pk: int, by: Any, reason: str = "", close: bool = False) -> str:
    """Want the bot stopped. Its position keeps its stop and target, or is sold with `close`: this bot's own and no other."""
    now = bots.market_now(Bot.objects.select_related("account__simulated_market").get(pk=bot_pk)) if close else None
    bot = bots.stop(bot_pk=bot_pk, by=by, reason=reason, close=close, now=now)
    if bot.status == BotStatus.STOPPING:
        transaction.on_commit(doorbell.ring)
        return _("%(name)s stops as soon as its position is sold.") % {"name": bot.name}
    return _("%(name)s stops. An open position keeps its stop and target.") % {"name": bot.name}


def stop_and_close(*, bot_pk: int, by: Any, reason: str = "") -> str:
    """Stop the bot and sell its position."""
    return stop(bot_pk=bot_pk, by=by, reason=reason, close=True)


def pause(*, bot_pk: int, by: Any, reason: str = "") -> str:
    """Open nothing more; exits go on."""
    bot = bots.pause(bot_pk=bot_pk, by=by, reason=reason)
    return _("%(name)s opens nothing more; its exits go on.") % {"name": bot.name}


def resume(*, bot_pk: int, by: Any, reason: str = "") -> str:
    """Open positions again."""
    bot = bots.resume(bot_pk=bot_pk, by=by, reason=reason)
    return _("%(name)s may open positions again.") % {"name": bot.name}


def close_position(*, position_pk: int, by: Any, reason: str) -> str:
    """Sell all of a position now."""
    order = by_hand.close(position_pk=position_pk, by=by, reason=reason, venue=_venue_of(position_pk))
    transaction.on_commit(doorbell.ring)
    return _("Order %(order)s sells position %(position)s.") % {"order": order.pk, "position": position_pk}


def reduce_position(*, position_pk: int, amount: str, by: Any, reason: str) -> str:
    """Sell a part of a position now. amount: base currency, as typed."""
    wanted = _number(amount, name=_("amount"))
    order = by_hand.reduce(position_pk=position_pk, amount=wanted, by=by, reason=reason, venue=_venue_of(position_pk))
    transaction.on_commit(doorbell.ring)
    return _("Order %(order)s sells position %(position)s.") % {"order": order.pk, "position": position_pk}


def cancel_order(*, order_pk: int, by: Any, reason: str) -> str:
    """Have an order cancelled."""
    by_hand.cancel(order_pk=order_pk, by=by, reason=reason)
    transaction.on_commit(doorbell.ring)
    return _("Order %(order)s will be cancelled; a fill may come first.") % {"order": order_pk}


def adopt(*, bot_pk: int, amount: str, price: str, by: Any, reason: str) -> str:
    """Make a holding of the account a bot's position. amount: base currency; price: quote currency, empty for today's."""
    cost = _number(price, name=_("price")) if price.strip() else None
    command = by_hand.ask_to_adopt(bot_pk=bot_pk, amount=_number(amount, name=_("amount")), price=cost, by=by, reason=reason)
    transaction.on_commit(doorbell.ring)
    return _("The gateway was asked (command %(command)s); the position appears within seconds.") % {"command": command.pk}


def _venue_of(position_pk: int) -> Venue:
    """Where a position lives, for its clock and public prices. Raises VenueUnavailable."""
    return venue_for(ExchangeAccount.objects.select_related("simulated_market").get(positions=position_pk))


def _number(text: str, *, name: str) -> Decimal:
    try:
        return parse_decimal(text.strip().replace(",", ""), name=name)
    except ValueError as error:
        raise BadInput(str(error)) from None


def run_now(*, bot_pk: int, by: Any) -> str:
    """Queue one extra cycle, right now in the bot's market time."""
    bot = Bot.objects.select_related("account__simulated_market").get(pk=bot_pk)
    slot = slots.operator_slot(bot=bot)
    try:
        run_cycle.apply_async((bot.pk, slot.isoformat(), "operator"), retry=False)
    except (OperationalError, OSError) as error:
        raise QueueAway(_("The queue cannot be reached, so no cycle was asked for. Start Redis and the worker, then try again.")) from error
    return _("%(name)s: a cycle was queued.") % {"name": bot.name}
