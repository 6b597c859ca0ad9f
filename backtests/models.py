"""What the candle archive holds, one row per series; the candles themselves lie in files."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp
from dgbot.core.interval import Interval


class CandleSeries(models.Model):
    """One series of the archive as it was when its file was last written. The file is the truth, this row its label."""

    exchange = models.CharField(_("exchange"), max_length=32)
    symbol = models.CharField(_("symbol"), max_length=64, help_text=_("The exchange's own code, such as KRW-BTC."))
    interval = models.CharField(_("interval"), max_length=3, choices=[(interval.value, interval.value) for interval in Interval])
    path = models.CharField(_("file"), max_length=300, help_text=_("Relative to the archive's folder."))
    rows = models.PositiveIntegerField(_("candles"))
    first_opened_at = models.DateTimeField(
        _("first candle opened at"), help_text=_("Market time. Signals start here unless a bot says otherwise.")
    )
    last_opened_at = models.DateTimeField(_("last candle opened at"), help_text=_("Market time."))
    gap_count = models.PositiveIntegerField(_("gaps"), help_text=_("Stretches without a candle between the first and the last."))
    missing_count = models.PositiveIntegerField(_("missing candles"), help_text=_("In all gaps together."))
    content_sha256 = models.CharField(_("SHA-256"), max_length=64, help_text=_("Of the contents: equal candles, equal value."))
    source_name = models.CharField(_("last source"), max_length=300, help_text=_("Name of the file that was imported last."))
    imported_at = models.DateTimeField(_("imported at"), db_default=ClockTimestamp(), help_text=_("Machine time."))

    class Meta:
        db_table = "candle_series"
        verbose_name = _("candle series")
        verbose_name_plural = _("candle series")
        ordering = ["exchange", "symbol", "interval"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "symbol", "interval"], name="candle_series_once"),
            models.CheckConstraint(condition=Q(rows__gt=0, last_opened_at__gte=F("first_opened_at")), name="candle_series_not_empty"),
            models.CheckConstraint(condition=Q(missing_count__gte=F("gap_count")), name="candle_series_gaps_miss_candles"),
            models.CheckConstraint(condition=Q(content_sha256__regex=r"^[0-9a-f]{64}$"), name="candle_series_sha256_is_hex"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.interval}"
