"""The guardian process: protective exits between cycles."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from dgbot.base.loops import run_forever
from trading import doorbell
from trading.services import feeds
from trading.services.guardian_loop import Guardian
from trading.services.venues import venue_for


class Command(BaseCommand):
    """Runs until SIGTERM. Works without Celery, Redis, analyst and web; a doorbell only makes the gateway faster."""

    help = "Follow prices and plan stops and targets between cycles. Example: manage.py run_guardian"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        feeds.follow()
        guardian = Guardian(venue_for=venue_for, ring=doorbell.ring)
        run_forever(
            process="guardian",
            step=guardian.turn,
            wait=lambda: time.sleep(settings.GUARDIAN_TICK_S),
            detail=lambda: {"feeds": feeds.states()},
        )
        guardian.close()
        feeds.close()
