"""What was tried on which candles, and the searches that go on after a crash."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from backtests.models.candles import INTERVALS
from dgbot.base.fields import ClockTimestamp


class DataSet(models.Model):
    """Candles something was tried on, named by their contents. A longer series that begins with them is another data set."""

    content_sha256 = models.CharField(_("SHA-256"), max_length=64, unique=True, help_text=_("Of the contents: equal candles, equal value."))
    exchange = models.CharField(_("exchange"), max_length=32)
    symbol = models.CharField(_("symbol"), max_length=64)
    interval = models.CharField(_("interval"), max_length=3, choices=INTERVALS)
    rows = models.PositiveIntegerField(_("candles"))
    first_opened_at = models.DateTimeField(_("first candle opened at"), help_text=_("Market time."))

    class Meta:
        db_table = "data_sets"
        verbose_name = _("data set")
        verbose_name_plural = _("data sets")
        constraints = [
            models.CheckConstraint(condition=Q(content_sha256__regex=r"^[0-9a-f]{64}$"), name="data_sets_sha256_is_hex"),
            models.CheckConstraint(condition=Q(rows__gt=0), name="data_sets_not_empty"),
        ]
        # Who asks for the trials on a grown series looks for the shorter ones it began as.
        indexes = [models.Index(fields=["first_opened_at", "interval"], name="data_sets_by_beginning")]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.interval} ({self.rows:,})"


class Trial(models.Model):
    """One parameter set of one strategy under one setup on one data set: a question that was asked. Asking again adds no row."""

    data_set = models.ForeignKey(DataSet, models.PROTECT, related_name="trials", verbose_name=_("data set"))
    strategy = models.CharField(_("strategy"), max_length=64)
    key = models.CharField(_("key"), max_length=64, help_text=_("SHA-256 of parameters and setup."))
    sharpe = models.FloatField(_("Sharpe ratio"), null=True, blank=True, help_text=_("Per bar, not annualised; empty: unknown."))
    seen_to = models.PositiveIntegerField(
        _("seen to"), help_text=_("How many of the candles, oldest first, it has seen: what lies beyond can still judge.")
    )
    counted_at = models.DateTimeField(_("counted at"), db_default=ClockTimestamp(), help_text=_("Machine time."))

    class Meta:
        db_table = "research_trials"
        verbose_name = _("trial")
        verbose_name_plural = _("trials")
        constraints = [
            # Also the way to all trials of a strategy on a data set, which is what is counted.
            models.UniqueConstraint(fields=["data_set", "strategy", "key"], name="research_trials_count_once"),
            models.CheckConstraint(condition=Q(key__regex=r"^[0-9a-f]{64}$"), name="research_trials_key_is_hex"),
            models.CheckConstraint(condition=Q(seen_to__gt=0), name="research_trials_see_something"),
            # PostgreSQL sorts NaN above every number, so the upper bound refuses it.
            models.CheckConstraint(
                condition=Q(sharpe__isnull=True) | Q(sharpe__gt=-1e9, sharpe__lt=1e9), name="research_trials_sharpe_is_finite"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} {self.key[:12]}"


class SearchStatus(models.TextChoices):
    """Where a search stands."""

    RUNNING = "running", _("running")
    DONE = "done", _("done")


class Search(models.Model):
    """One search for parameters. Everything that decides its outcome stands in `spec`, so that it can go on after a crash."""

    data_set = models.ForeignKey(DataSet, models.PROTECT, related_name="searches", verbose_name=_("data set"))
    strategy = models.CharField(_("strategy"), max_length=64)
    spec = models.JSONField(_("specification"), help_text=_("Ranges, setup, seed, hold-out and folds, as they were asked for."))
    sets = models.PositiveIntegerField(_("parameter sets"))
    status = models.CharField(_("status"), max_length=10, choices=SearchStatus, default=SearchStatus.RUNNING)
    result = models.JSONField(_("result"), default=dict, blank=True)
    started_at = models.DateTimeField(_("started at"), db_default=ClockTimestamp(), help_text=_("Machine time."))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True, help_text=_("Machine time."))

    class Meta:
        db_table = "research_searches"
        verbose_name = _("parameter search")
        verbose_name_plural = _("parameter searches")
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="running", finished_at__isnull=True) | Q(status="done", finished_at__isnull=False),
                name="research_searches_end_when_finished",
            ),
            models.CheckConstraint(condition=Q(sets__gt=0), name="research_searches_try_something"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} · {self.data_set}"


class SearchBatch(models.Model):
    """A batch of a search that has been evaluated and counted; written in one transaction with its trials."""

    search = models.ForeignKey(Search, models.CASCADE, related_name="batches", verbose_name=_("parameter search"))
    first_set = models.PositiveIntegerField(_("first set"))
    sets = models.PositiveIntegerField(_("parameter sets"))
    best = models.JSONField(_("best sets"), default=list, blank=True, help_text=_("Parameters and score of the best, best first."))

    class Meta:
        db_table = "research_search_batches"
        verbose_name = _("batch of a search")
        verbose_name_plural = _("batches of searches")
        ordering = ["search", "first_set"]
        constraints = [
            models.UniqueConstraint(fields=["search", "first_set"], name="research_search_batches_once"),
            models.CheckConstraint(condition=Q(sets__gt=0), name="research_search_batches_hold_something"),
        ]

    def __str__(self) -> str:
        return f"{self.search_id}: {self.first_set}–{self.first_set + self.sets - 1}"
