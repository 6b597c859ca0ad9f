"""`manage.py restore`: a backup back in place."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from dgbot.core.errors import DgbotError
from monitoring.backups import files, redis_keys, restoring, results
from risk import kill_switch
from risk.domain.reasons import Reason
from risk.models import KillScope


class Command(BaseCommand):
    """The database is exchanged as a whole, the rest is laid over what is there."""

    help = (
        "Restore a backup. The platform must be stopped; the present database is kept under another name.\n\n"
        "Examples: manage.py restore latest --yes        manage.py restore /backups/dgbot-postgres-….dump"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which file."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("file", help="a backup file, or `latest` for the newest of the database")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Ask, restore, tell."""
        try:
            path = files.newest("postgres") if options["file"] == "latest" else Path(options["file"])
            kind = files.kind_of(path)
            files.checked(path)
            self._ask(f"Restore {path.name} over the present {kind}?", options)
            told = {"postgres": self._database, "redis": self._redis, "results": self._results}[kind](path)
        except DgbotError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(told) if options["json"] else told["said"])

    def _ask(self, question: str, options: dict[str, Any]) -> None:
        if options["yes"]:
            return
        if input(f"{question} Type yes: ").strip() != "yes":
            raise CommandError("Nothing was restored: yes was not typed.")

    def _database(self, path: Path) -> dict[str, Any]:
        done = restoring.restore(path)
        kept = f" The former database is kept as {done.former}; drop it when you no longer need it." if done.former else ""
        said = f"{done.rows} rows in {done.tables} tables restored and compared in {done.seconds:.1f} s.{kept} {_hold_entries(path)}"
        return {"rows": done.rows, "tables": done.tables, "seconds": done.seconds, "former": done.former, "said": said}

    def _redis(self, path: Path) -> dict[str, Any]:
        counts = redis_keys.load(path)
        return {"keys": counts, "said": f"{sum(counts.values())} keys restored."}

    def _results(self, path: Path) -> dict[str, Any]:
        count = results.load(path)
        return {"files": count, "said": f"{count} files restored."}


def _hold_entries(path: Path) -> str:
    """Orders placed since the backup are unknown to a restored database: nothing is opened before somebody has compared."""
    reason = Reason("restored", f"The database was restored from {path.name}; compare it with the exchanges before entries go on.")
    try:
        kill_switch.trip(scope=KillScope.PLATFORM, scope_id="", reason=reason, by="restore")
    except DatabaseError as error:  # an old schema, which only `prepare` makes fit
        return f"Entries could not be blocked ({str(error).strip().splitlines()[0]}): raise the kill switch before you start bots."
    return "Entries are blocked by the kill switch until you have compared with the exchanges (manage.py reconcile) and lower it."
