"""A webhook that checks signatures as docs/notifications.md tells its owner to."""

import hashlib
import hmac
from dataclasses import dataclass

from tests.fakes.notices.http import Answer, Arrived, HttpSink


@dataclass
class FakeWebhook(HttpSink):
    """Refuses whatever is not signed with `secret`."""

    secret: str = "signing-secret"

    @property
    def address(self) -> str:
        """Where to send."""
        return f"{self.url}/hook"

    @property
    def titles(self) -> list[str]:
        """Of what arrived, in order."""
        return [one.json["title"] for one in self.arrived]

    def answer(self, request: Arrived) -> Answer:
        timestamp = request.headers.get("X-Dgbot-Timestamp", "")
        expected = hmac.new(self.secret.encode(), f"{timestamp}.".encode() + request.body, hashlib.sha256).hexdigest()
        is_signed = hmac.compare_digest(request.headers.get("X-Dgbot-Signature", ""), f"sha256={expected}")
        return Answer(200) if is_signed else Answer(401, b"not signed")
