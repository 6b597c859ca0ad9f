"""Channels: entered, linked, tested. An address is checked when it is entered and again right before each use, and never shown."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from dgbot.accounts import audit
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput
from monitoring.notifications import addresses, delivery, outbox
from monitoring.notifications.kinds import Kind, Medium
from monitoring.notifications.models import Channel, LinkCode, Notification, Recipient
from monitoring.notifications.senders import other

CODE_BYTES = 10  # 80 bits: nobody guesses it within its life
LINK_LIFE = timedelta(minutes=15)
LAST = 4  # characters of a secret that may be shown


def check_address(medium: str, address: str) -> None:
    """Raises BadInput for an address the medium cannot use, or must not."""
    if medium == Medium.EMAIL:
        try:
            validate_email(address)
        except ValidationError as error:
            raise BadInput(_("%(address)s is no mail address.") % {"address": address}) from error
    elif medium in (Medium.SLACK, Medium.WEBHOOK):
        addresses.check(address)
    elif medium == Medium.OTHER:
        other.load(address)


def shown(medium: str, address: str) -> str:
    """What may be shown of an address: enough to know it again, too little to use it."""
    if not address:
        return ""
    if medium in (Medium.EMAIL, Medium.TELEGRAM):
        return address[:60]
    parts = urlsplit(address)
    host = parts.hostname if medium != Medium.OTHER else ""
    return f"{parts.scheme}://{host or ''}…{address[-LAST:]}"[:60]


@transaction.atomic
def new_link_code(channel: Channel, *, by: Any) -> str:
    """A one-time code that ties a Telegram chat to this channel; it lives for 15 minutes and replaces the one before."""
    code = secrets.token_hex(CODE_BYTES).upper()
    LinkCode.objects.update_or_create(channel=channel, defaults={"code_hash": _hash(code), "valid_until": machine_now() + LINK_LIFE})
    audit.record(actor=by, action="make link code", target=f"channel:{channel.pk}")
    return code


@transaction.atomic
def link(code: str, *, chat: str, person: str) -> Channel | None:
    """Tie the chat to the channel whose code this is, once; None for any other code. Only a person's own chat may be tied."""
    found = LinkCode.objects.select_for_update(of=("self",)).filter(code_hash=_hash(code.strip().upper())).select_related("channel").first()
    if found is None or found.valid_until < machine_now() or not found.channel.user.is_active:
        return None
    channel = found.channel
    found.delete()
    Channel.objects.filter(person=person).exclude(pk=channel.pk).update(person="")  # who links anew moves over
    channel.address, channel.person, channel.shown = chat, person, shown(channel.medium, chat)
    channel.save(update_fields=["address", "person", "shown"])
    delivery.look_after(channel)
    audit.record(actor=channel.user, action="link chat", target=f"channel:{channel.pk}", diff={"chat": ["", chat]})
    return channel


@transaction.atomic
def send_test(channel: Channel) -> Notification:
    """A test message, whatever the channel chose to hear; a channel out of order is tried again with it."""
    delivery.look_after(channel)
    recipient = Recipient.objects.filter(user_id=channel.user_id).first() or Recipient()
    with translation.override(recipient.language):
        facts = {
            "title": _("Test message of %(channel)s") % {"channel": channel.name},
            "text": _("If you can read this, notifications arrive here."),
        }
    return outbox.answer(channel=channel, facts=facts, kind=Kind.TEST)


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
