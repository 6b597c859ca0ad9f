"""Backtests that were asked for, the parameter sweeps among them, and the files their results lie in."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from backtests.models.candles import INTERVALS
from backtests.models.jobs import Job
from backtests.models.research import Search
from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet


class Sweep(Job):
    """A search for parameters by as many workers as there are. Its search holds what was found and how it was judged."""

    strategy = models.CharField(_("strategy"), max_length=64)
    exchange = models.CharField(_("exchange"), max_length=32)
    symbol = models.CharField(_("symbol"), max_length=64)
    interval = models.CharField(_("interval"), max_length=3, choices=INTERVALS)
    sampler = models.CharField(_("sampler"), max_length=10, help_text=_("grid, sobol or optuna."))
    sets = models.PositiveIntegerField(_("parameter sets"))
    search = models.OneToOneField(
        Search,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sweep",
        verbose_name=_("parameter search"),
        help_text=_("Made when it begins."),
    )
    importance = models.JSONField(
        _("importance"), default=dict, blank=True, help_text=_("Share of the score's variance that each parameter explains alone.")
    )

    class Meta(Job.Meta):
        db_table = "sweeps"
        verbose_name = _("sweep")
        verbose_name_plural = _("sweeps")
        ordering = ["-requested_at", "-id"]
        constraints = [*Job.Meta.constraints, models.CheckConstraint(condition=Q(sets__gt=0), name="sweeps_try_something")]

    def __str__(self) -> str:
        return f"{self.strategy} · {self.symbol} {self.interval} · {self.sets:,}"


class SweepPiece(models.Model):
    """Sets of a sweep that one worker evaluates in one go: 50 to 200 ms of kernel time."""

    sweep = models.ForeignKey(Sweep, models.CASCADE, related_name="pieces", verbose_name=_("sweep"))
    first_set = models.PositiveIntegerField(_("first set"))
    sets = models.PositiveIntegerField(_("parameter sets"))
    holder = models.CharField(_("held by"), max_length=200, blank=True)
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    kernel_ms = models.PositiveIntegerField(_("computed for"), null=True, blank=True, help_text=_("Milliseconds; empty: not done yet."))
    table = models.BinaryField(_("table"), null=True, blank=True, help_text=_("Every set with its score, until the end."))

    class Meta:
        db_table = "sweep_pieces"
        verbose_name = _("piece of a sweep")
        verbose_name_plural = _("pieces of sweeps")
        ordering = ["sweep", "first_set"]
        constraints = [
            models.UniqueConstraint(fields=["sweep", "first_set"], name="sweep_pieces_once"),
            models.CheckConstraint(condition=Q(sets__gt=0), name="sweep_pieces_hold_something"),
        ]
        # A worker takes the next piece that nobody has done.
        indexes = [models.Index(fields=["sweep", "first_set"], condition=Q(kernel_ms__isnull=True), name="sweep_pieces_open")]

    def __str__(self) -> str:
        return f"{self.sweep_id}: {self.first_set}–{self.first_set + self.sets - 1}"


class BacktestRun(Job):
    """One backtest of one strategy on one market, or on several that share their cash."""

    strategy = models.CharField(_("strategy"), max_length=64)
    exchange = models.CharField(_("exchange"), max_length=32)
    symbols = models.JSONField(_("symbols"), help_text=_("The exchange's own codes, in the order of their claims on the cash."))
    interval = models.CharField(_("interval"), max_length=3, choices=INTERVALS)
    sweep = models.ForeignKey(
        Sweep, models.SET_NULL, null=True, blank=True, related_name="runs", verbose_name=_("sweep"), help_text=_("Whose set it shows.")
    )
    checkpoint = models.JSONField(_("checkpoint"), default=dict, blank=True, editable=False, help_text=_("What is computed already."))
    metrics = models.JSONField(_("metrics"), default=dict, blank=True, help_text=_("By name; null is unknown. Fractions: 0.01 is 1 %."))
    summary = models.JSONField(
        _("summary"), default=dict, blank=True, help_text=_("Candles and their hashes, markets, gates, trials, Monte Carlo, promotion.")
    )

    class Meta(Job.Meta):
        db_table = "backtest_runs"
        verbose_name = _("backtest")
        verbose_name_plural = _("backtests")
        ordering = ["-requested_at", "-id"]
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(condition=~Q(status="finished") | ~Q(metrics={}), name="backtest_runs_finished_has_metrics"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} · {', '.join(self.symbols)} {self.interval}"

    def metric(self, name: str) -> Any:
        """One metric by its name; None: unknown, or not finished."""
        return self.metrics.get(name)


class ResultKind(models.TextChoices):
    """What a result file holds."""

    EQUITY = "equity", _("equity")
    TRADES = "trades", _("trades")
    FILLS = "fills", _("fills")
    SETS = "sets", _("parameter sets")


class ResultPlace(models.TextChoices):
    """Where a result file lies."""

    LOCAL = "local", _("this installation's folder")
    BUCKET = "bucket", _("bucket")


class ResultFileQuerySet(OwnedQuerySet):
    """Files of runs and of sweeps."""

    def owned_by(self, user: Any) -> Q:
        """Those of own runs and own sweeps."""
        return Q(run__user=user) | Q(sweep__user=user)


class ResultFile(models.Model):
    """A Parquet file of a run or a sweep. Its SHA-256 is ours and is compared at every reading."""

    run = models.ForeignKey(BacktestRun, models.CASCADE, null=True, blank=True, related_name="files", verbose_name=_("backtest"))
    sweep = models.ForeignKey(Sweep, models.CASCADE, null=True, blank=True, related_name="files", verbose_name=_("sweep"))
    kind = models.CharField(_("kind"), max_length=10, choices=ResultKind)
    name = models.CharField(_("name"), max_length=300, unique=True, help_text=_("backtests/DATE/…, as the storage calls it."))
    place = models.CharField(_("place"), max_length=10, choices=ResultPlace)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.PositiveIntegerField(_("size"), help_text=_("Bytes."))
    rows = models.PositiveIntegerField(_("rows"))
    uploads_failed = models.PositiveIntegerField(_("failed uploads"), default=0, help_text=_("Since the bucket last took something."))
    trouble = models.TextField(_("trouble"), blank=True, help_text=_("Why it cannot be read, or not be uploaded yet."))
    is_damaged = models.BooleanField(_("damaged"), default=False, help_text=_("Not what was stored; never shown."))
    stored_at = models.DateTimeField(_("stored at"), db_default=ClockTimestamp())

    objects = ResultFileQuerySet.as_manager()

    class Meta:
        db_table = "result_files"
        verbose_name = _("result file")
        verbose_name_plural = _("result files")
        ordering = ["-stored_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(run__isnull=False, sweep__isnull=True) | Q(run__isnull=True, sweep__isnull=False),
                name="result_files_belong_to_one",
            ),
            models.UniqueConstraint(fields=["run", "kind"], condition=Q(run__isnull=False), name="result_files_one_of_a_kind"),
            models.UniqueConstraint(fields=["sweep", "kind"], condition=Q(sweep__isnull=False), name="result_files_one_of_a_kind_of_sweep"),
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="result_files_sha256_is_hex"),
            models.CheckConstraint(condition=~Q(is_damaged=True) | ~Q(trouble=""), name="result_files_damage_is_explained"),
        ]

    def __str__(self) -> str:
        return self.name
