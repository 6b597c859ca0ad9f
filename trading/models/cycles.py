"""Cycles: one run of the pipeline for (bot, slot), and what each stage said."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OfCycleQuerySet, OwnedQuerySet
from trading.domain.stages import Action, StageName


class CycleStatus(models.TextChoices):
    """running → done or failed; missed is written at once and stays."""

    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    MISSED = "missed", _("missed")


class CycleTrigger(models.TextChoices):
    """Why a cycle exists."""

    SCHEDULE = "schedule", _("schedule")
    OPERATOR = "operator", _("operator")


class Cycle(models.Model):
    """The insert of (bot, slot) decides which of two runners works; the lease tells when a dead one may be followed."""

    bot = models.ForeignKey("trading.Bot", models.PROTECT, related_name="cycles", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="+", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    slot = models.DateTimeField(_("slot"), editable=False, help_text=_("The planned instant, market time."))
    trigger = models.CharField(_("trigger"), max_length=10, choices=CycleTrigger, default=CycleTrigger.SCHEDULE, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=CycleStatus, default=CycleStatus.RUNNING, editable=False)
    outcome = models.TextField(_("outcome"), blank=True, editable=False, help_text=_("The cycle in one sentence."))
    config_version = models.ForeignKey(
        "trading.ConfigVersion", models.PROTECT, null=True, editable=False, verbose_name=_("settings version")
    )
    runner = models.CharField(_("runner"), max_length=120, editable=False)
    runner_epoch = models.PositiveBigIntegerField(_("runner epoch"), default=1, editable=False)
    lease_expires_at = models.DateTimeField(_("lease expires at"), null=True, editable=False, help_text=_("Machine time."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    finished_at = models.DateTimeField(_("finished at"), null=True, editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "cycles"
        verbose_name = _("cycle")
        verbose_name_plural = _("cycles")
        constraints = [
            models.UniqueConstraint(fields=["bot", "slot"], name="cycle_once_per_slot"),
            models.CheckConstraint(condition=Q(status__in=CycleStatus.values), name="cycle_status_known"),
        ]
        # The sweep looks for cycles whose runner died; finished ones are nearly all rows.
        indexes = [models.Index(fields=["lease_expires_at"], condition=Q(status="running"), name="cycle_unfinished")]

    def __str__(self) -> str:
        return f"{self.bot_id} {self.slot:%Y-%m-%d %H:%M}"


STAGE_NAMES = [
    (StageName.RISK_CHECK.value, _("Risk check")),
    (StageName.DATA_COLLECTION.value, _("Data collection")),
    (StageName.ANALYSIS.value, _("Analysis")),
    (StageName.EXECUTION.value, _("Execution")),
]
ACTIONS = [
    (Action.CONTINUE.value, _("continue")),
    (Action.SKIP.value, _("skip")),
    (Action.EXIT.value, _("exit now")),
    (Action.STOP.value, _("stop")),
]


class StageResult(models.Model):
    """What one stage of one cycle found, with every reason."""

    cycle = models.ForeignKey(Cycle, models.CASCADE, related_name="stages", editable=False, verbose_name=_("cycle"))
    stage = models.CharField(_("stage"), max_length=20, choices=STAGE_NAMES, editable=False)
    action = models.CharField(_("action"), max_length=10, choices=ACTIONS, editable=False)
    reasons = models.JSONField(_("reasons"), default=list, editable=False, help_text=_("Code, message, value, limit and remedy of each."))
    data = models.JSONField(_("data"), default=dict, editable=False, help_text=_("What the stage saw, with the time each input was known."))
    duration_ms = models.PositiveIntegerField(_("duration"), editable=False, help_text=_("Milliseconds, machine time."))
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OfCycleQuerySet.as_manager()

    class Meta:
        db_table = "stage_results"
        verbose_name = _("stage result")
        verbose_name_plural = _("stage results")
        constraints = [
            models.UniqueConstraint(fields=["cycle", "stage"], name="stage_once_per_cycle"),
            models.CheckConstraint(condition=Q(stage__in=[name for name, _label in STAGE_NAMES]), name="stage_known"),
            models.CheckConstraint(condition=Q(action__in=[action for action, _label in ACTIONS]), name="stage_action_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_stage_display()}: {self.get_action_display()}"
