"""Import candle files into the archive."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backtests.candles.timestamps import ZONES
from backtests.selectors import archive_root
from backtests.services import candles
from backtests.services.candles import ImportOutcome
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval

EXAMPLE = """example:
  manage.py import_candles KRW-BTC_minute60.csv.gz --exchange upbit --symbol KRW-BTC
  manage.py import_candles exported.csv --symbol KRW-ETH --interval 15m --timezone Asia/Seoul --json
"""


class Command(BaseCommand):
    """A file is imported whole or refused; earlier files of the same call stay imported."""

    help = "Import candles from CSV (plain or .gz) or Parquet, in our form or pyupbit's, into the archive."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Candles of one market.")
        parser.add_argument("--exchange", default="upbit", help="Where they come from (default upbit).")
        parser.add_argument("--symbol", required=True, help="The market's code, such as KRW-BTC.")
        parser.add_argument("--interval", choices=[str(interval) for interval in Interval], help="By default the most common step.")
        parser.add_argument("--timezone", choices=list(ZONES), help="Zone of time stamps that say none.")
        parser.add_argument("--replace", action="store_true", help="Overwrite archived candles that have other values.")
        parser.add_argument("--json", action="store_true", help="Print one JSON list, an object for each file.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import one file after the other; the first that is refused ends the call."""
        columns = (TextColumn("[bold]Importing {task.fields[name]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        outcomes = []
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
            task = progress.add_task("", total=len(options["files"]), name="")
            for path in options["files"]:
                progress.update(task, name=path.name)
                outcomes.append(_import(path, options))
                progress.advance(task)
        if options["json"]:
            self.stdout.write(json.dumps([_as_json(outcome) for outcome in outcomes], ensure_ascii=False))
        else:
            self.stdout.write("\n".join(_told(outcome) for outcome in outcomes))


def _import(path: Path, options: dict[str, Any]) -> ImportOutcome:
    try:
        return candles.import_file(
            path,
            root=archive_root(),
            exchange=options["exchange"],
            symbol=options["symbol"],
            now=datetime.now(tz=UTC),
            interval=Interval(options["interval"]) if options["interval"] else None,
            timezone=options["timezone"],
            replace=options["replace"],
        )
    except DgbotError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{path.name}: the archive below {archive_root()} cannot be written: {error.strerror or error}.") from error


def _told(outcome: ImportOutcome) -> str:
    report, series = outcome.report, outcome.series
    lines = [
        f"{report.source_name}: {report.rows:,} candles of {report.interval} in {report.form} form, times {report.timezone}, "
        f"{report.first_opened_at:%Y-%m-%d %H:%M} to {report.last_opened_at:%Y-%m-%d %H:%M} UTC; "
        f"{outcome.added:,} added, {outcome.replaced:,} replaced, {outcome.unchanged:,} known; {series} now has {series.rows:,}."
    ]
    if report.gap_count:
        lines.append(f"  {report.gap_count:,} gaps, {report.missing_count:,} candles missing; the first:")
        lines += [f"    {gap.missing} after {gap.after:%Y-%m-%d %H:%M} UTC" for gap in report.gaps]
    return "\n".join(lines)


def _as_json(outcome: ImportOutcome) -> dict[str, object]:
    report, series = outcome.report, outcome.series
    return {
        "file": report.source_name,
        "form": report.form,
        "timezone": report.timezone,
        "interval": report.interval,
        "rows": report.rows,
        "first_opened_at": report.first_opened_at.isoformat(),
        "last_opened_at": report.last_opened_at.isoformat(),
        "gap_count": report.gap_count,
        "missing_count": report.missing_count,
        "gaps": [{"after": gap.after.isoformat(), "before": gap.before.isoformat(), "missing": gap.missing} for gap in report.gaps],
        "added": outcome.added,
        "replaced": outcome.replaced,
        "unchanged": outcome.unchanged,
        "series": {"name": str(series), "rows": series.rows, "content_sha256": series.content_sha256},
    }
