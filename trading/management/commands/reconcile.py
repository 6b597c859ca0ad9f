"""`manage.py reconcile`: have the gateway compare accounts with their exchanges, now."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.core.types import Mode
from trading import doorbell
from trading.models import Command as Wish
from trading.models import CommandKind, CommandState, ExchangeAccount
from trading.services import commands

WAIT_S = 50.0  # a week of orders at an exchange that counts requests takes its time


class Command(BaseCommand):
    """Fails when an account could not be read, moved too much, or differs."""

    help = (
        "Read an account's orders, executions and balances, book what is news and compare the sums. The gateway must run. "
        "Example: manage.py reconcile 3 --full"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which account, and how far back."""
        parser.add_argument("account", nargs="?", type=int, help="its number; without it, every account that is not a replay's")
        parser.add_argument("--full", action="store_true", help="read the whole last week, not only since the last time")
        parser.add_argument("--json", action="store_true", help="answer for a program")
        parser.add_argument("--wait", type=float, default=WAIT_S, metavar="S", help="seconds to wait for each answer")

    def handle(self, *_: Any, **options: Any) -> None:
        """Ask all at once, then wait for each."""
        accounts = self._accounts(options["account"])
        asked = [
            commands.ask(kind=CommandKind.RECONCILE, account=account, by="reconcile", payload={"full": True} if options["full"] else {})
            for account in accounts
        ]
        doorbell.ring()
        told = []
        for number, wish in enumerate(asked, start=1):
            if not options["json"]:
                self.stdout.write(f"[{number}/{len(asked)}] {wish.account} …", ending="\r")
            told.append(_told(commands.wait_for(wish, at_most_s=options["wait"])))
            if not options["json"]:
                self.stdout.write(f"[{number}/{len(asked)}] {told[-1]['account']}: {told[-1]['said']}")
        if options["json"]:
            self.stdout.write(json.dumps(told))
        wrong = [one for one in told if not one["is_equal"]]
        if wrong:
            first = f"{wrong[0]['account']}: {wrong[0]['said']}"
            raise CommandError(f"{len(wrong)} of {len(told)} accounts do not agree with their exchange; {first}")

    def _accounts(self, number: int | None) -> list[ExchangeAccount]:
        accounts = ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).order_by("pk")
        found = list(accounts if number is None else accounts.filter(pk=number))
        if not found:
            told = "There is no account to compare." if number is None else f"There is no account {number} that has an exchange."
            raise CommandError(f"{told} Its number stands in the address of its admin page.")
        return found


def _told(wish: Wish) -> dict[str, Any]:
    answer = wish.answer
    if wish.state != CommandState.DONE:
        said, is_equal = wish.error_message or "the gateway did not answer in time; see whether it runs", False
    elif answer["verdict"] != "stable":
        said, is_equal = f"{answer['verdict']}: {answer['cause']}", False
    else:
        booked = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in answer["booked"].items()) or "nothing new"
        said = f"{'; '.join(answer['differences']) or 'equal'} ({booked}, {answer['duration_ms']} ms)"
        is_equal = not answer["differences"] and not answer["blocks_entries"]
    return {"account": str(wish.account), "account_id": wish.account_id, "is_equal": is_equal, "said": said, **answer}
