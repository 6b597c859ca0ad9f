"""Download what the archive lacks."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from backtests.candles import downloading
from backtests.selectors import archive_root, series_of
from backtests.services import candles
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval
from trading.services.candle_sources import source_for, wanted_series

EXAMPLE = """example:
  manage.py sync_candles KRW-BTC KRW-ETH --interval 1h
  manage.py sync_candles KRW-BTC --interval 1m --since 2025-01-01 --until 2025-02-01 --json
  manage.py sync_candles                     what the daily job would fetch: every bot's symbol, BTC and ETH

Only what is missing is asked for, so that an interrupted download goes on where it stopped. --since before a series' first
candle lets it start earlier, and with it the signals of bots that say no anchor of their own.
"""


class Command(BaseCommand):
    """One series after the other; the first that is refused ends the call, and what came before it is stored."""

    help = "Download the candles that the archive lacks, with progress."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="Such as KRW-BTC; none: what the daily job fetches.")
        parser.add_argument("--exchange", default="upbit", help="upbit (default), bitget, simulated or simulated_<id>.")
        parser.add_argument("--interval", choices=[str(interval) for interval in Interval], default="1h", help="Default 1h.")
        parser.add_argument("--since", type=_instant, help="First open time, UTC unless it has an offset; default: the series' own first.")
        parser.add_argument("--until", type=_instant, help="End, UTC unless it has an offset; default: now.")
        parser.add_argument("--json", action="store_true", help="Print one JSON list, an object for each series.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Download one series after the other."""
        wanted = [(options["exchange"], symbol, Interval(options["interval"])) for symbol in options["symbols"]] or wanted_series()
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        told = []
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bars:
            for exchange, symbol, interval in wanted:
                bar = bars.add_task(f"{exchange} {symbol} {interval}", total=None)
                told.append(_download(bars, bar, exchange, symbol, interval, since=options["since"], until=options["until"]))
        self.stdout.write(json.dumps(told, ensure_ascii=False) if options["json"] else "\n".join(_sentence(row) for row in told))


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _download(
    bars: Progress, bar: TaskID, exchange: str, symbol: str, interval: Interval, *, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    def show(progress: downloading.Progress) -> None:
        bars.update(bar, completed=progress.windows_done, total=progress.windows_total)

    root = archive_root()
    try:
        source = source_for(exchange)
        now = source.clock.now()
        done = candles.sync(
            source.candles,
            root=root,
            exchange=exchange,
            symbol=symbol,
            interval=interval,
            until=until or now,
            now=now,
            since=since,
            page=source.page,
            told=show,
        )
    except DgbotError as error:
        raise CommandError(f"{exchange} {symbol} {interval}: {error}") from None
    except OSError as error:
        raise CommandError(f"The archive below {root} cannot be written: {error.strerror or error}.") from error
    series = series_of(exchange=exchange, symbol=symbol, interval=interval)
    return {
        "series": f"{exchange} {symbol} {interval}",
        "questions": done.windows_total,
        "added": done.added,
        "differing": done.differing,
        "rows": series.rows if series else 0,
        "last_opened_at": series.last_opened_at.isoformat() if series else None,
        "unexplained": series.unexplained_count if series else 0,
        "content_sha256": series.content_sha256 if series else None,
    }


def _sentence(row: dict[str, Any]) -> str:
    if not row["rows"]:
        return f"{row['series']}: the exchange has no candles of that time."
    text = (
        f"{row['series']}: {row['added']:,} candles added with {row['questions']:,} questions; {row['rows']:,} candles to "
        f"{row['last_opened_at'][:16].replace('T', ' ')} UTC, {row['unexplained']:,} missing without explanation."
    )
    if row["differing"]:
        text += f" {row['differing']:,} stored candles differ from what the exchange says now; they were left as they are."
    return text
