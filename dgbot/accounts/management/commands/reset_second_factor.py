"""For a person whose authenticator and recovery codes are lost."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.accounts import authenticators, sign_ins
from dgbot.accounts.models import User
from dgbot.core.errors import BadInput


class Command(BaseCommand):
    """Takes the second factor away and ends every session; the person sets a new one up after the next login."""

    help = (
        "Remove the second factor of a user who lost the device, and end all sessions of that user."
        ' Example: manage.py reset_second_factor alice --reason "phone stolen, asked in person" --by bob'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("username", help="Whose second factor.")
        parser.add_argument("--reason", required=True, help="Why, and how you know who asks; kept for ever.")
        parser.add_argument("--by", required=True, help="Who you are: a user name of the platform.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One sentence on failure."""
        person, operator = (User.objects.filter(username=options[name]).first() for name in ("username", "by"))
        if person is None or operator is None:
            missing = options["username"] if person is None else options["by"]
            raise CommandError(f"There is no user {missing!r}.")
        try:
            had_one = authenticators.remove(person, by=operator, reason=options["reason"])
        except BadInput as error:
            raise CommandError(str(error)) from None
        ended = sign_ins.end_others(person, this=None, by=operator, reason=options["reason"])
        told = "The second factor was removed" if had_one else "There was no second factor"
        self.stdout.write(f"{told}; {ended} sessions ended.")
