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

from backtests.candles.files import ENCODINGS, UTF8
from backtests.candles.importing import ImportOptions, ImportReport
from backtests.candles.numbers import THOUSANDS
from backtests.candles.tidying import Note
from backtests.candles.timestamps import UNITS, ZONES
from backtests.selectors import archive_root
from backtests.services import candles
from backtests.services.candles import ImportOutcome
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval

EXAMPLE = """example:
  manage.py import_candles KRW-BTC_minute60.csv.gz --exchange upbit --symbol KRW-BTC
  manage.py import_candles exported.csv --symbol KRW-ETH --interval 15m --timezone Asia/Seoul --json
  manage.py import_candles ccxt.csv --exchange bitget --symbol ETH/USDT:USDT --time-unit ms
"""

NOTES = {
    Note.NEWEST_FIRST: "the rows stood newest first and were turned round",
    Note.SHORTENED: "volumes like 4.96K are rounded to their first digits",
    Note.NEWEST_IS_SMALL: "the newest candle has little volume; if it was still forming when the file was written, use --drop-newest",
}


class Command(BaseCommand):
    """A file is imported whole or refused; earlier files of the same call stay imported."""

    help = "Import candles from CSV (plain, .gz or .zip) or Parquet into the archive: ours, pyupbit's, ccxt's, Upbit's, Korean vendors'."

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
        parser.add_argument("--time-unit", choices=list(UNITS), help="What numeric time stamps count since 1970.")
        parser.add_argument(
            "--thousands", choices=list(THOUSANDS), help="Whether a comma separates thousands, where the file leaves it open."
        )
        parser.add_argument("--encoding", choices=list(ENCODINGS), default=UTF8, help="Of text (default utf-8).")
        parser.add_argument("--drop-newest", action="store_true", help="Leave the newest candle out: it was still forming.")
        parser.add_argument("--replace", action="store_true", help="Overwrite archived candles that have other values, and record it.")
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
            options=ImportOptions(
                interval=Interval(options["interval"]) if options["interval"] else None,
                timezone=options["timezone"],
                time_unit=options["time_unit"],
                thousands=options["thousands"],
                encoding=options["encoding"],
                drop_newest=options["drop_newest"],
            ),
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
    lines += _remarks(report)
    if report.gap_count:
        lines.append(f"  {report.gap_count:,} gaps, {report.missing_count:,} candles missing; the first:")
        lines += [f"    {gap.missing} after {gap.after:%Y-%m-%d %H:%M} UTC" for gap in report.gaps]
    return "\n".join(lines)


def _remarks(report: ImportReport) -> list[str]:
    lines = [
        f"  left out: {dropped.count:,} {dropped.reason} (first: {dropped.first_opened_at:%Y-%m-%d %H:%M} UTC)"
        for dropped in report.dropped
    ]
    lines += [f"  note: {NOTES[note]}" for note in report.notes]
    return lines + ([f"  columns not used: {', '.join(report.ignored_columns)}"] if report.ignored_columns else [])


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
        "dropped": [
            {"reason": dropped.reason, "count": dropped.count, "first_opened_at": dropped.first_opened_at.isoformat()}
            for dropped in report.dropped
        ],
        "notes": list(report.notes),
        "ignored_columns": list(report.ignored_columns),
        "added": outcome.added,
        "replaced": outcome.replaced,
        "unchanged": outcome.unchanged,
        "series": {"name": str(series), "rows": series.rows, "content_sha256": series.content_sha256},
    }
