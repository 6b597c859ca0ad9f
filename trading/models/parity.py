"""Parity runs: how a bot's trades compared with the engine's, one row per comparison."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet


class ParityVerdict(models.TextChoices):
    """What came of a comparison."""

    EQUAL = "equal", _("equal")
    DIFFERS = "differs", _("differs")
    IMPOSSIBLE = "impossible", _("could not be compared")


class ParityRun(models.Model):
    """One comparison over bars opened in [start_at, end_at). Every difference stands in `differences`, with its kind and evidence."""

    bot = models.ForeignKey("trading.Bot", models.CASCADE, related_name="parity_runs", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.CASCADE, related_name="+", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    verdict = models.CharField(_("verdict"), max_length=12, choices=ParityVerdict, editable=False)
    reason = models.TextField(_("reason"), blank=True, editable=False, help_text=_("Why it could not be compared."))
    start_at = models.DateTimeField(_("from"), null=True, editable=False, help_text=_("Market time, open of the first bar."))
    end_at = models.DateTimeField(_("to"), null=True, editable=False, help_text=_("Market time, itself left out."))
    bars = models.PositiveIntegerField(_("candles"), default=0, editable=False)
    fills = models.PositiveIntegerField(_("fills"), default=0, editable=False, help_text=_("Of the bot, of the engine, or of both."))
    equal = models.PositiveIntegerField(_("equal"), default=0, editable=False, help_text=_("Same bar, same lots, money within tolerance."))
    kinds = models.JSONField(_("causes"), default=dict, editable=False, help_text=_("How many differences of each kind."))
    differences = models.JSONField(_("differences"), default=list, editable=False)
    notes = models.JSONField(_("notes"), default=list, editable=False, help_text=_("What the engine was told, or cannot do."))
    candles_hash = models.CharField(_("hash of the candles"), max_length=64, blank=True, editable=False)
    duration_ms = models.PositiveIntegerField(_("took"), editable=False, help_text=_("Milliseconds."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "parity_runs"
        verbose_name = _("parity run")
        verbose_name_plural = _("parity runs")
        constraints = [
            models.CheckConstraint(condition=Q(verdict__in=ParityVerdict.values), name="parity_run_verdict_known"),
            models.CheckConstraint(condition=~Q(verdict="impossible") | ~Q(reason=""), name="parity_run_impossible_has_reason"),
            models.CheckConstraint(
                condition=Q(verdict="impossible") | Q(start_at__isnull=False, end_at__isnull=False, end_at__gt=F("start_at")),
                name="parity_run_has_a_span",
            ),
            models.CheckConstraint(
                condition=Q(verdict="equal", equal=F("fills")) | ~Q(verdict="equal") & Q(equal__lte=F("fills")),
                name="parity_run_equal_within_fills",
            ),
        ]
        # The newest run of a bot is what its page shows; old ones are looked for to be thinned out.
        indexes = [models.Index(fields=["bot", "-id"], name="parity_runs_bot_newest")]

    def __str__(self) -> str:
        return f"{self.bot_id} {self.recorded_at:%Y-%m-%d %H:%M}"
