"""Screen every KRW market by its daily candles."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from dgbot.core.errors import DgbotError
from trading.services import screener
from trading.services.screener import Screened

PATIENCE_S = 120.0  # some 250 markets at ten questions a second, with room
SHOWN = 40


class Command(BaseCommand):
    """Conditions are joined by AND; --or joins them by OR. With --apply the result goes into target_symbols, for a reason."""

    help = 'Screen all KRW markets. Example: manage.py screener "change_rate[1W] > 5" "ma_alignment == bullish" --json'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("conditions", nargs="+", metavar="CONDITION", help="Such as 'trade_amount[1D] > 1e10'; one to five.")
        parser.add_argument("--or", dest="is_any", action="store_true", help="One condition is enough.")
        parser.add_argument("--apply", choices=("add", "replace"), help="Put what fits into target_symbols.")
        parser.add_argument("--reason", default="", help="Why target_symbols changes; needed with --apply.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse in one sentence; tell what could not be looked at."""
        try:
            found = screener.screen(options["conditions"], is_any=options["is_any"], now=datetime.now(tz=UTC), budget_s=PATIENCE_S)
            if options["apply"]:
                chosen = [one.symbol for one in found.matches]
                screener.apply(chosen, is_replacing=options["apply"] == "replace", by="screener", reason=options["reason"])
        except DgbotError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found.as_row(), ensure_ascii=False))
        else:
            _show(found)
        if found.unasked:
            why = f" ({found.failures[0]})" if found.failures else ""
            raise CommandError(f"{len(found.unasked)} markets could not be looked at{why}; run it again to go on.")


def _show(found: Screened) -> None:
    names = [condition.name for condition in found.conditions]
    joined = " or " if found.is_any else " and "
    table = Table(title=joined.join(map(str, found.conditions)), title_justify="left", box=None, pad_edge=False)
    for heading in ("market", *names, "target"):
        table.add_column(heading)
    for one in found.matches[:SHOWN]:
        values = ["–" if (value := one.readings.get(name)) is None else f"{value:,.4g}" for name in names]
        table.add_row(one.symbol, *values, "yes" if one.is_target else "")
    console = Console()
    console.print(table)
    unknown = f"; {len(found.unknown)} have too few days to tell" if found.unknown else ""
    console.print(f"{len(found.matches)} of {found.looked_at} markets fit at the close of {found.until:%Y-%m-%d} UTC{unknown}.")
