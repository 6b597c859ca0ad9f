"""The outbox: what happened is written here in the transaction in which it happened, with a delivery for each channel that wants it.

`tell` is the door for everything at this level: backups, health, performance. What trading and risk record is read from their own
rows by `reader` and `watcher`, so that a notification costs the order path nothing and can never fail it (docs/decisions/0050).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from dgbot.base.machine import machine_now
from monitoring.notifications import bell, quiet
from monitoring.notifications.kinds import ANSWERS, Kind, Level
from monitoring.notifications.models import Channel, Delivery, Notification, Recipient

SEES_ALL = "accounts.see_all_owners"
TOPIC_LOCK = 0x6467_6E74  # any constant: two who tell of one topic at once queue up behind it


@dataclass(frozen=True)
class Draft:
    """A notification before it is known who wants it. form: which wording; facts: what it is filled with, JSON values.

    user_id: whose matter it is, None the platform's. fact: the row it tells of, told once for ever.
    """

    kind: Kind
    level: Level
    form: str
    facts: Mapping[str, Any]
    user_id: int | None
    happened_at: datetime
    bot_id: int | None = None
    mode: str = ""
    topic: str = ""
    fact: str | None = None


@dataclass
class Audience:
    """Every channel that may be told, read once for many drafts."""

    channels: list[Channel] = field(default_factory=list)
    recipients: dict[int, Recipient] = field(default_factory=dict)

    @classmethod
    def now(cls) -> "Audience":
        """As it stands."""
        channels = list(Channel.objects.filter(is_enabled=True, user__is_active=True).select_related("user").order_by("pk"))
        linked = [channel for channel in channels if channel.is_linked]
        recipients = {row.user_id: row for row in Recipient.objects.filter(user__in={channel.user_id for channel in linked})}
        return cls(linked, recipients)

    def of(self, draft: Draft) -> list[Channel]:
        """Who is told of it."""
        return [
            channel
            for channel in self.channels
            if wants(channel, draft) and may_see(channel, draft.user_id, is_public=_is_public(draft.facts))
        ]

    def recipient(self, channel: Channel) -> Recipient:
        """How the channel's user wants to be told."""
        return self.recipients.get(channel.user_id) or Recipient(user=channel.user)


def wants(channel: Channel, draft: Draft) -> bool:
    """Whether the channel asked for this kind, from this level on, of bots in this mode."""
    if draft.kind in ANSWERS:
        return False  # those are addressed, see `answer`
    return draft.kind in channel.kinds and draft.level.rank >= Level(channel.least_level).rank and draft.mode in ("", *channel.modes)


def may_see(channel: Channel, owner_id: int | None, *, is_public: bool = False) -> bool:
    """Whether the channel's user may know: the own matters, what concerns everybody, and with the right to see all also those of
    others and the platform's."""
    if owner_id == channel.user_id or is_public:
        return True
    return (owner_id is None or channel.sees_everyone) and bool(channel.user.has_perm(SEES_ALL))


def tell(
    *,
    kind: Kind,
    level: Level,
    title: str,
    text: str = "",
    params: Mapping[str, Any] | None = None,
    fields: Sequence[tuple[str, Any]] = (),
    user_id: int | None = None,
    topic: str = "",
    repeat_after: timedelta | None = None,
    happened_at: datetime | None = None,
) -> Notification | None:
    """Tell of something, in the caller's transaction: it is told if and only if that commits. Returns None for a repeat.

    title, text, and the labels in fields: English, marked with gettext_noop, translated for each reader; `params` fills both.
    user_id: whose matter it is; None the platform's, told to those who may see all owners.
    topic: what it is about, such as `disk`. A change of its level is always told; the same level again only after `repeat_after`,
    None: not at all.
    """
    now = machine_now()
    if topic and _is_repeat(topic, level=level, repeat_after=repeat_after, now=now):
        return None
    facts = {"title": title, "text": text, "params": dict(params or {}), "fields": [[label, str(value)] for label, value in fields]}
    draft = Draft(kind, level, "plain", facts, user_id, happened_at or now, topic=topic)
    return write([draft], keep=True)[0]


def answer(*, channel: Channel, facts: Mapping[str, Any], kind: Kind = Kind.REPLY, level: Level = Level.INFO) -> Notification:
    """Tell one channel alone, whatever it chose to hear: the answer to a command, or a test. facts: already in its language."""
    now = machine_now()
    row = Notification.objects.create(
        user_id=channel.user_id, kind=kind, level=level, content={"form": "literal", **facts}, happened_at=now
    )
    Delivery.objects.create(notification=row, channel=channel, expires_at=quiet.expires_at(now, level=level, not_before=None))
    bell.ring_on_commit()
    return row


@transaction.atomic
def write(drafts: Iterable[Draft], *, keep: bool = False, audience: Audience | None = None) -> list[Notification]:
    """Write drafts and their deliveries. keep: also what nobody wants, for the list in the admin. A fact told before is left out."""
    audience = audience or Audience.now()
    wanted = [(draft, channels) for draft in _unknown(list(drafts)) if (channels := audience.of(draft)) or keep]
    rows = Notification.objects.bulk_create(_row(draft) for draft, _channels in wanted)
    now = machine_now()
    deliveries = [
        _delivery(row, channel, recipient=audience.recipient(channel), now=now)
        for row, (_draft, channels) in zip(rows, wanted, strict=True)
        for channel in channels
    ]
    Delivery.objects.bulk_create(deliveries)
    if deliveries:
        bell.ring_on_commit()
    return rows


def _is_public(facts: Mapping[str, Any]) -> bool:
    """Whether everybody may know, as of a kill switch that stops the platform."""
    return bool(facts.get("is_public"))


def _unknown(drafts: list[Draft]) -> list[Draft]:
    facts = [draft.fact for draft in drafts if draft.fact is not None]
    known = set(Notification.objects.filter(fact__in=facts).values_list("fact", flat=True)) if facts else set()
    return [draft for draft in drafts if draft.fact is None or draft.fact not in known]


def _row(draft: Draft) -> Notification:
    return Notification(
        user_id=draft.user_id,
        kind=draft.kind,
        level=draft.level,
        topic=draft.topic,
        fact=draft.fact,
        bot_id=draft.bot_id,
        mode=draft.mode,
        content={"form": draft.form, **draft.facts},
        happened_at=draft.happened_at,
    )


def _delivery(row: Notification, channel: Channel, *, recipient: Recipient, now: datetime) -> Delivery:
    level = Level(row.level)
    held = quiet.held_until(now, level=level, up_to=Level(recipient.quiet_levels), hours=recipient.quiet, zone=recipient.time_zone)
    expires_at = quiet.expires_at(now, level=level, not_before=held)
    return Delivery(notification=row, channel=channel, not_before=held, expires_at=expires_at)


def _is_repeat(topic: str, *, level: Level, repeat_after: timedelta | None, now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [TOPIC_LOCK, topic])
    last = Notification.objects.filter(topic=topic).order_by("-pk").first()
    if last is None or last.level != level:
        return False
    return repeat_after is None or last.created_at + repeat_after > now
