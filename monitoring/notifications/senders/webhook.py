"""A signed webhook: JSON to an address of the user's own.

The receiver recomputes `sha256=` + HMAC-SHA256(secret, timestamp + "." + body) and compares it with X-Dgbot-Signature, refuses a
timestamp older than five minutes, and drops a delivery id it has seen: after a crash of ours one may come twice.
"""

import hashlib
import hmac
import json
import time

from monitoring.notifications.message import Message
from monitoring.notifications.senders import ChannelDead, MessageRefused, To, Unreachable, http

GONE = (401, 403, 404, 410)
PATIENT = (408, 425, 429)


class Webhook:
    """Posts to one address."""

    def parts(self, message: Message) -> list[bytes]:
        """One body."""
        told = {
            "kind": message.kind,
            "level": message.level,
            "title": message.title,
            "badge": message.badge,
            "fields": [{"label": label, "value": value} for label, value in message.fields],
            "text": message.text,
            "remedy": message.remedy,
            "happened_at": message.at.isoformat(),
            "may_be_a_repeat": bool(message.may_be_a_repeat),
        }
        return [json.dumps(told, ensure_ascii=False).encode()]

    def send(self, part: bytes, *, to: To) -> None:
        """One post; any 2xx is a thank-you."""
        headers = {"Content-Type": "application/json", "X-Dgbot-Delivery": str(to.delivery), **_signed(part, secret=to.secret)}
        answer = http.post(to.address, body=part, headers=headers)
        if 200 <= answer.status_code < 300:
            return
        sentence = f"the webhook answered {answer.status_code}"
        if answer.status_code in GONE or 300 <= answer.status_code < 400:  # a redirect is never followed: it may lead inside
            raise ChannelDead(sentence)
        if answer.status_code in PATIENT or answer.status_code >= 500:
            raise Unreachable(sentence, retry_after_s=http.patience(answer))
        raise MessageRefused(sentence)


def signature(body: bytes, *, secret: str, timestamp: str) -> str:
    """What stands in X-Dgbot-Signature."""
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _signed(body: bytes, *, secret: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    told = {"X-Dgbot-Timestamp": timestamp}
    return {**told, "X-Dgbot-Signature": signature(body, secret=secret, timestamp=timestamp)} if secret else told
