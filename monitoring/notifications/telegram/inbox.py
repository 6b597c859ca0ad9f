"""One message of a chat: taken, carried out and answered in one transaction, or not at all.

The number of the last message taken is committed together with what it did and with the answer in the outbox. Killed before the commit,
nothing happened and Telegram tells the message again; killed after it, Telegram tells it again and it is known. Only what must leave the
database (queueing a cycle) follows after the commit, at most once.
"""

import logging
import secrets
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from dgbot.accounts import audit
from dgbot.base.machine import machine_now
from dgbot.core.errors import DgbotError
from monitoring.notifications import channels, outbox
from monitoring.notifications.kinds import Level
from monitoring.notifications.message import Reader
from monitoring.notifications.models import Channel, ChatOffset, PendingDeed, Recipient
from monitoring.notifications.telegram import meant
from monitoring.notifications.telegram.answers import Answer, Asked
from monitoring.notifications.telegram.catalogue import BOT, COMMANDS, Command

log = logging.getLogger(__name__)

OLDEST = timedelta(minutes=2)  # a message that waited longer may say what nobody wants any more
CONFIRM_WITHIN = timedelta(seconds=60)
CODE_DIGITS = 6
CONFIRM = "confirm"
LONGEST_TEXT = 500  # characters of a command that are read


def take(update: dict[str, Any], *, bot: str) -> None:
    """Take one update of our bot; one that was taken before does nothing."""
    with transaction.atomic():
        afterwards = _take(update, bot=bot)
    if afterwards is not None:
        afterwards()


def _take(update: dict[str, Any], *, bot: str) -> Callable[[], None] | None:
    offset, _created = ChatOffset.objects.select_for_update().get_or_create(bot=bot, defaults={"update_id": 0})
    if int(update["update_id"]) <= offset.update_id:
        return None
    offset.update_id = int(update["update_id"])
    offset.save(update_fields=["update_id"])
    message = update.get("message") or {}
    text = str(message.get("text", ""))[:LONGEST_TEXT].strip()
    chat, person = message.get("chat") or {}, str((message.get("from") or {}).get("id", ""))
    if not text.startswith("/") or chat.get("type") != "private" or not person or str(chat.get("id")) != person:
        return None  # commands are given by a person in the person's own chat: in a group nobody knows who else listens
    name, words = _parsed(text)
    sent_at = datetime.fromtimestamp(int(message.get("date", 0)), tz=UTC)
    channel = Channel.objects.filter(person=person, is_enabled=True, user__is_active=True).select_related("user").first()
    if channel is None or (name == "start" and words and _is_code(words[0])):
        _greet(name, words, person=person)
        return None
    return _serve(channel, name, words, sent_at=sent_at)


def _greet(name: str, words: list[str], *, person: str) -> None:
    """A stranger is heard only with a code; anything else gets no answer, so that nobody learns anything here."""
    if name not in ("start", "link") or not words:
        return
    channel = channels.link(words[0], chat=person, person=person)
    if channel is None:
        log.warning("a Telegram chat sent a link code that is not valid")
        return
    reader = _reader(channel)
    with translation.override(reader.language):
        text = _("This chat is linked to %(user)s. /help lists the commands.") % {"user": channel.user.get_username()}
        outbox.answer(channel=channel, facts={"title": _("Welcome"), "text": text})


def _serve(channel: Channel, name: str, words: list[str], *, sent_at: datetime) -> Callable[[], None] | None:
    now, reader = machine_now(), _reader(channel)
    with translation.override(reader.language):
        try:
            with transaction.atomic():
                answer = _carried_out(Asked(channel, words, reader, now), name, sent_at=sent_at)
        except DgbotError as error:
            answer = Answer(_("Not done"), str(error))
        except DatabaseError:
            raise  # nothing was taken; Telegram tells it again
        except Exception:
            log.exception("command=%s user=%s failed", name, channel.user_id)
            answer = Answer(_("Not done"), _("Something broke; the system log says what. Nothing was changed."))
        outbox.answer(channel=channel, facts={"title": answer.title, "text": answer.text, "fields": answer.fields}, level=Level.INFO)
    follow = answer.afterwards
    return None if follow is None else lambda: _follow(channel, follow, language=reader.language)


