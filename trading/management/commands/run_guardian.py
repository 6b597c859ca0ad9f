"""The guardian process: protective exits between cycles."""

import logging
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from dgbot.base.loops import run_forever
from dgbot.core.errors import ExchangeUnavailable, VenueUnavailable
from dgbot.core.types import Mode
from trading import doorbell
from trading.models import ExchangeAccount
from trading.services import guardian, leases
from trading.services.venues import venue_for

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs until SIGTERM. Works without Celery, Redis, analyst and web; a doorbell only makes the gateway faster."""

    help = "Follow prices and plan stops and targets between cycles. Example: manage.py run_guardian"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        run_forever(process="guardian", step=self.turn, wait=lambda: time.sleep(settings.GUARDIAN_TICK_S))

    def turn(self) -> None:
        """Look once at every price that protects something."""
        for account in ExchangeAccount.objects.exclude(mode=Mode.REPLAY.value).select_related("simulated_market"):
            symbols = guardian.watched_symbols(account_id=account.pk)
            if not symbols or leases.acquire(name=f"guardian:{account.pk}", seconds=settings.LEASE_S) is None:
                continue
            try:
                venue = venue_for(account)
            except VenueUnavailable as error:
                log.warning("account=%s is not watched: %s", account.pk, error)
                continue
            for symbol in symbols:
                try:
                    tick = venue.exchange.ticker(symbol)
                except ExchangeUnavailable as error:
                    log.warning("account=%s symbol=%s price unknown: %s", account.pk, symbol, error)
                    continue
                if guardian.step(account_id=account.pk, tick=tick, now=tick.known_at):
                    doorbell.ring()
