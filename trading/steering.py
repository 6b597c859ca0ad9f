"""What an operator asks of a bot, for every face alike. Each answers with one sentence or raises a DgbotError with one."""

from typing import Any

from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from dgbot.core.errors import DgbotError
from trading import doorbell
from trading.models import Bot, BotStatus
from trading.services import bots, slots
from trading.tasks import run_cycle


class QueueAway(DgbotError):
    """The broker cannot be reached: nothing was queued."""


def start(*, bot_pk: int, by: Any, reason: str = "") -> str:
    """Want the bot running."""
    bot = bots.start(bot_pk=bot_pk, by=by, reason=reason)
    return _("%(name)s will run from its next slot on.") % {"name": bot.name}


def stop(*, bot_pk: int, by: Any, reason: str = "", close: bool = False) -> str:
    """Want the bot stopped. Its position keeps its stop and target, or is sold with `close`: this bot's own and no other."""
    now = bots.market_now(Bot.objects.select_related("account__simulated_market").get(pk=bot_pk)) if close else None
    bot = bots.stop(bot_pk=bot_pk, by=by, reason=reason, close=close, now=now)
    if bot.status == BotStatus.STOPPING:
        doorbell.ring()
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


def run_now(*, bot_pk: int, by: Any) -> str:
    """Queue one extra cycle, right now in the bot's market time."""
    bot = Bot.objects.select_related("account__simulated_market").get(pk=bot_pk)
    slot = slots.operator_slot(bot=bot)
    try:
        run_cycle.apply_async((bot.pk, slot.isoformat(), "operator"), retry=False)
    except (OperationalError, OSError) as error:
        raise QueueAway(_("The queue cannot be reached, so no cycle was asked for. Start Redis and the worker, then try again.")) from error
    return _("%(name)s: a cycle was queued.") % {"name": bot.name}
