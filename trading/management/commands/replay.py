"""Replay recorded candles through the whole pipeline."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from backtests.candles.archive import merged_with
from backtests.candles.importing import ImportOptions, read_file
from backtests.candles.series import Candles
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.money import parse_decimal
from monitoring import live
from trading.selectors.replays import Summary, summarise
from trading.services import config, replaying

EXAMPLE = """example:
  manage.py replay KRW-BTC_minute60.csv.gz --symbol KRW-BTC --strategy volatility_breakout --from 2023-01-01 --to 2024-01-01
"""


class Command(BaseCommand):
    """Writes every row a live run would, under an account and bot of its own, hidden from the dashboard."""

    help = "Replay recorded candles through the whole pipeline and sum up what happened."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV (plain or .gz) or Parquet, in our form or pyupbit's.")
        parser.add_argument("--symbol", required=True, help="The market's code, such as KRW-BTC.")
        parser.add_argument("--strategy", required=True, help="A registered strategy, such as volatility_breakout.")
        parser.add_argument(
            "--from", dest="start", metavar="DATE", help="First candle's open time, ISO 8601, UTC unless it says otherwise."
        )
        parser.add_argument("--to", dest="end", metavar="DATE", help="Open time at which to end, itself left out.")
        parser.add_argument("--cash", default="1000000", help="Cash at the start, quote currency (default 1000000).")
        parser.add_argument("--profile", default="", help="Risk profile; by default the one named by the setting risk_level.")
        parser.add_argument(
            "--parameters", default="{}", help='Strategy parameters that differ from the defaults, as JSON: {"trend_bars": 60}.'
        )
        parser.add_argument("--no-filter", action="store_true", help="Do not ask the quick filter before entries.")
        parser.add_argument("--timezone", help="Zone of time stamps that say none: UTC or Asia/Seoul.")
        parser.add_argument("--json", action="store_true", help="Print the summary as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read everything, refuse what is wrong in one sentence, then walk the bars."""
        self._make_ready()
        try:
            replay = replaying.prepare(_order(options))
        except DgbotError as error:
            raise CommandError(str(error)) from None
        live.mute()  # nobody watches a replay; its accounts are hidden
        _walk(replay)
        summary = summarise(replay.bot)
        if options["json"]:
            self.stdout.write(json.dumps(summary.as_json(), ensure_ascii=False))
        else:
            _show(summary)

    def _make_ready(self) -> None:
        """A database that nothing has been started on yet gets its tables and settings first."""
        try:
            config.current()
        except (ProgrammingError, BadInput):
            call_command("prepare", stdout=self.stderr)  # stdout belongs to the summary


def _order(options: dict[str, Any]) -> replaying.Order:
    return replaying.Order(
        recording=_recording(options),
        strategy=options["strategy"],
        parameters=_parameters(options["parameters"]),
        cash=_cash(options["cash"]),
        start=_instant(options["start"], name="--from"),
        end=_instant(options["end"], name="--to"),
        profile=options["profile"],
        is_filtered=not options["no_filter"],
    )


def _recording(options: dict[str, Any]) -> Candles:
    now = datetime.now(tz=UTC)
    read = [
        read_file(path, exchange="upbit", symbol=options["symbol"], now=now, options=ImportOptions(timezone=options["timezone"])).candles
        for path in options["files"]
    ]
    return reduce(lambda old, new: merged_with(old, new).candles, read)


def _parameters(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--parameters is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CommandError(f'--parameters must be an object such as {{"trend_bars": 60}}, was {text}.')
    return value


def _cash(text: str) -> Decimal:
    try:
        cash = parse_decimal(text, name="--cash")
    except ValueError as error:
        raise CommandError(f"{error}.") from None
    if cash <= 0:
        raise CommandError(f"--cash must be above zero, was {text}.")
    return cash


def _instant(text: str | None, *, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{name} must be a date such as 2023-01-01 or 2023-01-01T12:00:00+09:00, was {text!r}.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _walk(replay: replaying.Replay) -> None:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[slot]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(f"Replaying {replay.bot.symbol}", total=len(replay.bars), slot="")
        for slot in replay.run():
            progress.update(task, advance=1, slot=f"{slot:%Y-%m-%d %H:%M}")


def _show(summary: Summary) -> None:
    console = Console()
    table = Table(title=f"Replay of {summary.symbol} · {summary.strategy} · bot {summary.bot}", show_header=False)
    words = {
        "Slots": f"{sum(summary.cycles.values())}  {summary.first_slot} … {summary.last_slot}",
        **{f"Stage {stage}": _told(counts) for stage, counts in summary.stages.items()},
        "Decisions": _told(summary.decisions),
        "Entries stopped": _told(summary.stopped),
        "Orders": _told(summary.orders),
        "Trades": str(summary.trades),
        "Fees": summary.fees,
        "Final equity": f"{summary.final_equity or 'unknown'} (from {summary.start_equity})",
        "Return": f"{summary.return_pct or 'unknown'} %",
        "Max drawdown": f"{summary.max_drawdown_pct or 'unknown'} %",
        "Safe mode": summary.safe_mode or "not entered",
    }
    for name, value in words.items():
        table.add_row(name, value)
    console.print(table)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
