"""Commands that change what bots do. Each calls the service every other face calls, in the transaction that takes the message."""

from django.db import transaction
from django.utils.translation import gettext as _

from dgbot.core.errors import BadInput
from monitoring.notifications.telegram import meant
from monitoring.notifications.telegram.answers import Answer, Asked
from risk import kill_switch
from risk import services as risk
from risk.domain import kill as levels
from risk.models import KillLevel, KillScope, KillSwitch, RiskState
from trading import doorbell
from trading.models import Bot, BotStatus
from trading.services import bots, slots, venues

REASON = "asked by Telegram"


def start(asked: Asked) -> Answer:
    """Want the bot running."""
    bot = bots.start(bot_pk=meant.bot(asked).pk, by=asked.user, reason=REASON)
    return Answer(_("%(name)s will run from its next slot on.") % {"name": bot.name})


def stop(asked: Asked) -> Answer:
    """Want it stopped; its position keeps its protection."""
    bot = bots.stop(bot_pk=meant.bot(asked).pk, by=asked.user, reason=REASON)
    return Answer(_("%(name)s stops. An open position keeps its stop and target.") % {"name": bot.name})


def pause(asked: Asked) -> Answer:
    """Open nothing more."""
    bot = bots.pause(bot_pk=meant.bot(asked).pk, by=asked.user, reason=REASON)
    return Answer(_("%(name)s opens nothing more; its exits go on.") % {"name": bot.name})


def resume(asked: Asked) -> Answer:
    """Open again."""
    bot = bots.resume(bot_pk=meant.bot(asked).pk, by=asked.user, reason=REASON)
    return Answer(_("%(name)s may open positions again.") % {"name": bot.name})


def close(asked: Asked) -> Answer:
    """Stop it and sell its position."""
    found = meant.bot(asked)
    bot = bots.stop(bot_pk=found.pk, by=asked.user, reason=REASON, close=True, now=bots.market_now(found))
    transaction.on_commit(doorbell.ring)
    if bot.status == BotStatus.STOPPING:
        return Answer(_("%(name)s stops as soon as its position is sold.") % {"name": bot.name})
    return Answer(_("%(name)s stops. It holds nothing.") % {"name": bot.name})


def run(asked: Asked) -> Answer:
    """One extra cycle. It is queued after the commit: a message never makes two."""
    bot = meant.bot(asked)
    return Answer(_("%(name)s: an extra cycle is being queued.") % {"name": bot.name}, afterwards=lambda: _queue(bot))


def kill(asked: Asked) -> Answer:
    """Raise the asker's own switch; it covers every bot of theirs. Lowering needs the second factor, so it is done in the admin."""
    level, reason = _kill_level(asked)
    before = KillSwitch.objects.filter(scope=KillScope.USER, scope_id=str(asked.user.pk)).values_list("level", flat=True).first() or 0
    if before >= level:
        told = {"level": f"{before} · {KillLevel(before).label}"}
        return Answer(_("Your kill switch is at %(level)s already. It is lowered in the admin, with your second factor.") % told)
    switch = kill_switch.change(scope=KillScope.USER, scope_id=str(asked.user.pk), level=level, by=asked.user, reason=reason)
    transaction.on_commit(doorbell.ring)
    told = {"level": f"{switch.level} · {switch.get_level_display()}"}
    return Answer(
        _("Your kill switch is at %(level)s and covers all your bots. It is lowered in the admin, with your second factor.") % told
    )


def sells(asked: Asked) -> bool:
    """Whether this level of the kill switch moves money or freezes protection, and is therefore confirmed."""
    return levels.is_typed(_kill_level(asked)[0])


def release(asked: Asked) -> Answer:
    """Let entries through after safe mode; without a number, the list of what could be released."""
    held = _safe_modes(asked)
    if not asked.words:
        lines = [f"{state.pk} · {state.bot or state.account}: {state.safe_mode_reason}" for state in held]
        how = _("Write /release NUMBER and your reason.") if lines else ""
        return Answer(_("Safe modes") if lines else _("Nothing is in safe mode."), "\n".join([*lines, how] if how else lines))
    state = next((one for one in held if str(one.pk) == asked.words[0]), None)
    if state is None:
        raise BadInput(_("There is no safe mode %(number)s; /release lists them.") % {"number": asked.words[0][:20]})
    reason = " ".join(asked.words[1:])
    now = venues.venue_for(state.account).clock.now()
    risk.release_safe_mode(state_pk=state.pk, by=asked.user, reason=reason, now=now)
    return Answer(_("%(who)s: entries are let through again.") % {"who": state.bot or state.account})


def is_named(asked: Asked) -> bool:
    """Whether a safe mode is named: the list alone needs no confirmation."""
    return bool(asked.words)


def _safe_modes(asked: Asked) -> list[RiskState]:
    newest = RiskState.objects.for_user(asked.user).filter(account__is_hidden=False).order_by("account", "bot", "-trading_day")
    rows = newest.distinct("account", "bot").select_related("bot", "account__simulated_market")
    return [state for state in rows if state.safe_mode]


def _kill_level(asked: Asked) -> tuple[int, str]:
    """Level and reason: 1 and a general one unless said otherwise. Raises BadInput."""
    words = list(asked.words)
    level = KillLevel.NO_OPEN.value
    if words and words[0].isascii() and words[0].isdigit():
        level = int(words.pop(0)[:4])
        if not KillLevel.NO_OPEN <= level <= KillLevel.FREEZE:
            raise BadInput(_("The level of the kill switch is 1 to 4; it is lowered in the admin."))
    return level, " ".join(words) or REASON


def _queue(bot: Bot) -> str:
    """Hand the slot to a worker. Returns what came of it."""
    from kombu.exceptions import OperationalError

    from trading.tasks import run_cycle

    slot = slots.operator_slot(bot=bot)
    try:
        run_cycle.apply_async((bot.pk, slot.isoformat(), "operator"), retry=False)
    except (OperationalError, OSError):
        return _("%(name)s: the queue cannot be reached, so no cycle was asked for.") % {"name": bot.name}
    return _("%(name)s: a cycle was queued.") % {"name": bot.name}
