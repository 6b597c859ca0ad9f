"""Slack by an incoming webhook: one attachment in the level's colour, facts as fields. Source: api.slack.com/messaging/webhooks."""

import json
from typing import Any

from monitoring.notifications.message import COLOURS, Message
from monitoring.notifications.senders import ChannelDead, MessageRefused, To, Unreachable, http
from monitoring.notifications.splitting import split

TEXT_UNITS = 3000
MOST_FIELDS = 20
SHORT = 40  # characters; shorter fields stand side by side
OK = 200
GONE = (401, 403, 404, 410)
PATIENT = (408, 425, 429)


class Slack:
    """Messages to the webhook's channel."""

    def parts(self, message: Message) -> list[dict[str, Any]]:
        """One post each."""
        more = [line for text in (message.text, message.remedy, message.may_be_a_repeat) for line in text.splitlines()]
        texts = split(more, limit=TEXT_UNITS)
        return [_post(message, text, is_first=number == 0) for number, text in enumerate(texts)]

    def send(self, part: dict[str, Any], *, to: To) -> None:
        """One post."""
        answer = http.post(to.address, body=json.dumps(part).encode(), headers={"Content-Type": "application/json"})
        if answer.status_code == OK:
            return
        sentence = f"Slack answered {answer.status_code} {answer.content[:100].decode(errors='replace')}".strip()
        if answer.status_code in GONE or 300 <= answer.status_code < 400:  # a redirect is never followed: it may lead inside
            raise ChannelDead(sentence)
        if answer.status_code in PATIENT or answer.status_code >= 500:
            raise Unreachable(sentence, retry_after_s=http.patience(answer))
        raise MessageRefused(sentence)


def escape(text: str) -> str:
    """Text as Slack wants it: three characters, no more."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(message: Message, text: str, *, is_first: bool) -> dict[str, Any]:
    fields = message.fields[:MOST_FIELDS] if is_first else ()
    return {
        "text": escape(message.head) if is_first else "",
        "attachments": [
            {
                "color": COLOURS[message.level],
                "fallback": escape(message.head),
                "fields": [{"title": escape(label), "value": escape(value), "short": len(value) <= SHORT} for label, value in fields],
                "text": escape(text),
                "footer": escape(message.when),
                "mrkdwn_in": [],
            }
        ],
    }
