"""What commands say back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitoring.notifications.message import Reader
from monitoring.notifications.models import Channel


@dataclass(frozen=True)
class Asked:
    """One command as it came in. words: what stood behind it. now: machine time."""

    channel: Channel
    words: list[str]
    reader: Reader
    now: datetime

    @property
    def user(self) -> Any:
        """Who asked."""
        return self.channel.user


@dataclass
class Answer:
    """What is said, in the asker's language. afterwards: done after the commit, at most once; its sentence is told separately."""

    title: str
    text: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    afterwards: Callable[[], str] | None = None
