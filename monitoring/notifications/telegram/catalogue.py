"""Every command: its name, what it says of itself, which right it needs, whether it does something, whether that is confirmed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from monitoring.notifications.telegram import deeds, meant, reading, wishes
from monitoring.notifications.telegram.answers import Answer, Asked


@dataclass(frozen=True)
class Command:
    """One command. right: a Django permission, empty for everybody linked. must_confirm: told before it is carried out.

    is_deed: it changes something, so an old message does not carry it out.
    """

    name: str
    says: Any
    run: Callable[[Asked], Answer]
    right: str = ""
    is_deed: bool = False
    must_confirm: Callable[[Asked], bool] = lambda _asked: False
    usage: str = ""


VIEW, OPERATE = "trading.view_bot", "trading.change_bot"
RAISE, RELEASE = "risk.add_killswitch", "risk.change_riskstate"


BOT = "BOT"


def _of_a_bot(asked: Asked) -> bool:
    """Always, once it is known which bot is meant. Raises BadInput before anything is asked."""
    meant.bot(asked)
    return True


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", _("every command you may give"), reading.show_help),
        Command("status", _("bots, safe modes and kill switches in short"), reading.status, VIEW),
        Command("bots", _("every bot with its state and last cycle"), reading.bots, VIEW),
        Command("bot", _("one bot in detail"), reading.bot, VIEW, usage=BOT),
        Command("positions", _("open positions with profit and stop"), reading.positions, "trading.view_position"),
        Command("balance", _("what each account holds"), reading.balance, "trading.view_accountbalance"),
        Command("profit", _("realised profit by the ledger"), reading.profit, "trading.view_ledgerentry", usage="[DAYS]"),
        Command("trades", _("the newest fills"), reading.trades, "trading.view_trade", usage="[NUMBER]"),
        Command("orders", _("orders that are not settled, and the newest"), reading.orders, "trading.view_order"),
        Command("decisions", _("the newest decisions"), reading.decisions, "trading.view_decision", usage="[NUMBER]"),
        Command("why", _("the reason of a bot's last decision"), reading.why, "trading.view_decision", usage=BOT),
        Command("cycles", _("the newest cycles"), reading.cycles, "trading.view_cycle", usage="[NUMBER]"),
        Command("risk", _("how much of the limits is used today"), reading.risk, "risk.view_riskstate"),
        Command("health", _("processes, alarms and doubtful orders"), reading.health, VIEW),
        Command("report", _("yesterday's report"), reading.report, "trading.view_ledgerentry"),
        Command("schedule", _("when jobs run next"), reading.schedule, "django_celery_beat.view_periodictask"),
        Command("settings", _("what rules, and where it comes from"), reading.settings, "trading.view_botconfig"),
        Command("channels", _("your channels and whether they work"), reading.channels),
        Command("id", _("who you are here"), reading.who),
        Command("language", _("in which language you are told"), wishes.language, usage="ko|en"),
        Command("quiet", _("hours in which only critical messages come"), wishes.quiet, usage="22:00 07:00 | off"),
        Command("level", _("from which level on you are told here"), wishes.level, usage="info|warning|error|critical"),
        Command("test", _("send yourself a test message"), wishes.test),
        Command("start", _("start a bot"), deeds.start, OPERATE, True, _of_a_bot, BOT),
        Command("stop", _("stop a bot; its position keeps its stop"), deeds.stop, OPERATE, True, usage=BOT),
        Command("pause", _("let a bot open nothing more"), deeds.pause, OPERATE, True, usage=BOT),
        Command("resume", _("let a paused bot open again"), deeds.resume, OPERATE, True, _of_a_bot, BOT),
        Command("run", _("run an extra cycle now"), deeds.run, OPERATE, True, _of_a_bot, BOT),
        Command("close", _("stop a bot and sell its position"), deeds.close, OPERATE, True, _of_a_bot, BOT),
        Command(
            "kill",
            _("raise your kill switch: 1 opens nothing, 2 cancels, 3 sells, 4 freezes"),
            deeds.kill,
            RAISE,
            True,
            deeds.sells,
            "[1-4] [REASON]",
        ),
        Command("release", _("let entries through after safe mode"), deeds.release, RELEASE, True, deeds.is_named, "[NUMBER REASON]"),
        Command("forget", _("do not carry out what waits for your confirmation"), wishes.forget),
    )
}


def allowed(user: Any) -> list[Command]:
    """The commands somebody may give."""
    return [command for command in COMMANDS.values() if not command.right or user.has_perm(command.right)]
