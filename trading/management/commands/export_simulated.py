"""Write candles of a simulated market to a file, for replays without recorded data."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backtests.candles.exporting import write_csv
from dgbot.core.errors import DgbotError
from dgbot.core.interval import Interval
from trading.exchanges.simulated_market import SimulatedMarket

EXAMPLE = """example:
  manage.py export_simulated simulated.csv.gz --symbol KRW-BTC --seed 1 --from 2026-01-01 --hours 1000
"""


class Command(BaseCommand):
    """The file begins with the history before --from, so that a strategy is warm when trading starts."""

    help = "Write hourly candles of a simulated market to a CSV file in our form."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("file", type=Path, metavar="FILE", help="Where to write; a name ending in .gz is compressed.")
        parser.add_argument("--symbol", default="KRW-BTC", help="A KRW market (default KRW-BTC).")
        parser.add_argument("--seed", type=int, default=1, help="The market's seed (default 1).")
        parser.add_argument(
            "--from", dest="origin", default="2026-01-01", metavar="DATE", help="First slot, ISO 8601, UTC unless it says otherwise."
        )
        parser.add_argument("--hours", type=int, default=1000, help="Hours after it (default 1000).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compute and write."""
        origin = _instant(options["origin"])
        if not 1 <= options["hours"] <= 100_000:
            raise CommandError(f"--hours must lie in 1…100000, was {options['hours']}.")
        try:
            market = SimulatedMarket(options["symbol"], options["seed"], origin)
            candles = market.closed_candles(Interval.HOUR_1, market.origin + timedelta(hours=options["hours"]))
            write_csv(candles, options["file"])
        except (DgbotError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{options['file']}: {len(candles):,} hours from {candles.first_opened_at} on; trade from {market.origin} on.")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--from must be a date such as 2026-01-01, was {text!r}.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
