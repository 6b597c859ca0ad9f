"""Compare a bot's trades with what the engine does in the same hours."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from backtests.candles.archive import merged_with
from backtests.candles.importing import ImportOptions, read_file
from backtests.candles.series import Candles
from dgbot.core.errors import DgbotError
from trading.models import Bot, ParityRun, ParityVerdict
from trading.services import parity


class Command(BaseCommand):
    """Every trade is matched; each difference is told with its cause and the evidence. Kept, and shown in the admin."""

    help = "Compare a bot's trades with the engine's. Example: manage.py parity 7 --from 2026-01-01 --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("bot", help="Id or name of the bot.")
        parser.add_argument(
            "--from", dest="start", metavar="DATE", help="First candle's open time, ISO 8601, UTC unless it says otherwise."
        )
        parser.add_argument("--to", dest="end", metavar="DATE", help="Open time at which to end, itself left out.")
        parser.add_argument("--candles", nargs="+", type=Path, metavar="FILE", help="The recording, for the bot of a replay.")
        parser.add_argument("--timezone", help="Zone of the files' time stamps that say none: UTC or Asia/Seoul.")
        parser.add_argument("--json", action="store_true", help="Print the comparison as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare; exit with failure when anything differs."""
        bot = _bot(options["bot"])
        try:
            candles = _recorded(bot, options) if options["candles"] else None
            found = parity.run(bot.pk, start=_instant(options["start"], "--from"), end=_instant(options["end"], "--to"), candles=candles)
        except DgbotError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(_row(found), ensure_ascii=False))
        elif found.verdict != ParityVerdict.IMPOSSIBLE:
            _show(found, bot)
        if found.verdict == ParityVerdict.IMPOSSIBLE:
            raise CommandError(f"{bot.name} could not be compared: {found.reason}")
        if found.verdict == ParityVerdict.DIFFERS:
            raise CommandError(f"{found.fills - found.equal} of {found.fills} trades of {bot.name} differ from the engine's.")


def _bot(text: str) -> Bot:
    bots = Bot.objects.filter(pk=int(text)) if text.isdigit() else Bot.objects.filter(name=text)
    found = list(bots[:2])
    if len(found) != 1:
        raise CommandError(f"There is no bot {text!r}." if not found else f"Several bots are called {text!r}; say its id.")
    return found[0]


def _recorded(bot: Bot, options: dict[str, Any]) -> Candles:
    told, now = ImportOptions(timezone=options["timezone"]), datetime.now(tz=UTC)
    read = [read_file(path, exchange=bot.account.exchange, symbol=bot.symbol, now=now, options=told).candles for path in options["candles"]]
    return reduce(lambda old, new: merged_with(old, new).candles, read)


def _instant(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{name} must be a date such as 2026-01-01 or 2026-01-01T12:00:00+09:00, was {text!r}.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _row(run: ParityRun) -> dict[str, Any]:
    return {
        "run": run.pk,
        "bot": run.bot_id,
        "verdict": run.verdict,
        "reason": run.reason,
        "from": None if run.start_at is None else run.start_at.isoformat(),
        "to": None if run.end_at is None else run.end_at.isoformat(),
        "bars": run.bars,
        "fills": run.fills,
        "equal": run.equal,
        "kinds": run.kinds,
        "differences": run.differences,
        "notes": run.notes,
        "candles_hash": run.candles_hash,
        "duration_ms": run.duration_ms,
    }


def _show(run: ParityRun, bot: Bot) -> None:
    console = Console()
    console.print(f"{bot.name} · {bot.symbol} · {run.start_at:%Y-%m-%d %H:%M} to {run.end_at:%Y-%m-%d %H:%M} UTC · {run.bars:,} candles")
    console.print(f"{run.equal} of {run.fills} trades are the engine's to the lot." + "".join(f"\n{note}" for note in run.notes))
    if not run.differences:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "bar (UTC)", "what", "cause", "why"):
        table.add_column(heading)
    for one in run.differences:
        fill = one["bot"] or one["engine"]
        who = "" if one["bot"] and one["engine"] else " (bot only)" if one["bot"] else " (engine only)"
        table.add_row(str(one["number"]), fill["opened_at"][:16], f"{fill['side']} {fill['reason']}{who}", one["kind"], one["why"])
    console.print(table)
