"""Send a test message, from the command line."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.notifications import channels, delivery
from monitoring.notifications.kinds import State
from monitoring.notifications.models import Channel, Delivery, Notification

WAIT_S = 15.0


class Command(BaseCommand):
    """Writes a test message to the outbox, delivers it and says how it went."""

    help = "Send a test message by every channel of a user, or by one. Example: manage.py notify_test --user operator --channel Telegram"

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose channels."""
        parser.add_argument("--user", help="user name; default: every user")
        parser.add_argument("--channel", help="name of one channel; default: all that are enabled")

    def handle(self, *args: Any, **options: Any) -> None:
        """One line per channel. Raises CommandError when one failed, or there is none."""
        found = Channel.objects.filter(is_enabled=True).order_by("user", "pk")
        found = found.filter(user__username=options["user"]) if options["user"] else found
        found = found.filter(name=options["channel"]) if options["channel"] else found
        linked = [channel for channel in found if channel.is_linked]
        if not linked:
            raise CommandError("No such channel: enter one in the admin under Notification channels, or set TELEGRAM_… in .env.")
        results = [(channel, self._deliver(channel, channels.send_test(channel))) for channel in linked]
        for channel, row in results:
            self.stdout.write(f"{channel.user} · {channel.name}: {row.get_state_display()} {row.error}".rstrip())
        failed = sum(row.state != State.SENT for _channel, row in results)
        if failed:
            raise CommandError(f"{failed} of {len(results)} test messages did not arrive; the reasons stand above.")

    def _deliver(self, channel: Channel, told: Notification) -> Delivery:
        """Send it here, unless the notifier was faster."""
        until = time.monotonic() + WAIT_S
        while True:
            delivery.serve(channel.pk)
            row = Delivery.objects.get(notification=told)
            if row.state not in (State.PENDING, State.SENDING) or row.error or time.monotonic() > until:
                return row
            time.sleep(0.2)
