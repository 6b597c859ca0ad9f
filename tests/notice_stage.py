"""Channels and a notifier for tests: each call says only what matters to its test."""

import time
from itertools import count
from typing import Any

from dgbot.accounts.models import User
from monitoring.notifications import delivery, outbox
from monitoring.notifications.channels import shown
from monitoring.notifications.kinds import Kind, Level, Medium
from monitoring.notifications.models import Channel, Delivery, Notification, Recipient
from tests.fakes.notices.webhook import FakeWebhook

_numbers = count(1)


def channel(owner: User, medium: str = Medium.WEBHOOK, *, address: str, secret: str = "", **columns: Any) -> Channel:
    """A channel that hears everything, of every mode."""
    given = {"modes": ["simulated", "paper", "live"], "per_minute": 6000, **columns}
    return Channel.objects.create(
        user=owner, name=f"channel {next(_numbers)}", medium=medium, address=address, secret=secret, shown=shown(medium, address), **given
    )


def to_webhook(owner: User, sink: FakeWebhook, **columns: Any) -> Channel:
    """A channel to a signed webhook."""
    return channel(owner, Medium.WEBHOOK, address=sink.address, secret=sink.secret, **columns)


def recipient(user: User, **columns: Any) -> Recipient:
    """How somebody wants to be told."""
    return Recipient.objects.create(user=user, **columns)


def tell(
    user: User | None, title: str = "Something happened", *, level: Level = Level.INFO, kind: Kind = Kind.HEALTH, **more: Any
) -> Notification | None:
    """One event of a user's."""
    return outbox.tell(kind=kind, level=level, title=title, user_id=None if user is None else user.pk, **more)


def deliver(*, within_s: float = 0.0) -> None:
    """Send whatever is due, until nothing is or the time has passed."""
    deadline = time.monotonic() + within_s
    while True:
        for pk in delivery.due_channels():
            delivery.serve(pk)
        if time.monotonic() >= deadline or not Delivery.objects.filter(state__in=["pending", "sending"]).exists():
            return
        time.sleep(0.05)


def states() -> list[str]:
    """Of every delivery, in order."""
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))
