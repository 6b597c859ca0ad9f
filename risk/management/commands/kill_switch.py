"""Show or set the kill switch from a shell: works while web, Redis and workers are down."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from dgbot.accounts.models import User
from dgbot.core.errors import DgbotError
from risk import kill_switch
from risk.domain import kill
from risk.models import KillLevel, KillScope, KillSwitch, KillSwitchChange


class Command(BaseCommand):
    """Without a level it shows; with one it sets, for a reason."""

    help = (
        "Show the kill switch, or set a level: 0 run, 1 no new positions, 2 cancel entry orders, 3 close all positions, 4 no order at all."
        ' Example: manage.py kill_switch 1 --reason "exchange looks wrong" --by alice'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("level", type=int, nargs="?", choices=KillLevel.values, help="Empty: show what holds.")
        parser.add_argument("--scope", choices=KillScope.values, default=KillScope.PLATFORM.value, help="What it covers (platform).")
        parser.add_argument("--id", default="", help="Id of an account, user or bot; name of an exchange; symbol of a market.")
        parser.add_argument("--reason", default="", help="Why; kept for ever.")
        parser.add_argument("--by", default="", help="Who you are: a user name of the platform.")
        parser.add_argument("--yes", action="store_true", help="Do not ask to type the level's name at level 3 and 4.")
        parser.add_argument("--history", action="store_true", help="Show every change, newest first.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One sentence on failure."""
        try:
            if options["level"] is not None:
                self._set(options)
            rows = _history() if options["history"] else _held()
        except DgbotError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be reached, so no gateway can send anything either: {error}".strip()) from None
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False))
            return
        for row in rows:
            self.stdout.write("  ".join(f"{name}={value}" for name, value in row.items() if value not in ("", None)))
        if not rows:
            self.stdout.write("No kill switch is raised: everything may trade.")

    def _set(self, options: dict[str, Any]) -> None:
        person = User.objects.filter(username=options["by"], is_active=True).first()
        if person is None:
            raise CommandError(f"Say who you are with --by; there is no active user {options['by']!r}.")
        if kill.is_typed(options["level"]) and not options["yes"]:
            word = KillLevel(options["level"]).name
            if input(f"Type {word} to set level {options['level']}: ").strip() != word:
                raise CommandError("Not changed: the word was not typed as shown.")
        switch = kill_switch.change(
            scope=options["scope"], scope_id=options["id"], level=options["level"], by=person, reason=options["reason"]
        )
        if switch.lowering_to is not None:
            raise CommandError(f"Not lowered yet: a second person must ask for level {switch.lowering_to}, too.")


def _held() -> list[dict[str, Any]]:
    rows = KillSwitch.objects.filter(level__gt=KillLevel.RUN).order_by("-level", "scope", "scope_id")
    return [
        {
            "scope": row.scope,
            "id": row.scope_id,
            "level": row.level,
            "name": KillLevel(row.level).name,
            "epoch": row.epoch,
            "by": row.set_by_name,
            "at": row.set_at.isoformat(),
            "reason": row.reason,
        }
        for row in rows
    ]


def _history() -> list[dict[str, Any]]:
    return [
        {
            "at": row.at.isoformat(),
            "scope": row.scope,
            "id": row.scope_id,
            "before": row.before,
            "after": row.after,
            "by": row.actor,
            "second": None if row.second is None else row.second.get_username(),
            "rule": row.code,
            "reason": row.reason,
            "value": row.value,
            "limit": row.limit,
            "remedy": row.remedy,
        }
        for row in KillSwitchChange.objects.select_related("second").order_by("-pk")
    ]
