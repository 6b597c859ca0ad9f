"""Users, the audit log and the heartbeats of processes."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp


class User(AbstractUser):
    """Who may see and steer bots. Ours from the first migration, so that it can grow."""

    class Meta(AbstractUser.Meta):
        db_table = "users"
        verbose_name = _("user")  # type: ignore[assignment]
        verbose_name_plural = _("users")  # type: ignore[assignment]
        permissions = [("see_all_owners", "Can see the rows of every user")]


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


class Heartbeat(models.Model):
    """The last sign of life of one process."""

    name = models.CharField(_("name"), max_length=120, unique=True, editable=False, help_text=_("process@host"))
    process = models.CharField(_("process"), max_length=20, editable=False)
    host = models.CharField(_("host"), max_length=80, editable=False)
    pid = models.IntegerField(_("process id"), editable=False)
    started_at = models.DateTimeField(_("started at"), editable=False, help_text=_("Machine time."))
    beat_at = models.DateTimeField(_("last beat at"), editable=False, help_text=_("Machine time."))
    detail = models.JSONField(_("detail"), default=dict, editable=False)

    class Meta:
        db_table = "heartbeats"
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name
