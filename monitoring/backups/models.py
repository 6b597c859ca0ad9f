"""What has been backed up, and whether it is known to be good."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp


class BackupKind(models.TextChoices):
    """What a backup holds."""

    POSTGRES = "postgres", _("database")
    REDIS = "redis", _("queues and cache")
    RESULTS = "results", _("candles and results")


class BackupState(models.TextChoices):
    """running → done or failed. One that stays running died with its process; the next backup says so."""

    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class BackupReason(models.TextChoices):
    """Why it was made."""

    SCHEDULE = "schedule", _("schedule")
    OPERATOR = "operator", _("operator")
    UPGRADE = "upgrade", _("before an upgrade")


class Backup(models.Model):
    """One attempt to back something up."""

    kind = models.CharField(_("what"), max_length=10, choices=BackupKind, editable=False)
    reason = models.CharField(_("why"), max_length=10, choices=BackupReason, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=BackupState, default=BackupState.RUNNING, editable=False)
    file = models.CharField(_("file"), max_length=200, blank=True, editable=False, help_text=_("In the backup folder."))
    bytes = models.PositiveBigIntegerField(_("size"), null=True, editable=False, help_text=_("Bytes."))
    sha256 = models.CharField(_("checksum"), max_length=64, blank=True, editable=False, help_text=_("SHA-256 of the file."))
    contents = models.JSONField(_("contents"), default=dict, editable=False, help_text=_("What is in it, as the file beside it says."))
    duration_ms = models.PositiveBigIntegerField(_("took"), null=True, editable=False, help_text=_("Milliseconds."))
    error = models.TextField(_("error"), blank=True, editable=False)
    started_at = models.DateTimeField(_("started at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    proven_at = models.DateTimeField(
        _("proven at"), null=True, editable=False, help_text=_("Machine time of the last drill that restored it and found it equal.")
    )
    uploaded_at = models.DateTimeField(_("uploaded at"), null=True, editable=False, help_text=_("Machine time of its copy in the bucket."))
    removed_at = models.DateTimeField(_("removed at"), null=True, editable=False, help_text=_("Machine time; its file is gone since."))

    class Meta:
        app_label = "monitoring"
        db_table = "backups"
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=BackupKind.values), name="backup_kind_known"),
            models.CheckConstraint(condition=Q(reason__in=BackupReason.values), name="backup_reason_known"),
            models.CheckConstraint(condition=Q(state__in=BackupState.values), name="backup_state_known"),
            models.CheckConstraint(
                condition=~Q(state="done") | (Q(bytes__isnull=False, sha256__regex="^[0-9a-f]{64}$") & ~Q(file="")),
                name="backup_done_has_its_checksum",
            ),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(error=""), name="backup_failed_says_why"),
        ]
        # "How old is the newest good one?" is asked every few seconds.
        indexes = [models.Index(fields=["kind", "-started_at"], condition=Q(state="done"), name="backup_newest")]

    def __str__(self) -> str:
        return self.file or f"{self.kind} {self.state}"
