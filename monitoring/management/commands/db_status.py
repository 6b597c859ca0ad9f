"""`manage.py db_status`: what lies in the database, how fresh it is, and what makes it slow."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat
from rich.console import Console
from rich.table import Table

from monitoring.system import database

NOT_MEASURED = "Slow queries are not measured: see docs/database.md for pg_stat_statements."


class Command(BaseCommand):
    """Reads catalogues and statistics; the rows themselves only by index."""

    help = "Show tables with rows, sizes and newest rows, slow queries, unused indexes.\n\nExample: manage.py db_status --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Ask and tell."""
        found = database.status()
        if options["json"]:
            self.stdout.write(json.dumps(found, default=_text))
            return
        console = Console(file=cast("IO[str]", self.stdout))
        console.print(f"PostgreSQL {found['version']}, database {found['name']}: {filesizeformat(found['bytes'])}")
        _show(console, "Tables", found["tables"], ("table", "rows", "bytes", "newest"))
        if found["slow"] is None:
            console.print(NOT_MEASURED)
        else:
            _show(console, "Slowest queries", found["slow"], ("total_s", "calls", "mean_ms", "query"))
        _show(console, "Indexes never used since statistics began", found["unused"], ("index", "table", "bytes"))


def _show(console: Console, title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("table", "index", "query", "newest") else "right")
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    console.print(table)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if column == "bytes":
        return filesizeformat(value).replace("\xa0", " ")
    return _text(value) if isinstance(value, datetime) else f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: Any) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
