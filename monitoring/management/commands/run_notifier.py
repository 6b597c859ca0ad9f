"""The notifier process: tells operators what happened, and listens to their Telegram commands."""

from typing import Any

from django.core.management.base import BaseCommand

from dgbot.base.loops import run_forever
from monitoring.notifications.notifier import Notifier
from monitoring.notifications.telegram.poller import Poller


class Command(BaseCommand):
    """Runs until SIGTERM; finishes what it is sending."""

    help = "Send notifications and answer Telegram commands. Example: manage.py run_notifier"

    def handle(self, *args: Any, **options: Any) -> None:
        """Loop until told to stop."""
        notifier, poller = Notifier(), Poller()
        poller.start()
        run_forever(process="notifier", step=notifier.turn, wait=notifier.wait)
        poller.end()
        notifier.close()
