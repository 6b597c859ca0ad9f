"""Users, what they prove themselves with, the audit log and the heartbeats of processes."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin

from dgbot.accounts.access import ApiLogin, KeptAnswer, PersonalToken, Scope
from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet, texts_of_keys
from dgbot.base.secret_field import SecretField

BOT = "bot"  # the process of a bot's own heartbeat

__all__ = ["ApiLogin", "AuditEntry", "Heartbeat", "JobRun", "KeptAnswer", "PersonalToken", "Scope", "User"]


class User(AbstractUser):
    """Who may see and steer bots. Ours from the first migration, so that it can grow."""

    class Meta(AbstractUser.Meta):
        db_table = "users"
        verbose_name = _("user")  # type: ignore[assignment]
        verbose_name_plural = _("users")  # type: ignore[assignment]
        permissions = [("see_all_owners", "Can see the rows of every user")]


class Authenticator(ThrottlingMixin, Device):
    """The authenticator app of a user: something that is owned, beside the password that is known. See `authenticators`."""

    user = models.ForeignKey("accounts.User", models.CASCADE, editable=False, related_name="+", verbose_name=_("user"))
    key = SecretField(_("key"), editable=False, help_text=_("Base32; encrypted in the database."))
    last_step = models.BigIntegerField(_("last step"), default=-1, editable=False, help_text=_("30 s each; older codes are refused."))
    made_at = models.DateTimeField(_("made at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "authenticators"
        verbose_name = _("authenticator")
        verbose_name_plural = _("authenticators")
        constraints = [
            models.UniqueConstraint(fields=["user", "confirmed"], name="authenticator_once_per_user"),  # and one being set up
        ]

    def get_throttle_factor(self) -> float:
        """Seconds after the first wrong code; twice as long after each further one."""
        return 1.0


class RecoveryCode(models.Model):
    """One way in for a user whose authenticator is lost, good for once."""

    user = models.ForeignKey("accounts.User", models.CASCADE, editable=False, related_name="+", verbose_name=_("user"))
    hash = models.CharField(_("hash"), max_length=64, unique=True, editable=False, help_text=_("SHA-256; the code itself is kept nowhere."))
    used_at = models.DateTimeField(_("used at"), null=True, editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "recovery_codes"
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")

    def __str__(self) -> str:
        return f"{self.user} {self.pk}"


class SignIn(models.Model):
    """One sign-in that may still be open: from where, and with what. Its session decides whether it is."""

    user = models.ForeignKey("accounts.User", models.CASCADE, editable=False, related_name="+", verbose_name=_("user"))
    session_key = models.CharField(_("session"), max_length=40, unique=True, editable=False)
    address = models.GenericIPAddressField(_("address"), null=True, editable=False)
    browser = models.CharField(_("browser"), max_length=200, blank=True, editable=False)
    at = models.DateTimeField(_("at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "sign_ins"
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")

    def __str__(self) -> str:
        return f"{self.user} {self.at:%Y-%m-%d %H:%M}"


class AuditEntry(models.Model):
    """One deed of a person or a process that changed what the platform does. Append-only, chained by hash."""

    at = models.DateTimeField(_("at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    actor = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, verbose_name=_("user"), related_name="+")
    actor_name = models.CharField(_("actor"), max_length=150, editable=False, help_text=_("Name of the user or process at that time."))
    action = models.CharField(_("action"), max_length=60, editable=False)
    target = models.CharField(_("target"), max_length=120, editable=False, help_text=_("What was changed, as type:id."))
    reason = models.TextField(_("reason"), blank=True, editable=False)
    diff = models.JSONField(_("changes"), default=dict, editable=False, help_text=_("Field: [before, after]."))
    previous_hash = models.CharField(_("previous hash"), max_length=64, editable=False)
    hash = models.CharField(_("hash"), max_length=64, unique=True, editable=False)

    class Meta:
        db_table = "audit_log"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        # "What happened to this bot?" is the question asked most.
        indexes = [models.Index(fields=["target", "at"], name="audit_target_at")]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.target}"


class HeartbeatQuerySet(OwnedQuerySet):
    """Signs of life: of the platform's processes, which everybody sees, and of bots."""

    def owned_by(self, user: Any) -> Q:
        """Those of processes, and of the bots of `user`."""
        return ~Q(process=BOT) | Q(name__in=texts_of_keys(user.bots, prefix=f"{BOT}:"))


class Heartbeat(models.Model):
    """The last sign of life of one process, or of one bot: its last finished cycle."""

    name = models.CharField(_("name"), max_length=120, unique=True, editable=False, help_text=_("process@host, or bot:number"))
    process = models.CharField(_("process"), max_length=20, editable=False)
    host = models.CharField(_("host"), max_length=80, editable=False)
    pid = models.IntegerField(_("process id"), editable=False)
    started_at = models.DateTimeField(_("started at"), editable=False, help_text=_("Machine time."))
    beat_at = models.DateTimeField(_("last beat at"), editable=False, help_text=_("Machine time."))
    detail = models.JSONField(_("detail"), default=dict, editable=False)
    late_after_s = models.PositiveIntegerField(_("late after"), default=60, editable=False, help_text=_("Seconds of silence."))
    alarmed_at = models.DateTimeField(
        _("alarmed at"), null=True, editable=False, help_text=_("Machine time; set once per silence, empty again after the next beat.")
    )

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        db_table = "heartbeats"
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """How the last run of one scheduled job ended. One row per schedule; the rows that jobs write are the history."""

    name = models.CharField(_("schedule"), max_length=200, unique=True, editable=False)
    task = models.CharField(_("task"), max_length=200, editable=False)
    started_at = models.DateTimeField(_("started at"), editable=False, help_text=_("Machine time."))
    duration_ms = models.PositiveIntegerField(_("duration"), editable=False, help_text=_("Milliseconds."))
    is_ok = models.BooleanField(_("succeeded"), editable=False)
    result = models.TextField(_("result"), blank=True, editable=False)
    runs = models.PositiveBigIntegerField(_("runs"), default=0, editable=False)
    failures = models.PositiveBigIntegerField(_("failures"), default=0, editable=False)
    total_ms = models.PositiveBigIntegerField(_("took in all"), default=0, editable=False, help_text=_("Milliseconds of all runs."))

    class Meta:
        db_table = "job_runs"
        verbose_name = _("last run of a job")
        verbose_name_plural = _("last runs of jobs")

    def __str__(self) -> str:
        return self.name
