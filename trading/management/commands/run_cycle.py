"""Run one cycle of one bot now, in this process."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.core.errors import DgbotError
from trading import doorbell
from trading.models import Bot, Cycle
from trading.models.cycles import CycleTrigger
from trading.services import cycles, slots
from trading.services.venues import venue_for


class Command(BaseCommand):
    """The same function that workers call, at an extra slot."""

    help = "Run one cycle of a bot now. Example: manage.py run_cycle 1 --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("bot", type=int, help="Id of the bot.")
        parser.add_argument("--json", action="store_true", help="Print the cycle as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse in one sentence, or run and show the four stages."""
        bot = Bot.objects.select_related("account__simulated_market").filter(pk=options["bot"]).first()
        if bot is None:
            raise CommandError(f"There is no bot {options['bot']}.")
        try:
            ran = cycles.run(bot_id=bot.pk, slot=slots.operator_slot(bot=bot), venue=venue_for(bot.account), trigger=CycleTrigger.OPERATOR)
        except DgbotError as error:
            raise CommandError(str(error)) from None
        if ran is None:
            raise CommandError(f"Bot {bot.name} is at work in another process; try again when its cycle is over.")
        if ran.order_pk is not None:
            doorbell.ring()
        self.stdout.write(_told(Cycle.objects.get(pk=ran.cycle_pk), as_json=options["json"]))


def _told(cycle: Cycle, *, as_json: bool) -> str:
    stages = [
        {"stage": row.stage, "action": row.action, "reasons": [reason["message"] for reason in row.reasons]}
        for row in cycle.stages.order_by("pk")
    ]
    if as_json:
        return json.dumps(
            {"cycle": cycle.pk, "slot": cycle.slot.isoformat(), "outcome": cycle.outcome, "stages": stages}, ensure_ascii=False
        )
    lines = [f"{row['stage']:16} {row['action']:9} {' '.join(row['reasons'])}".rstrip() for row in stages]
    return "\n".join([f"Cycle {cycle.pk} at {cycle.slot.isoformat()}: {cycle.outcome}", *lines])
