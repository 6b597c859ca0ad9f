"""What the platform said about itself."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.utils.translation import gettext_lazy as _

# Django finds the models of an app here.
from monitoring.backups.models import Backup  # noqa: F401
from monitoring.exposition.models import MetricMark, MetricTotal  # noqa: F401
from monitoring.notifications.models import (  # noqa: F401
    Channel,
    ChatOffset,
    Delivery,
    LinkCode,
    Notification,
    PendingDeed,
    ReadMark,
    Recipient,
    ToldState,
)
from monitoring.system.models import Alarm, RequestMinute, UptimeSpan  # noqa: F401


class LogLevel(models.TextChoices):
    """info: runs and calls · warning: a limit is near · error: a call or an order failed · critical: the platform cannot work."""

    INFO = "info", _("info")
    WARNING = "warning", _("warning")
    ERROR = "error", _("error")
    CRITICAL = "critical", _("critical")


class SystemLog(models.Model):
    """One line of the log. The table is partitioned by month of `created_at`, so old months can be dropped at once."""

    level = models.CharField(_("level"), max_length=20, choices=LogLevel, editable=False)
    message = models.TextField(_("message"), editable=False)
    context = models.JSONField(_("context"), default=dict, editable=False)
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "system_logs"
        verbose_name = _("log line")
        verbose_name_plural = _("system log")
        indexes = [
            models.Index(fields=["level"], name="system_logs_level"),
            models.Index(fields=["created_at"], name="system_logs_created_at"),
            models.Index(fields=["level", "created_at"], name="system_logs_level_created_at"),
            # The search box reads messages by their words.
            GinIndex(SearchVector("message", config="simple"), name="system_logs_message_words"),
        ]

    def __str__(self) -> str:
        return self.message[:80]
