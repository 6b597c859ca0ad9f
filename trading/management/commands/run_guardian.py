"""The guardian process: protective exits between cycles."""

from typing import Any

from django.core.management.base import BaseCommand

from dgbot.base.loops import run_forever
from trading import doorbell
from trading.services import feeds
from trading.services.guardian import warm_up
from trading.services.guardian_loop import Guardian
from trading.services.venues import venue_for


class Command(BaseCommand):
    """Runs until SIGTERM. Works without Celery, Redis, analyst and web; a doorbell only makes the gateway faster."""

    help = "Follow prices and plan stops and targets between cycles. Example: manage.py run_guardian"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        feeds.follow()
        warm_up()
        guardian = Guardian(venue_for=venue_for, ring=doorbell.ring)
        run_forever(
            process="guardian",
            step=guardian.turn,
            wait=guardian.wait,
            detail=lambda: {"feeds": feeds.states(), "guarded": len(guardian.watchlist)},
        )
        guardian.close()
        feeds.close()
