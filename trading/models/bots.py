"""Bots: one strategy on one symbol in one account, owned by one user, in one mode."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from dgbot.core.interval import Interval
from dgbot.core.types import Mode

RULES = "rules"  # the analyst that asks no model
SLOWEST_TICK_S = 59  # a minute and more is a schedule's business


class BotStatus(models.TextChoices):
    """What a bot is doing. `Bot.is_running` says what the operator wants; the gateway brings the two together.

    stopped → requested ─→ starting ─→ running ⇄ paused, safe_mode, failed ─→ stopped, at once when the position is kept
              no gateway   position    cycles run in all four;             └→ stopping → stopped, when it is to be closed
              has it yet   is settled  paused and safe_mode open nothing
    Every state but running and stopped has its cause in `status_reason`. A takeover by another gateway leads back to requested.
    """

    STOPPED = "stopped", _("stopped")
    REQUESTED = "requested", _("requested")
    STARTING = "starting", _("starting")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("entries paused")
    SAFE_MODE = "safe_mode", _("safe mode")
    FAILED = "failed", _("failed")
    STOPPING = "stopping", _("stopping")


ACTIVE = (BotStatus.RUNNING, BotStatus.PAUSED, BotStatus.SAFE_MODE, BotStatus.FAILED)  # its position is known: cycles run


class AnalystMode(models.TextChoices):
    """Who decides."""

    VETO = "veto", _("rules propose, the analyst may veto")
    PROPOSE = "propose", _("the analyst proposes, rules check")


class Bot(models.Model):
    """Owner, account, mode and symbol never change: a promoted bot is a new row."""

    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="bots", verbose_name=_("owner"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="bots", verbose_name=_("account"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES)
    name = models.CharField(_("name"), max_length=60)
    symbol = models.CharField(_("symbol"), max_length=30, help_text=_("The exchange's own code, such as KRW-BTC."))
    strategy = models.CharField(_("strategy"), max_length=40, help_text=_("A registered strategy, such as volatility_breakout."))
    parameters = models.JSONField(_("parameters"), default=dict, blank=True, help_text=_("Only what differs from the strategy's defaults."))
    interval = models.CharField(
        _("candles"), max_length=4, choices=[(item.value, item.value) for item in Interval], default=Interval.HOUR_1.value
    )
    schedule = models.ForeignKey(
        "django_celery_beat.PeriodicTask",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bots",
        verbose_name=_("schedule"),
        help_text=_("When cycles run. Empty: only by hand."),
    )
    tick_seconds = models.PositiveSmallIntegerField(
        _("look every"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(SLOWEST_TICK_S)],
        help_text=_("Seconds, 1 to 59, instead of a schedule: the ticker watches the bot. Empty: the schedule decides."),
    )
    risk_profile = models.ForeignKey(
        "risk.RiskProfile",
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("risk profile"),
        help_text=_("Empty: the one named by risk_level."),
    )
    allocation = MoneyField(
        _("allocation"),
        null=True,
        blank=True,
        help_text=_("Quote currency this bot may use and its limits refer to. Empty: the account's cash."),
    )
    trade_amount = MoneyField(_("amount per trade"), default=50_000, help_text=_("Quote currency, before caps."))
    analyst = models.CharField(_("analyst"), max_length=40, default=RULES)
    analyst_mode = models.CharField(_("who decides"), max_length=10, choices=AnalystMode, default=AnalystMode.VETO)
    filter_mode = models.CharField(
        _("quick filter"),
        max_length=10,
        blank=True,
        editable=False,
        help_text=_("Instead of the risk profile's, for replays. Empty: the profile's."),
    )
    anchor_at = models.DateTimeField(
        _("candles start at"),
        null=True,
        blank=True,
        help_text=_("Open time of the candle all indicators start from. Empty: the series' first."),
    )
    shadow_of = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="shadows",
        verbose_name=_("shadow of"),
        help_text=_("It is given what this bot sees, trades with pretended money, and is compared with it."),
    )
    is_running = models.BooleanField(_("wanted running"), default=False, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=BotStatus, default=BotStatus.STOPPED, editable=False)
    status_reason = models.CharField(_("status reason"), max_length=255, blank=True, editable=False)
    is_paused = models.BooleanField(
        _("entries paused"), default=False, editable=False, help_text=_("Wanted by the operator: cycles and exits go on.")
    )
    wanted_at = models.DateTimeField(
        _("wanted since"), null=True, editable=False, help_text=_("Machine time; slots before it are not this bot's.")
    )
    is_hidden = models.BooleanField(_("hidden"), default=False, help_text=_("Left out of the dashboard, as replays are."))
    created_at = models.DateTimeField(_("created at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "bots"
        verbose_name = _("bot")
        verbose_name_plural = _("bots")
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="bot_name_once_per_user"),
            models.CheckConstraint(condition=Q(mode__in=[mode for mode, _label in MODES]), name="bot_mode_known"),
            models.CheckConstraint(condition=Q(status__in=BotStatus.values), name="bot_status_known"),
            models.CheckConstraint(
                condition=Q(tick_seconds=None) | Q(tick_seconds__gte=1, tick_seconds__lte=SLOWEST_TICK_S), name="bot_tick_seconds_in_range"
            ),
            models.CheckConstraint(condition=Q(tick_seconds=None) | Q(schedule=None), name="bot_ticks_or_follows_a_schedule"),
            models.CheckConstraint(
                condition=Q(shadow_of=None) | Q(mode__in=[Mode.PAPER.value, Mode.SIMULATED.value]), name="bot_shadow_risks_no_money"
            ),
            *bounded("bot", allocation="positive", trade_amount="positive"),
        ]
        # Dispatch and the gateway ask every second which bots are wanted.
        indexes = [models.Index(fields=["account"], condition=Q(is_running=True), name="bot_wanted_running")]

    def __str__(self) -> str:
        return self.name
