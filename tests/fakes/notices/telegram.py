"""Telegram's Bot API, as much of it as dgbot uses: sendMessage with its rules, getUpdates with its offsets, and what a person types."""

import json
import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from tests.fakes.notices.http import Answer, Arrived, HttpSink

TOKEN = "123456:fake-token"
LONGEST = 4096  # characters of a text, after its entities are read
TAGS = {"b", "i", "u", "s", "code", "pre", "a"}


class _Tags(HTMLParser):
    """What Telegram checks of HTML: known tags, closed in order, and no bare ampersand or bracket."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""
        self.error = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in TAGS:
            self.error = f'Unsupported start tag "{tag}"'
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.error = f'Unexpected end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class FakeTelegram(HttpSink):
    """`says` queues what a person typed; `chats` are those our bot may write to; `texts` is what it wrote."""

    chats: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    updates: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    next_update: int = 1

    @property
    def texts(self) -> list[str]:
        """Every text that arrived, in order, as a person reads it."""
        return [_read(one.json)[0] for one in self.arrived]

    def says(self, text: str, *, chat: int, person: int | None = None, at: float | None = None, update_id: int | None = None) -> int:
        """A message to our bot; `at` is its time, seconds since 1970. Returns the update's number."""
        number = update_id if update_id is not None else self.next_update
        self.next_update = max(self.next_update, number + 1)
        kind = "private" if chat > 0 else "group"
        message = {
            "message_id": number,
            "date": int(time.time() if at is None else at),
            "chat": {"id": chat, "type": kind},
            "from": {"id": chat if person is None else person, "is_bot": False, "first_name": "P"},
            "text": text,
        }
        with self.lock:
            self.updates.append({"update_id": number, "message": message})
        return number

    def answer(self, request: Arrived) -> Answer:
        method = request.path.rpartition("/")[2]
        self.calls.append(method)
        if not request.path.startswith(f"/bot{TOKEN}/"):
            return _no(401, "Unauthorized")
        if method == "sendMessage":
            return self._take(request.json)
        if method == "getUpdates":
            return self._tell(request.json)
        return _yes({"id": 123456, "is_bot": True, "username": "fake_bot"} if method == "getMe" else True)

    def counts(self, request: Arrived) -> bool:
        return request.path.endswith("/sendMessage")

    def is_faulty(self, request: Arrived) -> bool:
        return request.path.endswith("/sendMessage")

    def _take(self, message: dict[str, Any]) -> Answer:
        chat = int(message["chat_id"])
        if chat in self.blocked:
            return _no(403, "Forbidden: bot was blocked by the user")
        if chat not in self.chats:
            return _no(400, "Bad Request: chat not found")
        text, error = _read(message)
        if error:
            return _no(400, f"Bad Request: can't parse entities: {error}")
        if not text.strip():
            return _no(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > LONGEST:
            return _no(400, "Bad Request: message is too long")
        return _yes({"message_id": len(self.arrived) + 1, "chat": {"id": chat}, "text": text})

    def _tell(self, asked: dict[str, Any]) -> Answer:
        """Those from the offset on; smaller ones are confirmed by it and never told again."""
        offset = int(asked.get("offset", 0))
        self.updates = [one for one in self.updates if one["update_id"] >= offset]
        return _yes(self.updates[:100])


def too_many(retry_after: int) -> Answer:
    """What Telegram answers to too many messages."""
    told = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": retry_after}}
    return Answer(429, json.dumps(told).encode())


def _read(message: dict[str, Any]) -> tuple[str, str]:
    """The text as it is shown, and what is wrong with its HTML."""
    if message.get("parse_mode") != "HTML":
        return message["text"], ""
    tags = _Tags()
    tags.feed(message["text"])
    tags.close()
    bare = re.search(r"&(?!(lt|gt|amp|quot|#\d+);)", message["text"])
    return tags.text, tags.error or ("unclosed tag" if tags.open else "") or ("bare ampersand" if bare else "")


def _yes(result: Any) -> Answer:
    return Answer(200, json.dumps({"ok": True, "result": result}).encode())


def _no(code: int, description: str) -> Answer:
    return Answer(code, json.dumps({"ok": False, "error_code": code, "description": description}).encode())
