"""Making and changing bots from typed values, under the rules that the admin's form shows as fields."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from backtests.strategies.registry import strategy_named
from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from trading.models import Analyst, Bot
from trading.models.bots import RULES
from trading.services import bot_changes, new_bots

FIXED = ("account", "symbol")  # chosen once


@transaction.atomic
def create(*, values: Mapping[str, Any], by: Any) -> Bot:
    """A new bot, stopped; owner and mode follow its account. Raises BadInput or Django's ValidationError for what cannot be."""
    account = values["account"]
    bot = Bot(user_id=account.user_id, mode=account.mode)  # a full row, so that its rules can be asked
    if account.mode == Mode.REPLAY:
        raise BadInput("The bot was not made: replays make their own bots; run `manage.py replay`.")
    _put(bot, values)
    return new_bots.create(bot, by=by, diff={name: ["", _told(value)] for name, value in values.items()})


@transaction.atomic
def change(*, bot_pk: int, values: Mapping[str, Any], by: Any, reason: str, second_factor: Callable[[], bool]) -> Bot:
    """Change a bot from its next decision on; what allows more than before needs a reason, on real money also the second factor.

    Raises BadInput or Django's ValidationError for what cannot be, and for another account or symbol.
    """
    bot = Bot.objects.select_for_update(of=("self",)).select_related("account", "risk_profile", "schedule").get(pk=bot_pk)
    wrong = [name for name in FIXED if name in values and values[name] != getattr(bot, name)]
    if wrong:
        raise BadInput(f"Bot {bot.name} was not changed: its {wrong[0]} is chosen once; make another bot.")
    before = Bot.objects.select_related("risk_profile").get(pk=bot_pk)
    changed = {name: value for name, value in values.items() if value != getattr(before, name)}
    if not changed:
        return bot
    _put(bot, changed)
    is_real = bot.mode == Mode.LIVE and not bot.account.is_demo
    bot_changes.check(bot, reason=reason, is_real=is_real, second_factor=second_factor)
    bot.save(update_fields=list(changed))
    bot_changes.keep(before, bot, by=by, reason=reason)
    diff = {name: [_told(getattr(before, name)), _told(getattr(bot, name))] for name in changed}
    audit.record(actor=by, action="change bot", target=f"bot:{bot.pk}", reason=reason, diff=diff)
    return bot


def _put(bot: Bot, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(bot, name, value)
    if "strategy" in values or "parameters" in values:
        bot.parameters = strategy_named(bot.strategy).parameters.of(bot.parameters).changed()
    if bot.tick_seconds and bot.schedule_id:
        raise BadInput("Not saved: a bot follows a schedule or looks every few seconds, not both; leave one of them empty.")
    if "analyst" in values and bot.analyst != RULES and not Analyst.objects.filter(name=bot.analyst, is_enabled=True).exists():
        raise BadInput(f"Not saved: there is no analyst {bot.analyst!r} that is switched on; make it under Analysts, or choose {RULES}.")
    bot.full_clean()


def _told(value: Any) -> str:
    return "" if value is None else str(value)