def _carried_out(asked: Asked, name: str, *, sent_at: datetime) -> Answer:
    if name == CONFIRM:
        return _confirmed(asked, sent_at=sent_at)
    command = COMMANDS.get(name)
    if command is None or (name == "start" and not asked.words):
        command = COMMANDS["help"]
    _refuse_unless_allowed(asked, command)
    if not command.is_deed:
        return command.run(asked)
    _refuse_if_old(asked, sent_at=sent_at)
    if command.must_confirm(asked):
        return _ask_back(asked, command)
    return _do(asked, command)


def _do(asked: Asked, command: Command) -> Answer:
    answer = command.run(asked)
    audit.record(actor=asked.user, action=f"telegram /{command.name}", target=f"channel:{asked.channel.pk}", reason=" ".join(asked.words))
    return answer


def _ask_back(asked: Asked, command: Command) -> Answer:
    """Hold the command until it is confirmed, once, by the same person, within a minute."""
    code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
    bot = meant.bot(asked) if command.usage == BOT else None
    arguments = asked.words if bot is None else [str(bot.pk)]  # the one that is named now, whatever is renamed meanwhile
    told = {"code": code, "command": command.name, "arguments": arguments, "valid_until": asked.now + CONFIRM_WITHIN}
    PendingDeed.objects.update_or_create(channel=asked.channel, defaults=told)
    what = f"/{command.name} {' '.join(arguments) if bot is None else bot.name}".strip()
    how = _("Send /confirm %(code)s within 60 seconds to carry it out, or /forget.") % {"code": code}
    return Answer(f"{what}: {command.says}?", how)


def _confirmed(asked: Asked, *, sent_at: datetime) -> Answer:
    _refuse_if_old(asked, sent_at=sent_at)
    held = PendingDeed.objects.select_for_update().filter(channel=asked.channel).first()
    if held is None:
        raise DgbotError(_("Nothing waits for your confirmation."))
    held.delete()  # a wrong code, too, ends it: six digits are not to be guessed
    if held.valid_until < asked.now:
        return Answer(_("Not done"), _("The confirmation came too late; give the command again."))
    if len(asked.words) != 1 or not secrets.compare_digest(asked.words[0].encode(), held.code.encode()):
        return Answer(_("Not done"), _("That is not the code; give the command again."))
    command = COMMANDS[held.command]
    _refuse_unless_allowed(asked, command)
    try:
        with transaction.atomic():  # a refusal undoes the deed, and not that its code was used
            return _do(Asked(asked.channel, list(held.arguments), asked.reader, asked.now), command)
    except DgbotError as error:
        return Answer(_("Not done"), str(error))


def _refuse_unless_allowed(asked: Asked, command: Command) -> None:
    if command.right and not asked.user.has_perm(command.right):
        raise DgbotError(_("Your roles do not allow /%(name)s; /help lists what they do.") % {"name": command.name})


def _refuse_if_old(asked: Asked, *, sent_at: datetime) -> None:
    waited = asked.now - sent_at
    if waited > OLDEST:
        told = {"minutes": int(waited.total_seconds() // 60)}
        raise DgbotError(_("Your message arrived %(minutes)d minutes late, so nothing was carried out. Give the command again.") % told)


def _follow(channel: Channel, work: Callable[[], str], *, language: str) -> None:
    with translation.override(language):
        outbox.answer(channel=channel, facts={"title": work()})


def _reader(channel: Channel) -> Reader:
    row = Recipient.objects.filter(user_id=channel.user_id).first() or Recipient()
    return Reader(row.language, row.time_zone, tuple(channel.modes))


def _parsed(text: str) -> tuple[str, list[str]]:
    """Name and words: `/stop@our_bot 3` is ("stop", ["3"])."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words[0][1:].partition("@")[0].lower(), words[1:]


def _is_code(word: str) -> bool:
    return len(word) == 2 * channels.CODE_BYTES
