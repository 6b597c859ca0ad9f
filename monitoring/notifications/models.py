"""Who is told what and how: recipients, their channels, the outbox with its deliveries, and what has been read and said so far."""

from datetime import time
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet
from dgbot.base.secret_field import SecretField
from monitoring.notifications.kinds import CHOSEN, OPEN_STATES, Kind, Level, Medium, State

PER_MINUTE = 60
MOST_PER_MINUTE = 6000


def every_kind() -> list[str]:
    """What a new channel is told: everything."""
    return [kind for kind, _label in CHOSEN]


def money_modes() -> list[str]:
    """Bots of which modes a new channel hears: those that follow a real market."""
    return ["paper", "live"]


def _known_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("%(zone)s is no time zone; write one such as Asia/Seoul."), params={"zone": name})


class Recipient(models.Model):
    """How one user wants to be told, whatever the channel."""

    user = models.OneToOneField("accounts.User", models.CASCADE, related_name="recipient", verbose_name=_("user"))
    language = models.CharField(_("language"), max_length=5, choices=settings.LANGUAGES, default=settings.LANGUAGE_CODE)
    time_zone = models.CharField(_("time zone"), max_length=60, default="Asia/Seoul", validators=[_known_zone])
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True, help_text=_("In this time zone; critical messages pass."))
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    quiet_levels = models.CharField(
        _("kept back while quiet"),
        max_length=10,
        choices=[(level.value, level.label) for level in Level if level is not Level.CRITICAL],
        default=Level.WARNING,
        help_text=_("Up to this level; what is kept back arrives when the quiet hours end."),
    )
    wants_report = models.BooleanField(
        _("daily report"), default=True, help_text=_("At 09:00 in Seoul, on every channel that takes reports.")
    )

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "notification_recipients"
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None) | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="recipient_quiet_has_both_ends",
            ),
            models.CheckConstraint(condition=Q(language__in=[code for code, _name in settings.LANGUAGES]), name="recipient_language_known"),
            models.CheckConstraint(condition=Q(quiet_levels__in=["info", "warning", "error"]), name="recipient_quiet_level_known"),
        ]

    def __str__(self) -> str:
        return str(self.user)

    @property
    def quiet(self) -> tuple[time, time] | None:
        """From and until, or None when there are none."""
        return None if self.quiet_from is None or self.quiet_until is None else (self.quiet_from, self.quiet_until)


