"""Bots: what the operator wants, what is, and how the two meet."""

from datetime import datetime
from typing import Any

from django.db import transaction

from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from trading.models import AccountBalance, Bot, BotStatus
from trading.services import venues
from trading.signals import bot_changed


@transaction.atomic
def start(*, bot_pk: int, by: Any, reason: str = "") -> Bot:
    """Ask for a bot to run; the gateway starts it once its position is known. Asking again changes nothing.

    by: a User, or the name of a process. Raises BadInput for a mode that cannot trade here.
    """
    bot = Bot.objects.select_for_update(of=("self",)).select_related("account").get(pk=bot_pk)
    why_not = venues.why_not(Mode(bot.mode))
    if why_not:
        raise BadInput(f"Bot {bot.name} was not started: {why_not}. A paper bot trades the same market with pretended money.")
    if not bot.is_running:
        _want(bot, is_running=True, status=BotStatus.REQUESTED, reason="waiting for the gateway", by=by, why=reason, action="start bot")
    return bot


@transaction.atomic
def stop(*, bot_pk: int, by: Any, reason: str = "") -> Bot:
    """Stop a bot at once: no cycle begins any more. Its position stays, and so does its protection."""
    bot = Bot.objects.select_for_update(of=("self",)).select_related("account").get(pk=bot_pk)
    if bot.is_running:
        _want(bot, is_running=False, status=BotStatus.STOPPED, reason="stopped by the operator", by=by, why=reason, action="stop bot")
    return bot


def settle_wanted(*, account_id: int) -> list[Bot]:
    """Bring the account's wanted bots to run, now that its orders are settled and its balances known. For the gateway."""
    waiting = list(Bot.objects.select_related("account").filter(account_id=account_id, is_running=True).exclude(status=BotStatus.RUNNING))
    for bot in waiting:
        _allocate(bot)
        changed = Bot.objects.filter(pk=bot.pk, is_running=True).update(
            status=BotStatus.RUNNING, status_reason="", allocation=bot.allocation
        )
        if changed:
            _announce(bot)
    return waiting


def await_gateway(*, account_id: int) -> None:
    """A gateway takes the account over: its wanted bots wait until positions are known again. Wanted stays wanted."""
    waiting = Bot.objects.filter(account_id=account_id, is_running=True, status=BotStatus.RUNNING)
    for bot in waiting:
        bot.status, bot.status_reason = BotStatus.REQUESTED, "waiting for the gateway"
        bot.save(update_fields=["status", "status_reason"])
        _announce(bot)


def market_now(bot: Bot) -> datetime:
    """Market time of a bot's venue. Raises VenueUnavailable."""
    return venues.venue_for(bot.account).clock.now()


def _allocate(bot: Bot) -> None:
    """Without an allocation a bot's limits refer to the account's cash when it is first started; from then on it is fixed."""
    if bot.allocation is None:
        cash = AccountBalance.objects.filter(account_id=bot.account_id, asset=bot.account.quote_currency).first()
        bot.allocation = cash.free if cash and cash.free > 0 else None


def _want(bot: Bot, *, is_running: bool, status: BotStatus, reason: str, by: Any, why: str, action: str) -> None:
    before = {"is_running": bot.is_running, "status": bot.status}
    bot.is_running, bot.status, bot.status_reason = is_running, status, reason
    bot.save(update_fields=["is_running", "status", "status_reason"])
    diff = {name: [value, getattr(bot, name)] for name, value in before.items()}
    audit.record(actor=by, action=action, target=f"bot:{bot.pk}", reason=why, diff=diff)
    _announce(bot)


def _announce(bot: Bot) -> None:
    transaction.on_commit(lambda: bot_changed.send_robust(sender=Bot, pk=bot.pk))
