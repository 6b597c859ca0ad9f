"""How a worded message travels by each medium. Adapters: they know no models, and say in three classes what to do after a failure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dgbot.core.errors import DgbotError
from monitoring.notifications.message import Message


class NotDelivered(DgbotError):
    """Base of what senders raise."""


class Unreachable(NotDelivered):
    """No answer, or one that asks for patience: try again, after `retry_after_s` where it is told."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MessageRefused(NotDelivered):
    """This very message is not taken: give it up and go on with the next."""


class ChannelDead(NotDelivered):
    """The address, its token or its permission is gone: stop the channel until somebody looks after it."""


@dataclass(frozen=True)
class To:
    """Where one part goes. delivery: our id of it, the same for every attempt."""

    address: str
    secret: str
    delivery: int


class Sender(Protocol):
    """One medium."""

    def parts(self, message: Message) -> list[Any]:
        """The message in the medium's shape, in as many parts as it needs."""
        ...

    def send(self, part: Any, *, to: To) -> None:
        """Send one part. Raises NotDelivered."""
        ...


def sender_of(medium: str) -> Sender:
    """The sender of a medium, loaded when it is first needed."""
    from monitoring.notifications.senders import mail, other, slack, telegram, webhook

    senders: Mapping[str, Any] = {
        "telegram": telegram.Telegram,
        "slack": slack.Slack,
        "email": mail.Mail,
        "webhook": webhook.Webhook,
        "other": other.Other,
    }
    sender: Sender = senders[medium]()
    return sender
