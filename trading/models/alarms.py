"""Markets whose price is not known: while the guardian says so, nothing is opened there."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class PriceAlarm(models.Model):
    """One market the guardian protects positions in and has no price of. Gone when it has one again."""

    exchange = models.CharField(_("exchange"), max_length=20, editable=False)
    symbol = models.CharField(_("symbol"), max_length=40, editable=False)
    message = models.TextField(_("message"), editable=False)
    since = models.DateTimeField(_("since"), editable=False, help_text=_("Machine time of the last known price."))
    told_at = models.DateTimeField(
        _("told at"), editable=False, help_text=_("Machine time; an alarm nobody repeats says nothing any more.")
    )

    class Meta:
        db_table = "price_alarms"
        verbose_name = _("price alarm")
        verbose_name_plural = _("price alarms")
        constraints = [models.UniqueConstraint(fields=["exchange", "symbol"], name="price_alarm_once_per_market")]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol}"
