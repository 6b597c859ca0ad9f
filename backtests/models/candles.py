"""What the candle archive holds, one row per series, and the downloads into it; candles lie in files."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from backtests.candles.quality import QualityReport, Severity, report_from_json
from dgbot.base.fields import ClockTimestamp
from dgbot.core.interval import Interval

INTERVALS = [(interval.value, interval.value) for interval in Interval]
SEVERITIES = [
    (Severity.GOOD.value, _("good")),
    (Severity.NOTICE.value, _("usable")),
    (Severity.WARNING.value, _("doubtful")),
    (Severity.BAD.value, _("bad")),
]


class CandleSeries(models.Model):
    """One series of the archive as it was when its file was last written. The file is the truth, this row its label."""

    exchange = models.CharField(_("exchange"), max_length=32)
    symbol = models.CharField(_("symbol"), max_length=64, help_text=_("The exchange's own code, such as KRW-BTC."))
    interval = models.CharField(_("interval"), max_length=3, choices=INTERVALS)
    path = models.CharField(_("file"), max_length=300, help_text=_("Relative to the archive's folder."))
    rows = models.PositiveIntegerField(_("candles"))
    first_opened_at = models.DateTimeField(
        _("first candle opened at"), help_text=_("Market time. Signals start here unless a bot says otherwise.")
    )
    last_opened_at = models.DateTimeField(_("last candle opened at"), help_text=_("Market time."))
    gap_count = models.PositiveIntegerField(_("gaps"), help_text=_("Stretches without a candle between the first and the last."))
    missing_count = models.PositiveIntegerField(_("missing candles"), help_text=_("In all gaps together."))
    confirmed_count = models.PositiveIntegerField(
        _("confirmed as not traded"), default=0, help_text=_("Those missing candles of which the exchange itself says that there are none.")
    )
    content_sha256 = models.CharField(_("SHA-256"), max_length=64, help_text=_("Of the contents: equal candles, equal value."))
    source_name = models.CharField(_("last source"), max_length=300, help_text=_("Name of the file that was imported last."))
    imported_at = models.DateTimeField(_("imported at"), db_default=ClockTimestamp(), help_text=_("Machine time."))
    quality = models.CharField(
        _("quality"), max_length=10, choices=SEVERITIES, blank=True, help_text=_("The worst finding; empty: unknown.")
    )
    findings = models.JSONField(_("findings"), default=dict, blank=True, editable=False)
    checked_at = models.DateTimeField(_("checked at"), null=True, blank=True, help_text=_("Machine time of the last quality check."))

    class Meta:
        db_table = "candle_series"
        verbose_name = _("candle series")
        verbose_name_plural = _("candle series")
        ordering = ["exchange", "symbol", "interval"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "symbol", "interval"], name="candle_series_once"),
            models.CheckConstraint(condition=Q(rows__gt=0, last_opened_at__gte=F("first_opened_at")), name="candle_series_not_empty"),
            models.CheckConstraint(condition=Q(missing_count__gte=F("gap_count")), name="candle_series_gaps_miss_candles"),
            models.CheckConstraint(condition=Q(missing_count__gte=F("confirmed_count")), name="candle_series_confirmed_are_missing"),
            models.CheckConstraint(condition=Q(content_sha256__regex=r"^[0-9a-f]{64}$"), name="candle_series_sha256_is_hex"),
            models.CheckConstraint(
                condition=Q(quality="", checked_at__isnull=True) | (~Q(quality="") & Q(checked_at__isnull=False)),
                name="candle_series_quality_was_checked",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.interval}"

    @property
    def report(self) -> QualityReport | None:
        """What the last check found; None before the first."""
        return report_from_json(self.findings) if self.findings else None

    @property
    def unexplained_count(self) -> int:
        """Missing candles that nobody accounts for."""
        return self.missing_count - self.confirmed_count

    @property
    def completeness(self) -> float:
        """Candles that are there or confirmed as never traded, as a fraction of all between the first and the last."""
        return 1 - self.unexplained_count / (self.rows + self.missing_count)


class CandleCorrection(models.Model):
    """Stored candles that were overwritten on somebody's word. The values before and after lie in the file."""

    series = models.ForeignKey(CandleSeries, models.PROTECT, related_name="corrections", verbose_name=_("candle series"))
    path = models.CharField(_("file"), max_length=300, unique=True, help_text=_("Relative to the archive's folder."))
    count = models.PositiveIntegerField(_("candles"))
    source_name = models.CharField(_("source"), max_length=300)
    corrected_at = models.DateTimeField(_("corrected at"), db_default=ClockTimestamp(), help_text=_("Machine time."))

    class Meta:
        db_table = "candle_corrections"
        verbose_name = _("candle correction")
        verbose_name_plural = _("candle corrections")
        ordering = ["-corrected_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(count__gt=0), name="candle_corrections_correct_something")]

    def __str__(self) -> str:
        return f"{self.series}: {self.count}"


class SyncStatus(models.TextChoices):
    """Where a download stands."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class CandleSync(models.Model):
    """One download of one series, with its progress. Times are machine time unless they are said to be market time."""

    exchange = models.CharField(_("exchange"), max_length=32)
    symbol = models.CharField(_("symbol"), max_length=64)
    interval = models.CharField(_("interval"), max_length=3, choices=INTERVALS)
    since = models.DateTimeField(_("since"), null=True, blank=True, help_text=_("Market time; empty: from the series' end on."))
    until = models.DateTimeField(_("until"), help_text=_("Market time."))
    status = models.CharField(_("status"), max_length=10, choices=SyncStatus, default=SyncStatus.WAITING)
    windows_done = models.PositiveIntegerField(_("windows done"), default=0)
    windows_total = models.PositiveIntegerField(_("windows"), default=0, help_text=_("Questions to the exchange."))
    added = models.PositiveIntegerField(_("candles added"), default=0)
    differing = models.PositiveIntegerField(
        _("differing candles"), default=0, help_text=_("The exchange now tells other values; the stored ones were left as they are.")
    )
    reason = models.TextField(_("reason"), blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested at"), db_default=ClockTimestamp())
    alive_at = models.DateTimeField(_("last progress at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        db_table = "candle_syncs"
        verbose_name = _("candle download")
        verbose_name_plural = _("candle downloads")
        ordering = ["-requested_at", "-id"]
        constraints = [
            # A second request while one waits or runs joins it.
            models.UniqueConstraint(
                fields=["exchange", "symbol", "interval"], condition=Q(finished_at__isnull=True), name="candle_syncs_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True, status__in=["waiting", "running"])
                | Q(finished_at__isnull=False, status__in=["done", "failed"]),
                name="candle_syncs_end_when_finished",
            ),
            models.CheckConstraint(condition=~Q(status="failed") | ~Q(reason=""), name="candle_syncs_failure_has_reason"),
            models.CheckConstraint(condition=Q(windows_done__lte=F("windows_total")), name="candle_syncs_progress_within_total"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.interval}"

    @property
    def progress(self) -> float | None:
        """Fraction done; None while it is not known how much there is to do."""
        if self.status == SyncStatus.DONE:
            return 1.0
        return self.windows_done / self.windows_total if self.windows_total else None
