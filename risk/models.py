"""Limits an operator edits, how much of them is used, and what is reserved for orders on their way."""

from datetime import timedelta
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from dgbot.core.money import plain

FRACTION_HELP = _("Fraction: 0.05 is 5 %.")


class RiskProfile(models.Model):
    """A named set of limits. Without an owner it is one of the three everybody may use."""

    name = models.CharField(_("name"), max_length=40)
    user = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, verbose_name=_("owner"), help_text=_("Empty: everybody may use it.")
    )
    stop_fraction = models.DecimalField(_("stop loss"), max_digits=6, decimal_places=4, default=Decimal("0.05"), help_text=FRACTION_HELP)
    target_fraction = models.DecimalField(
        _("take profit"), max_digits=6, decimal_places=4, default=Decimal("0.10"), help_text=FRACTION_HELP
    )
    daily_loss_fraction = models.DecimalField(
        _("daily loss limit"),
        max_digits=6,
        decimal_places=4,
        default=Decimal("0.10"),
        help_text=_("Of the allocation; reached: safe mode."),
    )
    weekly_loss_fraction = models.DecimalField(
        _("weekly loss limit"), max_digits=6, decimal_places=4, default=Decimal("0.15"), help_text=_("Over the last 7 trading days.")
    )
    position_fraction = models.DecimalField(
        _("largest position"), max_digits=6, decimal_places=4, default=Decimal("0.30"), help_text=_("Of the allocation, at entry.")
    )
    spacing = models.DurationField(
        _("spacing of entries"), default=timedelta(hours=4), help_text=_("Shortest time between two entries, from the last entry's fill.")
    )
    entries_per_day = models.PositiveSmallIntegerField(
        _("entries a day"), default=5, help_text=_("Confirmed entries in one trading day of DGBOT_RISK_TIMEZONE.")
    )
    slippage_limit = models.DecimalField(
        _("slippage limit"),
        max_digits=6,
        decimal_places=4,
        default=Decimal("0.01"),
        help_text=_("Fraction; an order expected to slip more is refused."),
    )
    rsi_buy_limit = models.DecimalField(
        _("RSI limit for buys"),
        max_digits=5,
        decimal_places=2,
        default=Decimal(70),
        help_text=_("A buy above it is blocked by the validator."),
    )
    updated_at = models.DateTimeField(_("changed at"), auto_now=True, help_text=_("Machine time."))

    class Meta:
        db_table = "risk_profiles"
        verbose_name = _("risk profile")
        verbose_name_plural = _("risk profiles")
        constraints = [
            models.UniqueConstraint(fields=["name", "user"], nulls_distinct=False, name="risk_profile_name_once_per_owner"),
            *[
                models.CheckConstraint(condition=Q(**{f"{name}__gt": 0, f"{name}__lte": 1}), name=f"risk_profile_{name}_is_a_fraction")
                for name in ("stop_fraction", "daily_loss_fraction", "weekly_loss_fraction", "position_fraction", "slippage_limit")
            ],
            models.CheckConstraint(
                condition=Q(target_fraction__gt=0, target_fraction__lte=10), name="risk_profile_target_fraction_in_range"
            ),
            models.CheckConstraint(condition=Q(rsi_buy_limit__gt=0, rsi_buy_limit__lte=100), name="risk_profile_rsi_buy_limit_in_range"),
            models.CheckConstraint(condition=Q(spacing__gte=timedelta(0)), name="risk_profile_spacing_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class RiskState(models.Model):
    """How much of the limits one bot or one account has used on one trading day. Safe mode outlives midnight."""

    bot = models.ForeignKey(
        "trading.Bot", models.CASCADE, null=True, blank=True, editable=False, related_name="risk_states", verbose_name=_("bot")
    )
    account = models.ForeignKey(
        "trading.ExchangeAccount", models.CASCADE, editable=False, related_name="risk_states", verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    trading_day = models.DateField(_("trading day"), editable=False, help_text=_("Calendar day in DGBOT_RISK_TIMEZONE."))
    start_equity = MoneyField(_("equity at start"), null=True, editable=False, help_text=_("Quote currency; empty while unknown."))
    equity = MoneyField(_("equity"), null=True, editable=False, help_text=_("Quote currency, last known."))
    daily_pnl = MoneyField(_("profit today"), null=True, editable=False, help_text=_("Quote currency, open positions and fees included."))
    weekly_pnl = MoneyField(_("profit in 7 trading days"), null=True, editable=False, help_text=_("Quote currency."))
    daily_trade_count = models.PositiveIntegerField(_("entries today"), default=0, editable=False)
    last_trade_time = models.DateTimeField(
        _("last entry at"), null=True, editable=False, help_text=_("Market time of the last entry's fill.")
    )
    safe_mode = models.BooleanField(
        _("safe mode"), default=False, editable=False, help_text=_("Entries are blocked until an operator releases it.")
    )
    safe_mode_reason = models.CharField(_("why safe mode"), max_length=255, blank=True, editable=False)
    updated_at = models.DateTimeField(_("changed at"), editable=False, help_text=_("Market time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "risk_states"
        verbose_name = _("risk state")
        verbose_name_plural = _("risk states")
        constraints = [
            models.UniqueConstraint(fields=["account", "bot", "trading_day"], nulls_distinct=False, name="risk_state_once_a_day"),
            *bounded("risk_state", start_equity="signed", equity="signed", daily_pnl="signed", weekly_pnl="signed"),
            models.CheckConstraint(condition=Q(safe_mode=False) | ~Q(safe_mode_reason=""), name="risk_state_safe_mode_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.bot or self.account} {self.trading_day}"


class ReservationStatus(models.TextChoices):
    """What became of money set aside for an order."""

    HELD = "held", _("held")
    CONVERTED = "converted", _("converted into a position")
    RELEASED = "released", _("released")


class Reservation(models.Model):
    """Money set aside for one opening order, from the same transaction that planned it until its fate is proven."""

    order = models.OneToOneField(
        "trading.Order",
        models.CASCADE,
        db_column="order_pk",
        primary_key=True,
        editable=False,
        related_name="reservation",
        verbose_name=_("order"),
    )
    bot = models.ForeignKey("trading.Bot", models.CASCADE, editable=False, related_name="+", verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.CASCADE, editable=False, related_name="+", verbose_name=_("account"))
    notional = MoneyField(_("amount"), editable=False, help_text=_("Quote currency, fees included."))
    status = models.CharField(_("status"), max_length=10, choices=ReservationStatus, default=ReservationStatus.HELD, editable=False)

    class Meta:
        db_table = "reservations"
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = [
            *bounded("reservation", notional="positive"),
            models.CheckConstraint(condition=Q(status__in=ReservationStatus.values), name="reservation_status_known"),
        ]
        # Every entry asks what is still held on its account; settled reservations are nearly all rows.
        indexes = [models.Index(fields=["account"], condition=Q(status="held"), name="reservation_held")]

    def __str__(self) -> str:
        return f"{plain(self.notional)} {self.status}"


class RiskEvent(models.Model):
    """A limit that acted: a breaker tripped, safe mode begun or released. Append-only."""

    bot = models.ForeignKey("trading.Bot", models.CASCADE, null=True, editable=False, related_name="risk_events", verbose_name=_("bot"))
    account = models.ForeignKey(
        "trading.ExchangeAccount", models.CASCADE, editable=False, related_name="risk_events", verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, editable=False, verbose_name=_("owner"))
    code = models.CharField(_("code"), max_length=40, editable=False)
    message = models.TextField(_("message"), editable=False)
    value = models.CharField(_("value"), max_length=60, blank=True, editable=False)
    limit = models.CharField(_("limit"), max_length=60, blank=True, editable=False)
    actor = models.CharField(_("actor"), max_length=150, editable=False)
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "risk_events"
        verbose_name = _("risk event")
        verbose_name_plural = _("risk events")
        # The bot page lists the newest.
        indexes = [models.Index(fields=["bot", "-created_at"], name="risk_event_bot_newest")]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class KillLevel(models.IntegerChoices):
    """How much the kill switch forbids. Each level includes the ones before it."""

    RUN = 0, _("run")
    NO_OPEN = 1, _("no new positions")
    CANCEL = 2, _("cancel entry orders")
    FLATTEN = 3, _("close all positions")
    FREEZE = 4, _("no order at all")


class KillScope(models.TextChoices):
    """What a kill switch covers."""

    PLATFORM = "platform", _("platform")
    EXCHANGE = "exchange", _("exchange")
    ACCOUNT = "account", _("account")
    USER = "user", _("user")
    BOT = "bot", _("bot")
    MARKET = "market", _("market")


class KillSwitch(models.Model):
    """A latched stop. The highest level of all that cover a bot holds."""

    scope = models.CharField(_("scope"), max_length=10, choices=KillScope)
    scope_id = models.CharField(_("which"), max_length=60, blank=True, help_text=_("Id or name within the scope; empty for the platform."))
    level = models.PositiveSmallIntegerField(_("level"), choices=KillLevel, default=KillLevel.RUN)
    epoch = models.PositiveBigIntegerField(_("epoch"), default=1, editable=False, help_text=_("Grows with every change."))
    set_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, editable=False, verbose_name=_("set by"))
    reason = models.TextField(_("reason"))
    set_at = models.DateTimeField(_("set at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "kill_switches"
        verbose_name = _("kill switch")
        verbose_name_plural = _("kill switches")
        constraints = [
            models.UniqueConstraint(fields=["scope", "scope_id"], name="kill_switch_once_per_scope"),
            models.CheckConstraint(condition=Q(level__lte=KillLevel.FREEZE.value), name="kill_switch_level_known"),
            models.CheckConstraint(condition=Q(scope__in=KillScope.values), name="kill_switch_scope_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.scope_id}: {self.get_level_display()}"
