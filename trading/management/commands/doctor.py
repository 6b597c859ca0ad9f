"""`manage.py doctor --exchange NAME`: can we trade there, and if not, what is to be done."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.core.errors import DgbotError
from trading import doorbell
from trading.services import exchange_health
from trading.services.exchange_health import BAD, GOOD, PROBES, WARNING

SIGNS = {GOOD: "ok  ", WARNING: "warn", BAD: "BAD "}
KEY_WAIT_S = 15.0


class Command(BaseCommand):
    """Public data is asked from here, keys through the gateway. Ends with an error when anything is bad."""

    help = (
        "Ask an exchange whether it can be traded at: reachable, clock, rules, candles, keys.\n\n"
        "Example: manage.py doctor --exchange upbit --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which exchange, and for whom."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("--exchange", required=True, choices=sorted(PROBES), help="whose public data and keys")
        parser.add_argument("--wait", type=float, default=KEY_WAIT_S, metavar="SECONDS", help="how long the gateway may take for a key")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print each finding as it comes."""
        doorbell.ring()
        found = []
        try:
            for finding in exchange_health.examine(options["exchange"], wait_s=options["wait"]):
                found.append(finding)
                if not options["json"]:
                    self.stdout.write(f"{SIGNS[finding.state]}  {finding.question}: {finding.said}")
        except DgbotError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([finding.as_dict() for finding in found]))
        bad = [finding.question for finding in found if finding.state == BAD]
        if bad:
            raise CommandError(f"{options['exchange']} cannot be traded at now; bad: {', '.join(bad)}")
