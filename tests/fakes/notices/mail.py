"""A mail server with one mailbox."""

import socket
import time
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller


@dataclass
class FakeMail:
    """Use as a context manager. `answers` are said instead of OK, mail by mail: `450 try later`, `554 no`."""

    mails: list[EmailMessage] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when each arrived
    answers: deque[str] = field(default_factory=deque)
    unknown: set[str] = field(default_factory=set)
    port: int = 0

    def __enter__(self) -> Self:
        self.port = self.port or _free_port()  # aiosmtpd dials the port it was given
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=10)
        self._controller.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._controller.stop()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.popleft()
        self.times.append(time.monotonic())
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 taken"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
