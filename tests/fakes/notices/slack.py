"""An incoming webhook of Slack: takes what Slack would take, and says `ok`."""

import json
from dataclasses import dataclass

from tests.fakes.notices.http import Answer, Arrived, HttpSink

PATH = "/services/T000/B000/secret"


@dataclass
class FakeSlack(HttpSink):
    """`address` is what SLACK_WEBHOOK_URL would be."""

    @property
    def address(self) -> str:
        """With its secret path."""
        return self.url + PATH

    def answer(self, request: Arrived) -> Answer:
        if request.path != PATH:
            return Answer(404, b"no_service")
        try:
            told = json.loads(request.body)
        except ValueError:
            return Answer(400, b"invalid_payload")
        if not told.get("text") and not told.get("attachments"):
            return Answer(400, b"no_text")
        return Answer(200, b"ok")
