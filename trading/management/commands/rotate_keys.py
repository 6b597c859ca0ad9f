"""`manage.py rotate_keys`: a new sealing key, and every exchange key sealed with it."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from dgbot.core.errors import BadInput
from trading import vault


class Command(BaseCommand):
    """Run it as the gateway's user, who alone can read the private key. The gateway need not be stopped."""

    help = "Make a new sealing key and seal every exchange key with it.\n\nExample: manage.py rotate_keys"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Nothing but the form of the answer."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Rotate once."""
        try:
            count = vault.rotate()
        except BadInput as problem:
            raise CommandError(str(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps({"resealed": count, "key_file": str(settings.KEY_FILE)}))
            return
        self.stdout.write(f"{count} exchange keys are sealed with a new key in {settings.KEY_FILE}; renew the copy you keep of that file.")
