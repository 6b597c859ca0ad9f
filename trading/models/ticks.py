"""What the ticker did between candles, counted by the hour: looks leave no rows of their own."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TickCount(models.Model):
    """Looks of one bot in one hour of machine time. A look is late when it began over half a second after its instant."""

    bot = models.ForeignKey("trading.Bot", models.CASCADE, related_name="tick_counts", editable=False, verbose_name=_("bot"))
    hour = models.DateTimeField(_("hour"), editable=False, help_text=_("Machine time."))
    looks = models.PositiveIntegerField(_("looks"), default=0, editable=False)
    late = models.PositiveIntegerField(_("late looks"), default=0, editable=False)
    left_out = models.PositiveIntegerField(_("looks left out"), default=0, editable=False, help_text=_("The process was away or behind."))
    worst_lateness_ms = models.PositiveIntegerField(_("worst lateness"), default=0, editable=False, help_text=_("Milliseconds."))

    class Meta:
        db_table = "tick_counts"
        verbose_name = _("tick count")
        verbose_name_plural = _("tick counts")
        constraints = [models.UniqueConstraint(fields=["bot", "hour"], name="tick_count_once_per_hour")]

    def __str__(self) -> str:
        return f"{self.bot_id} {self.hour:%Y-%m-%d %H:00}"
