"""The ticker process: bots that look every few seconds."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from dgbot.base import warmups
from dgbot.base.loops import run_forever
from trading import doorbell
from trading.services import feeds
from trading.services.ticker import Ticker
from trading.services.venues import venue_for

TURN_S = 0.02


class Command(BaseCommand):
    """Runs until SIGTERM; finishes the cycle it is running and gives its bots back."""

    help = "Watch the bots with a period under a minute and run their cycles. Example: manage.py run_ticker"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        warmups.run()  # a strategy's first import takes seconds, which looks must not wait for
        feeds.follow()
        ticker = Ticker(venue_for=venue_for, ring=doorbell.ring)
        run_forever(process="ticker", step=ticker.turn, wait=lambda: time.sleep(TURN_S), detail=lambda: {"feeds": feeds.states()})
        ticker.close()
        feeds.close()
