"""Deliveries: claimed in one transaction, sent outside any, booked in another. Of each channel one at a time, oldest first.

    pending ─claim→ sending ─→ sent · refused (this message only) · expired
                       ├ no answer: pending again, the channel waits 1, 2, 4 … 60 s
                       ├ address gone: pending again, the channel is out of order until somebody looks after it
                       └ sender died: claimed anew by the next one and marked as a possible repeat

A claim names its attempt, so a sender that was asleep books nothing for a later one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import translation
from django.utils.translation import gettext_noop

from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import holder, is_dead, machine_now
from dgbot.base.secret_field import is_locked
from monitoring.logs import redact
from monitoring.notifications import outbox, wording
from monitoring.notifications.kinds import Kind, Level, State
from monitoring.notifications.message import Reader
from monitoring.notifications.models import Channel, Delivery, Recipient
from monitoring.notifications.senders import ChannelDead, MessageRefused, NotDelivered, To, Unreachable, sender_of

log = logging.getLogger(__name__)

CLAIM_S = 45  # longer than the time-outs of one attempt
BACKOFF_S = (1, 2, 4, 8, 15, 30, 60)
ERROR_CHARACTERS = 500
TOLD_AFTER = 5  # failures on end, then the user's other channels are told

# The oldest open delivery that may go now, of a channel that is in order, within its rate, with nothing on its way.
CLAIM = """
WITH channel AS (
    SELECT id, per_minute FROM notification_channels
    WHERE id = %(channel)s AND is_enabled AND broken_at IS NULL AND (retry_at IS NULL OR retry_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED
), head AS (
    SELECT d.id, d.state, d.sender FROM notification_deliveries d, channel
    WHERE d.channel_id = channel.id AND d.state IN ('pending', 'sending')
      AND (d.not_before IS NULL OR d.not_before <= clock_timestamp())
    ORDER BY d.id LIMIT 1
)
UPDATE notification_deliveries SET
    state = 'sending', attempts = attempts + 1, sender = %(sender)s, claimed_until = clock_timestamp() + %(seconds)s * interval '1 second'
FROM head, channel
WHERE notification_deliveries.id = head.id
  AND (head.state = 'pending' OR notification_deliveries.claimed_until < clock_timestamp())
  AND (SELECT count(*) FROM notification_deliveries s
       WHERE s.channel_id = channel.id AND s.state = 'sent' AND s.sent_at > clock_timestamp() - interval '1 minute') < channel.per_minute
RETURNING notification_deliveries.id, notification_deliveries.attempts, head.state = 'sending'
"""

# One statement, so that delivery and channel agree without a transaction around two.
SENT = """
WITH ours AS (
    UPDATE notification_deliveries SET state = 'sent', sent_at = clock_timestamp(), error = '', claimed_until = NULL
    WHERE id = %(delivery)s AND attempts = %(attempt)s AND state = 'sending' RETURNING id
)
UPDATE notification_channels SET last_sent_at = clock_timestamp(), failures = 0, failing_since = NULL, retry_at = NULL, last_error = ''
FROM ours WHERE notification_channels.id = %(channel)s
"""

# Channels that have something to send now; `claim` decides again under its lock.
DUE = """
SELECT DISTINCT c.id FROM notification_channels c JOIN notification_deliveries d ON d.channel_id = c.id
WHERE c.is_enabled AND c.broken_at IS NULL AND (c.retry_at IS NULL OR c.retry_at <= clock_timestamp())
  AND d.state IN ('pending', 'sending') AND (d.not_before IS NULL OR d.not_before <= clock_timestamp())
  AND (d.state = 'pending' OR d.claimed_until < clock_timestamp())
ORDER BY c.id
"""


@dataclass(frozen=True)
class Claim:
    """The right to send one delivery, for this attempt only. is_repeat: a sender died with it, perhaps after sending."""

    delivery: int
    attempt: int
    is_repeat: bool


def due_channels() -> list[int]:
    """Channels with something to send now."""
    with connection.cursor() as cursor:
        cursor.execute(DUE)
        return [pk for (pk,) in cursor.fetchall()]


def serve(channel_pk: int, *, is_ending: Callable[[], bool] = lambda: False) -> int:
    """Send what a channel has to send now, oldest first, until nothing is due, one fails or the process ends. Returns how many."""
    sent = 0
    while not is_ending() and (claim := _claim(channel_pk)) is not None:
        if not _send(claim):
            break
        sent += 1
    return sent


def free_the_dead() -> None:
    """Let go at once what a sender held that has certainly ended; others are waited for until their claim runs out."""
    for pk, sender in Delivery.objects.filter(state=State.SENDING).values_list("pk", "sender"):
        if is_dead(sender):
            held = Delivery.objects.filter(pk=pk, state=State.SENDING, sender=sender)
            held.update(claimed_until=ClockTimestamp() - timedelta(seconds=1))


def expire() -> int:
    """Close what is too old to help anybody. Returns how many."""
    late = Delivery.objects.filter(state=State.PENDING, expires_at__lt=ClockTimestamp())
    return late.update(state=State.EXPIRED, error="it was too old before it could be sent")


def look_after(channel: Channel) -> None:
    """Somebody has looked after the channel: what waits is tried again at once."""
    Channel.objects.filter(pk=channel.pk).update(failures=0, failing_since=None, retry_at=None, broken_at=None)


def _claim(channel_pk: int) -> Claim | None:
    with connection.cursor() as cursor:  # one statement, which commits by itself
        cursor.execute(CLAIM, {"channel": channel_pk, "sender": holder(), "seconds": CLAIM_S})
        row = cursor.fetchone()
    return None if row is None else Claim(*row)


def _send(claim: Claim) -> bool:
    """One attempt. Whether the next one may follow at once."""
    delivery = Delivery.objects.select_related("notification", "channel__user__recipient").get(pk=claim.delivery)
    channel = delivery.channel
    try:
        if not _may_still_be_told(delivery):
            _book(claim, state=State.REFUSED, error="the user may not see it any more")
            return True
        parts = _parts(delivery, claim)
        for number, part in enumerate(parts[delivery.parts_sent :], start=delivery.parts_sent + 1):
            sender_of(channel.medium).send(part, to=To(_address(channel), channel.secret, delivery.pk))
            if number < len(parts):
                Delivery.objects.filter(pk=delivery.pk, attempts=claim.attempt).update(parts_sent=number)
    except MessageRefused as error:
        log.warning("channel=%s delivery=%s was refused: %s", channel.pk, delivery.pk, error)
        _book(claim, state=State.REFUSED, error=str(error))
        return True
    except (Unreachable, ChannelDead) as error:
        _fail(claim, channel, error)
        return False
    except Exception as error:  # a message that cannot be made must not hold up those behind it
        log.exception("channel=%s delivery=%s cannot be sent", channel.pk, delivery.pk)
        _book(claim, state=State.REFUSED, error=f"{type(error).__name__}: {error}")
        return True
    return _succeed(claim, channel)


def _parts(delivery: Delivery, claim: Claim) -> list[Any]:
    """The whole message in the medium's shape and the reader's language."""
    recipient = getattr(delivery.channel.user, "recipient", None) or Recipient()
    reader = Reader(recipient.language, recipient.time_zone, tuple(delivery.channel.modes))
    with translation.override(reader.language):
        message = wording.message(delivery.notification, reader, is_repeat=claim.is_repeat)
        return sender_of(delivery.channel.medium).parts(message)


def _address(channel: Channel) -> str:
    if is_locked(channel.address) or is_locked(channel.secret):
        raise ChannelDead("its address cannot be read with the keys at hand: enter it anew, or give DGBOT_FIELD_KEYS the former key")
    return channel.address


def _may_still_be_told(delivery: Delivery) -> bool:
    """Rights may have been withdrawn since it was written."""
    told = delivery.notification
    is_public = bool(told.content.get("is_public"))
    return delivery.channel.user.is_active and outbox.may_see(delivery.channel, told.user_id, is_public=is_public)


def _succeed(claim: Claim, channel: Channel) -> bool:
    """Book it, and that the channel works; False when a later attempt has the delivery by now."""
    with connection.cursor() as cursor:
        cursor.execute(SENT, {"delivery": claim.delivery, "attempt": claim.attempt, "channel": channel.pk})
        return bool(cursor.rowcount)


def _fail(claim: Claim, channel: Channel, error: NotDelivered) -> None:
    """Give the delivery back and let the channel wait, or take it out of order."""
    now, is_dead_end = machine_now(), isinstance(error, ChannelDead)
    told = redact(str(error))[:ERROR_CHARACTERS]
    with transaction.atomic():
        back = Delivery.objects.filter(pk=claim.delivery, attempts=claim.attempt, state=State.SENDING)
        if not back.update(state=State.PENDING, claimed_until=None, error=told):
            return
        row = Channel.objects.select_for_update().get(pk=channel.pk)
        row.failures += 1
        row.failing_since = row.failing_since or now
        row.last_error = told
        wait_s = getattr(error, "retry_after_s", None) or BACKOFF_S[min(row.failures, len(BACKOFF_S)) - 1]
        row.retry_at = now + timedelta(seconds=wait_s)
        row.broken_at = now if is_dead_end else None
        row.save(update_fields=["failures", "failing_since", "last_error", "retry_at", "broken_at"])
        if is_dead_end or row.failures == TOLD_AFTER:
            _tell_elsewhere(row, told)
    log.warning("channel=%s failed %d times on end: %s", channel.pk, row.failures, told)


def _tell_elsewhere(channel: Channel, why: str) -> None:
    """A channel that cannot tell is told of by the user's others: an error must not stay unseen because its messenger is gone."""
    outbox.tell(
        kind=Kind.ERROR,
        level=Level.ERROR,
        title=gettext_noop("Notifications do not arrive by %(channel)s"),
        text=gettext_noop("%(why)s. What could not be sent is kept and sent later. See Notification channels in the admin."),
        params={"channel": channel.name, "why": why},
        user_id=channel.user_id,
        topic=f"channel:{channel.pk}",
        repeat_after=timedelta(hours=6),
    )


def _book(claim: Claim, *, state: State, error: str) -> bool:
    """Write that this attempt ended without success. False when a later one has the delivery by now."""
    row = Delivery.objects.filter(pk=claim.delivery, attempts=claim.attempt, state=State.SENDING)
    return bool(row.update(state=state, error=redact(error)[:ERROR_CHARACTERS], claimed_until=None))
