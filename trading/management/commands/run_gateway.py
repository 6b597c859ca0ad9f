"""The gateway process: the only one that sends orders."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from dgbot.base.loops import run_forever
from trading import doorbell, vault
from trading.services.gateway_loop import Gateway

PATIENCE_S = 0.05  # a turn waits so long for its slowest account before it looks for new orders again


class Command(BaseCommand):
    """Runs until SIGTERM; finishes the order it is sending."""

    help = "Send planned orders, settle unclear ones, write balances. Example: manage.py run_gateway"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        gateway = Gateway(open_key=vault.open_key, ring=doorbell.ring, patience_s=PATIENCE_S)
        run_forever(
            process="gateway",
            step=gateway.turn,
            wait=lambda: doorbell.wait(at_most_s=settings.GATEWAY_SWEEP_S),
            detail=lambda: {"private_feeds": gateway.account_feeds.state()},
        )
        gateway.close()
