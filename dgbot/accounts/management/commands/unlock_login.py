"""For somebody who waits after too many wrong passwords."""

from argparse import ArgumentParser
from typing import Any

from axes.utils import reset
from django.core.management.base import BaseCommand, CommandError

from dgbot.accounts import audit


class Command(BaseCommand):
    """Forgets the wrong passwords of a name or an address."""

    help = "Let a user name or an address log in again at once. Example: manage.py unlock_login alice --by bob"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("username", nargs="?", default="", help="Whose name waits.")
        parser.add_argument("--address", default="", help="Or which IP address.")
        parser.add_argument("--by", required=True, help="Who you are; kept in the audit log.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One sentence on failure."""
        name, address = options["username"], options["address"]
        if not name and not address:
            raise CommandError("Say which user name waits, or which --address.")
        forgotten = reset(username=name or None, ip=address or None)
        audit.record(actor=options["by"], action="unlock sign-in", target=f"login:{name or address}")
        self.stdout.write(f"{forgotten} records of wrong passwords forgotten; logging in waits no more for {name or address}.")
