"""`manage.py restore_drill`: prove that a backup can be restored."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.core.errors import DgbotError
from monitoring.backups import files, restoring


class Command(BaseCommand):
    """The platform may run meanwhile: nothing of it is touched."""

    help = (
        "Restore a backup into a database of its own, compare every table's rows and checksum, drop it again.\n\n"
        "Example: manage.py restore_drill latest --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which file."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("file", nargs="?", default="latest", help="a database backup (default: the newest)")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Drill and tell."""
        try:
            path = files.newest("postgres") if options["file"] == "latest" else Path(options["file"])
            if files.kind_of(path) != "postgres":
                raise CommandError(f"{path.name} is no database backup; a drill restores a .dump file")
            done = restoring.drill(path)
        except DgbotError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"file": str(path), **asdict(done)}))
            return
        pending = f" {len(done.pending)} migrations of this release are younger than it; `prepare` applies them." if done.pending else ""
        self.stdout.write(f"{path.name}: {done.rows} rows in {done.tables} tables restored and equal, {done.seconds:.1f} s.{pending}")
