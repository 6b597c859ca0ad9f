"""`manage.py backup`: make, copy, clean up and count backups."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat as file_size

from dgbot.core.errors import DgbotError
from monitoring.backups import files, keeping, making
from monitoring.backups.models import Backup, BackupKind, BackupReason

ACTIONS = ("all", *BackupKind.values, "s3", "cleanup", "stats")


class Command(BaseCommand):
    """One backup after the other; one that fails does not keep the next from being made."""

    help = (
        "Back up the database, Redis, candles and results; copy backups to S3; remove old ones; show how they stand.\n\n"
        "Examples: manage.py backup        manage.py backup cleanup 7        manage.py backup stats --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("action", nargs="?", default="all", choices=ACTIONS, help="what to back up, or what to do (default: all)")
        parser.add_argument("days", nargs="?", type=int, default=keeping.KEPT_DAYS, help="cleanup: days to keep (default: 7)")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do it, print one line each, fail when anything failed."""
        action = options["action"]
        try:
            if action == "cleanup":
                self._tell(options, {"removed": keeping.clean_up(days=options["days"])}, "{removed} backups removed")
            elif action == "s3":
                sent = keeping.upload()
                self._tell(options, {"sent": sent}, f"{len(sent)} backups copied to the bucket")
            elif action == "stats":
                self._stats(options)
            else:
                self._make(list(BackupKind.values) if action == "all" else [action], options)
        except DgbotError as error:
            raise CommandError(str(error)) from error

    def _make(self, kinds: list[str], options: dict[str, Any]) -> None:
        made, failed = making.make_all(kinds, reason=BackupReason.OPERATOR)
        if options["json"]:
            self.stdout.write(json.dumps({"made": [_as_dict(row) for row in made], "failed": failed}))
        else:
            for row in made:
                size = "size unknown" if row.bytes is None else file_size(row.bytes)
                took = "duration unknown" if row.duration_ms is None else f"{row.duration_ms / 1000:.1f} s"
                self.stdout.write(f"{row.kind:9} {files.folder() / row.file}  {size}  {took}")
        if failed:
            raise CommandError("; ".join(failed))

    def _stats(self, options: dict[str, Any]) -> None:
        found = keeping.standing()
        if options["json"]:
            self.stdout.write(json.dumps({each.kind: each.as_dict() for each in found}))
            return
        self.stdout.write(f"Backups in {files.folder()}")
        for each in found:
            age = "none yet" if each.age_s is None else f"newest {each.age_s / 3600:.1f} h old"
            proven = "never proven by a drill" if each.proven_age_s is None else f"proven {each.proven_age_s / 86400:.1f} days ago"
            proven = f", {proven}" if each.kind == BackupKind.POSTGRES else ""
            failures = f", {each.failures} failures since: {each.last_error}" if each.failures else ""
            self.stdout.write(f"{each.kind:9} {each.count} kept, {file_size(each.bytes)}, {age}{proven}{failures}")

    def _tell(self, options: dict[str, Any], facts: dict[str, Any], sentence: str) -> None:
        self.stdout.write(json.dumps(facts) if options["json"] else sentence.format(**facts))


def _as_dict(row: Backup) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "file": str(files.folder() / row.file),
        "bytes": row.bytes,
        "sha256": row.sha256,
        "seconds": None if row.duration_ms is None else row.duration_ms / 1000,
    }
