"""Whether the audit log is whole."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dgbot.accounts import audit
from dgbot.accounts.models import AuditEntry


class Command(BaseCommand):
    """Follows the chain of hashes; compares its end with one that was kept elsewhere."""

    help = (
        "Check every entry of the audit log against its hash and the entry before it, and print the last one's hash: keep it off this"
        " machine. With --expect an earlier one must still be in the chain, so that a cut end shows, too."
        " Example: manage.py verify_audit --expect 3f2c… --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("--expect", default="", help="A hash that an earlier run printed.")
        parser.add_argument("--export", type=Path, help="Write every entry to this file, one JSON object a line, to keep elsewhere.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One sentence on failure."""
        broken = audit.first_broken()
        if broken is not None:
            raise CommandError(f"Entry {broken} of the audit log does not follow from the one before it: something wrote past the rules.")
        if options["expect"] and not AuditEntry.objects.filter(hash=options["expect"]).exists():
            raise CommandError(f"No entry has the hash {options['expect']}: the end of the audit log was cut off, or it is another log's.")
        last = AuditEntry.objects.order_by("-pk").values_list("hash", flat=True).first() or ""
        told = {"entries": AuditEntry.objects.count(), "last": last}
        if options["export"]:
            self._export(options["export"])
        self.stdout.write(json.dumps(told) if options["json"] else f"{told['entries']} entries, all whole. The last hash is {last or '–'}.")

    def _export(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            for entry in AuditEntry.objects.order_by("pk").values().iterator():
                file.write(json.dumps(entry, default=str, ensure_ascii=False) + "\n")
