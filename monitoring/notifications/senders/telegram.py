"""Telegram: the Bot API as far as we need it, and messages in its HTML. Source: core.telegram.org/bots/api."""

import json
from html import escape
from typing import Any

import requests
from django.conf import settings
from django.utils.translation import gettext as _

from monitoring.notifications.message import Message
from monitoring.notifications.senders import ChannelDead, MessageRefused, To, Unreachable, http
from monitoring.notifications.splitting import PART_CHARACTERS, split

LOST_RIGHT = (401, 403, 404)  # the token is wrong, the bot was blocked or thrown out
TOO_MANY = 429
GONE_CHAT = ("chat not found", "user is deactivated", "group chat was upgraded")


class BotApi:
    """Our bot. Every call is one POST; its token is part of the address and therefore never told."""

    def __init__(self, token: str = "", *, url: str = "") -> None:
        self.token = token or settings.TELEGRAM_BOT_TOKEN
        self.url = url or settings.TELEGRAM_URL

    @property
    def number(self) -> str:
        """The bot's own id, the part of the token that is no secret."""
        return self.token.partition(":")[0]

    def call(self, method: str, *, read_s: float = http.READ_S, **parameters: Any) -> Any:
        """The result. Raises Unreachable, MessageRefused or ChannelDead."""
        if not self.token:
            raise ChannelDead(_("There is no Telegram bot: set TELEGRAM_ENABLED=true and TELEGRAM_BOT_TOKEN."))
        body = json.dumps(parameters).encode()
        answer = http.post(
            f"{self.url}/bot{self.token}/{method}", body=body, headers={"Content-Type": "application/json"}, read_s=read_s, is_ours=True
        )
        told = _read(answer)
        if told.get("ok"):
            return told.get("result")
        raise _failure(answer, told)


class Telegram:
    """Messages to a chat."""

    def parts(self, message: Message) -> list[dict[str, str]]:
        """Each part as HTML, and as plain text should the HTML be refused."""
        texts = split(message.lines, limit=PART_CHARACTERS - len(message.head) - 100)
        return [_part(message, text, number=number, of=len(texts)) for number, text in enumerate(texts, start=1)]

    def send(self, part: dict[str, str], *, to: To) -> None:
        """One message."""
        api = BotApi()
        common: dict[str, Any] = {"chat_id": to.address, "link_preview_options": {"is_disabled": True}}
        if part.get("button"):
            button = {"text": part["button"], "callback_data": part["callback"]}
            common["reply_markup"] = {"inline_keyboard": [[button]]}
        try:
            api.call("sendMessage", text=part["html"], parse_mode="HTML", **common)
        except MessageRefused:
            api.call("sendMessage", text=part["plain"], **common)  # a text that cannot be shown nicely is shown all the same


def _part(message: Message, text: str, *, number: int, of: int) -> dict[str, str]:
    count = f" ({_('part %(number)s/%(of)s') % {'number': number, 'of': of}})" if of > 1 else ""
    labels = {f"{label}: {value}": label for label, value in message.fields}
    lines = [_bold_label(line, labels.get(line, "")) for line in text.split("\n")]
    return {
        "html": f"<b>{escape(message.head, quote=False)}</b>{count}\n" + "\n".join(lines),
        "plain": f"{message.head}{count}\n{text}",
    }


def _bold_label(line: str, label: str) -> str:
    value = escape(line[len(label) :], quote=False)
    return f"<b>{escape(label, quote=False)}</b>{value}" if label else value


def _read(answer: requests.Response) -> dict[str, Any]:
    try:
        told = json.loads(answer.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _failure(answer: requests.Response, told: dict[str, Any]) -> Exception:
    code, words = int(told.get("error_code") or answer.status_code), str(told.get("description", ""))[:200]
    sentence = f"Telegram answered {code} {words}".strip()
    if code == TOO_MANY:
        return Unreachable(sentence, retry_after_s=http.patience(answer, told.get("parameters", {}).get("retry_after")))
    if code in LOST_RIGHT or any(words.lower().endswith(end) or end in words.lower() for end in GONE_CHAT):
        return ChannelDead(sentence)
    if 400 <= code < 500:
        return MessageRefused(sentence)
    return Unreachable(sentence)