class Channel(models.Model):
    """One way to reach one user. Its address lies encrypted and is never shown again."""

    user = models.ForeignKey("accounts.User", models.CASCADE, related_name="channels", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=60)
    medium = models.CharField(_("by"), max_length=10, choices=Medium)
    address = SecretField(_("address"), blank=True, help_text=_("Chat, mail address, or secret address of the service; encrypted."))
    shown = models.CharField(_("address"), max_length=60, blank=True, editable=False, help_text=_("What may be shown of it."))
    secret = SecretField(_("signing secret"), blank=True, help_text=_("Signs what is sent to a webhook; encrypted."))
    person = models.CharField(
        _("Telegram user"), max_length=20, blank=True, editable=False, help_text=_("Who may give commands there; empty: nobody.")
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    kinds = models.JSONField(_("tells of"), default=every_kind, blank=True)
    least_level = models.CharField(_("from level"), max_length=10, choices=Level, default=Level.INFO)
    modes = models.JSONField(_("of bots in"), default=money_modes, blank=True, help_text=_("Modes whose bots are told of."))
    sees_everyone = models.BooleanField(
        _("bots of every user"), default=False, help_text=_("Only while the user may see the rows of every user.")
    )
    per_minute = models.PositiveIntegerField(
        _("most per minute"),
        default=PER_MINUTE,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_PER_MINUTE)],
        help_text=_("More wait; nothing is lost by it."),
    )
    failures = models.PositiveIntegerField(_("failures on end"), default=0, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False, help_text=_("Machine time."))
    retry_at = models.DateTimeField(_("tried again at"), null=True, editable=False, help_text=_("Machine time."))
    broken_at = models.DateTimeField(
        _("out of order since"), null=True, editable=False, help_text=_("Machine time; nothing is sent until it was looked after.")
    )
    last_error = models.TextField(_("last error"), blank=True, editable=False)
    last_sent_at = models.DateTimeField(_("last sent"), null=True, editable=False, help_text=_("Machine time."))
    created_at = models.DateTimeField(_("created at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "notification_channels"
        verbose_name = _("notification channel")
        verbose_name_plural = _("notification channels")
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="channel_name_once_per_user"),
            models.CheckConstraint(condition=Q(medium__in=Medium.values), name="channel_medium_known"),
            models.CheckConstraint(condition=Q(least_level__in=Level.values), name="channel_level_known"),
            models.CheckConstraint(condition=Q(per_minute__gte=1, per_minute__lte=MOST_PER_MINUTE), name="channel_per_minute_in_range"),
            # Two users must never be linked by one Telegram person: a command has one author.
            models.UniqueConstraint(fields=["person"], condition=~Q(person=""), name="channel_telegram_person_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_linked(self) -> bool:
        """Whether it knows where to send."""
        return bool(self.address)


class LinkCode(models.Model):
    """A one-time code that ties a Telegram chat to a channel: whoever sends it to our bot is the channel's user."""

    channel = models.OneToOneField(Channel, models.CASCADE, primary_key=True, editable=False, verbose_name=_("channel"))
    code_hash = models.CharField(_("hash of the code"), max_length=64, unique=True, editable=False)
    valid_until = models.DateTimeField(_("valid until"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "notification_link_codes"
        verbose_name = _("link code")
        verbose_name_plural = _("link codes")

    def __str__(self) -> str:
        return str(self.channel_id)


class Notification(models.Model):
    """One thing that happened, told once. What it says is kept as facts and worded for each reader when it is sent."""

    user = models.ForeignKey(
        "accounts.User",
        models.CASCADE,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("owner"),
        help_text=_("Whose matter it is; empty: the platform's."),
    )
    kind = models.CharField(_("what"), max_length=12, choices=Kind, editable=False)
    level = models.CharField(_("level"), max_length=10, choices=Level, editable=False)
    topic = models.CharField(_("topic"), max_length=120, blank=True, editable=False, help_text=_("Repeats of one topic are told once."))
    fact = models.CharField(  # noqa: DJ001 - unique where there is one
        _("fact"), max_length=80, null=True, unique=True, editable=False, help_text=_("The row it tells of, as type:id.")
    )
    bot = models.ForeignKey("trading.Bot", models.CASCADE, null=True, editable=False, related_name="+", verbose_name=_("bot"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, blank=True, editable=False)
    content = models.JSONField(_("content"), default=dict, editable=False)
    happened_at = models.DateTimeField(_("happened at"), editable=False, help_text=_("Market time where there is one, else machine time."))
    created_at = models.DateTimeField(_("noticed at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "notifications"
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="notification_kind_known"),
            models.CheckConstraint(condition=Q(level__in=Level.values), name="notification_level_known"),
        ]
        indexes = [
            models.Index(fields=["topic", "-id"], condition=~Q(topic=""), name="notifications_topic"),
            models.Index(fields=["created_at"], name="notifications_created_at"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.get_kind_display()}"


class Delivery(models.Model):
    """One notification on its way to one channel. Those of a channel are sent one after the other, in the order of their ids."""

    notification = models.ForeignKey(
        Notification, models.CASCADE, editable=False, related_name="deliveries", verbose_name=_("notification")
    )
    channel = models.ForeignKey(Channel, models.CASCADE, editable=False, related_name="deliveries", verbose_name=_("channel"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING, editable=False)
    not_before = models.DateTimeField(_("not before"), null=True, editable=False, help_text=_("Machine time; the end of quiet hours."))
    expires_at = models.DateTimeField(_("expires at"), editable=False, help_text=_("Machine time; later it helps nobody."))
    attempts = models.PositiveIntegerField(_("attempts"), default=0, editable=False)
    parts_sent = models.PositiveSmallIntegerField(_("parts sent"), default=0, editable=False, help_text=_("Of a text sent in several."))
    sender = models.CharField(_("sender"), max_length=120, blank=True, editable=False)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, editable=False, help_text=_("Machine time."))
    sent_at = models.DateTimeField(_("sent at"), null=True, editable=False, help_text=_("Machine time."))
    error = models.TextField(_("error"), blank=True, editable=False)

    class Meta:
        db_table = "notification_deliveries"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["notification", "channel"], name="delivery_once_per_channel"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="delivery_state_known"),
            models.CheckConstraint(condition=~Q(state="sent") | Q(sent_at__isnull=False), name="delivery_sent_has_its_time"),
            models.CheckConstraint(condition=~Q(state="sending") | Q(claimed_until__isnull=False), name="delivery_being_sent_is_claimed"),
        ]
        indexes = [
            # The notifier asks for the oldest open one of each channel all the time; sent ones are nearly all rows.
            models.Index(fields=["channel", "id"], condition=Q(state__in=OPEN_STATES), name="deliveries_open"),
            models.Index(fields=["channel", "sent_at"], condition=Q(state="sent"), name="deliveries_sent"),
        ]

    def __str__(self) -> str:
        return f"{self.notification_id} → {self.channel_id}: {self.get_state_display()}"


class ReadMark(models.Model):
    """How far the rows of one table have been read. It moves in the transaction that writes their notifications."""

    table = models.CharField(_("table"), max_length=40, primary_key=True, editable=False)
    read_id = models.BigIntegerField(_("read until"), editable=False, help_text=_("No row up to this id can appear any more."))
    seen_id = models.BigIntegerField(_("seen until"), editable=False)
    seen_before = models.BigIntegerField(
        _("seen before"), editable=False, help_text=_("Transaction id: when all older ones have ended, everything seen is final.")
    )
    seen_at = models.DateTimeField(_("seen at"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "notification_read_marks"
        verbose_name = _("read mark")
        verbose_name_plural = _("read marks")

    def __str__(self) -> str:
        return f"{self.table} {self.read_id}"


class ToldState(models.Model):
    """What was said last about something that has a state: a bot, a heartbeat, a key. Only a change is told."""

    name = models.CharField(_("name"), max_length=120, primary_key=True, editable=False, help_text=_("As type:id."))
    state = models.CharField(_("state"), max_length=60, editable=False)
    since = models.DateTimeField(_("since"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "notification_told_states"
        verbose_name = _("told state")
        verbose_name_plural = _("told states")

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class ChatOffset(models.Model):
    """The last message of our Telegram bot that has taken effect: it is committed with the effect, so none acts twice."""

    bot = models.CharField(_("bot"), max_length=40, primary_key=True, editable=False, help_text=_("Number of our Telegram bot."))
    update_id = models.BigIntegerField(_("last update"), editable=False)

    class Meta:
        db_table = "telegram_offsets"
        verbose_name = _("Telegram offset")
        verbose_name_plural = _("Telegram offsets")

    def __str__(self) -> str:
        return f"{self.bot}: {self.update_id}"


class PendingDeed(models.Model):
    """A command that waits for its confirmation. One per channel: another command takes its place; a confirmed one is deleted."""

    channel = models.OneToOneField(Channel, models.CASCADE, primary_key=True, editable=False, verbose_name=_("channel"))
    code = models.CharField(_("code"), max_length=8, editable=False)
    command = models.CharField(_("command"), max_length=20, editable=False)
    arguments: Any = models.JSONField(_("arguments"), default=list, editable=False)
    valid_until = models.DateTimeField(_("valid until"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "telegram_pending_deeds"
        verbose_name = _("command to be confirmed")
        verbose_name_plural = _("commands to be confirmed")

    def __str__(self) -> str:
        return f"{self.command} {self.channel_id}"
