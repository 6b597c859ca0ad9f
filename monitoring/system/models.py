"""What the platform remembers of its own health."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class AlarmLevel(models.TextChoices):
    """warning: look at it today · error: something does not work · critical: money is at risk or everything stands still."""

    WARNING = "warning", _("warning")
    ERROR = "error", _("error")
    CRITICAL = "critical", _("critical")


class Alarm(models.Model):
    """One trouble from its beginning to its end. While it lasts there is one row, however often somebody looks."""

    key = models.CharField(_("about"), max_length=120, editable=False, help_text=_("What it is about, such as process:gateway@host."))
    level = models.CharField(_("level"), max_length=10, choices=AlarmLevel, editable=False)
    message = models.TextField(_("message"), editable=False)
    since = models.DateTimeField(_("since"), editable=False, help_text=_("Machine time at which it was seen first."))
    seen_at = models.DateTimeField(_("last seen at"), editable=False, help_text=_("Machine time."))
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False, help_text=_("Machine time; empty while it lasts."))

    class Meta:
        app_label = "monitoring"
        db_table = "alarms"
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(ended_at=None), name="alarm_once_at_a_time"),
            models.CheckConstraint(condition=Q(level__in=AlarmLevel.values), name="alarm_level_known"),
            models.CheckConstraint(condition=Q(ended_at=None) | Q(ended_at__gte=F("since")), name="alarm_ends_after_it_began"),
        ]
        indexes = [models.Index(fields=["-since"], name="alarm_newest")]

    def __str__(self) -> str:
        return self.key


class UptimeSpan(models.Model):
    """A stretch in which a process showed signs of life without a gap, written by a trigger on the heartbeats."""

    process = models.CharField(_("process"), max_length=20, editable=False)
    began_at = models.DateTimeField(_("from"), editable=False, help_text=_("Machine time."))
    until = models.DateTimeField(_("until"), editable=False, help_text=_("Machine time of the last sign of life."))

    class Meta:
        app_label = "monitoring"
        db_table = "uptime_spans"
        verbose_name = _("uptime")
        verbose_name_plural = _("uptimes")
        constraints = [models.CheckConstraint(condition=Q(until__gte=F("began_at")), name="uptime_span_runs_forward")]
        # Every heartbeat looks for the span it goes on with.
        indexes = [models.Index(fields=["process", "-until"], name="uptime_span_newest")]

    def __str__(self) -> str:
        return f"{self.process} {self.began_at:%Y-%m-%d %H:%M}"


class RequestMinute(models.Model):
    """Answers of the web server in one minute. Health checks, metrics and static files are not counted."""

    minute = models.DateTimeField(_("minute"), unique=True, editable=False, help_text=_("Machine time of its begin."))
    requests = models.PositiveIntegerField(_("answers"), default=0, editable=False)
    errors = models.PositiveIntegerField(_("errors"), default=0, editable=False, help_text=_("Answers 500 and above."))
    total_ms = models.PositiveBigIntegerField(_("took in all"), default=0, editable=False, help_text=_("Milliseconds."))
    slowest_ms = models.PositiveIntegerField(_("slowest"), default=0, editable=False, help_text=_("Milliseconds."))

    class Meta:
        app_label = "monitoring"
        db_table = "request_minutes"
        verbose_name = _("minute of answers")
        verbose_name_plural = _("minutes of answers")

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"
