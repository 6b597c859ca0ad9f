"""How good the models' forecasts were, against those who know nothing."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from backtests import selectors as archive
from dgbot.core.interval import Interval
from trading.domain.scorecard import Card, cards
from trading.models import Decision
from trading.selectors.scorecards import GROUPS, resolve


class Command(BaseCommand):
    """Resolves every answered decision of paper and live bots at its horizon, from the archive."""

    help = "Score the models' forecasts. Example: manage.py scorecard --by prompt --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("--by", choices=GROUPS, default="model", help="What forecasts are counted under (default model).")
        parser.add_argument("--bot", type=int, help="One bot's decisions alone.")
        parser.add_argument("--json", action="store_true", help="Print the cards as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Resolve, score, tell."""
        decisions = Decision.objects.filter(answer__isnull=False, mode__in=("paper", "live")).select_related("bot__account", "call__prompt")
        if options["bot"] is not None:
            decisions = decisions.filter(bot=options["bot"])
        found = resolve(decisions.order_by("pk"), _archived, now=datetime.now(tz=UTC), by=options["by"])
        told = cards(found.forecasts)
        if options["json"]:
            rows = {name: {**asdict(card), "says": card.says} for name, card in told.items()}
            self.stdout.write(json.dumps({"cards": rows, "pending": found.pending, "unknown": found.unknown}, ensure_ascii=False))
            return
        _show(told, by=options["by"])
        self.stdout.write(f"{found.pending} forecasts wait for their horizon; {found.unknown} cannot be resolved for want of candles.")


def _archived(exchange: str, symbol: str, interval: Interval) -> Any:
    return archive.candles_of(exchange=exchange, symbol=symbol, interval=interval)


def _show(told: dict[str, Card], *, by: str) -> None:
    table = Table(title="Scorecard", title_justify="left", box=None, pad_edge=False)
    for heading in (by, "forecasts", "Brier", "base rate's", "last sign's", "advantage", ""):
        table.add_column(heading)
    for name, card in told.items():
        numbers = [
            "–" if card.brier is None else f"{card.brier.value:.4f}",
            "–" if card.brier_of_base_rate is None else f"{card.brier_of_base_rate:.4f}",
            "–" if card.brier_of_last_sign is None else f"{card.brier_of_last_sign:.4f}",
            "–" if card.advantage is None else f"{card.advantage.value:+.4f} [{card.advantage.low:+.4f}, {card.advantage.high:+.4f}]",
        ]
        table.add_row(name, str(card.count), *numbers, card.says)
    Console().print(table)
