"""Limits an operator edits, how much of them is used, and what is reserved for orders on their way."""

from datetime import timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OfAccountQuerySet, OfBotQuerySet, OwnedQuerySet, SharedQuerySet, texts_of_keys
from dgbot.core.money import plain
from risk.domain import kill
from risk.domain.limits import NAMES
from risk.domain.sizing import SizingMode, SizingPlan
from risk.domain.trailing import PartialLevel

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

FRACTION_HELP = _("Fraction: 0.05 is 5 %.")
SIZING_MODES = [
    (SizingMode.FIXED.value, _("the bot's amount per trade")),
    (SizingMode.EQUITY_FRACTION.value, _("a fraction of equity")),
    (SizingMode.RISK_AT_STOP.value, _("a fraction of equity lost at the stop")),
    (SizingMode.VOLATILITY_TARGET.value, _("a fraction of equity moved by one ATR")),
    (SizingMode.HALF_KELLY.value, _("half Kelly from closed trades")),
    (SizingMode.BUY_RATIO.value, _("a ratio of the free cash")),
]


def _fraction(label: "StrOrPromise", default: str | None, help_text: "StrOrPromise" = FRACTION_HELP) -> "models.DecimalField[Any, Any]":
    """A fraction of something; without a default it may be empty: then it is not limited."""
    is_optional = default is None
    return models.DecimalField(
        label,
        max_digits=7,
        decimal_places=4,
        null=is_optional,
        blank=is_optional,
        default=None if default is None else Decimal(default),
        help_text=help_text,
    )


def _limit(label: "StrOrPromise", default: str | None, help_text: "StrOrPromise") -> "models.DecimalField[Any, Any]":
    """A limit of the validator; empty switches its rule off."""
    return models.DecimalField(
        label,
        max_digits=7,
        decimal_places=4,
        null=True,
        blank=True,
        default=None if default is None else Decimal(default),
        help_text=help_text,
    )


def _in_range(table: str, ranges: dict[str, tuple[Decimal | int, Decimal | int]]) -> list[models.BaseConstraint]:
    """One CHECK for each field: above the first number, at most the second. Empty passes where the column allows it."""
    return [
        models.CheckConstraint(condition=Q(**{f"{name}__gt": low, f"{name}__lte": high}), name=f"{table}_{name}_in_range")
        for name, (low, high) in ranges.items()
    ]


# What a number may be at all; what it is, the operator decides. Above the first, at most the second.
RANGES: dict[str, tuple[Decimal | int, Decimal | int]] = {
    "drawdown_fraction": (0, 1),
    "loss_streak": (0, 1000),
    "account_exposure_fraction": (0, 125),  # notional by equity: 125 is the highest leverage any market offers
    "symbol_exposure_fraction": (0, 125),
    "group_exposure_fraction": (0, 125),
    "leverage_limit": (Decimal("0.9999"), 125),
}
OLD_RANGES: dict[str, tuple[Decimal | int, Decimal | int]] = {
    "stop_fraction": (0, 1),
    "daily_loss_fraction": (0, 1),
    "weekly_loss_fraction": (0, 1),
    "position_fraction": (0, 1),
    "slippage_limit": (0, 1),
    "rsi_buy_limit": (0, 100),
}


class FilterMode(models.TextChoices):
    """What the quick filter's verdict does to an entry."""

    BLOCKS = "blocks", _("blocks entries")
    SHOWS = "shows", _("is shown only")
    OFF = "off", _("is not asked")


# Limits of the validator's rules; an empty one switches its rule off. The ranges: above the first, at most the second.
VALIDATOR_RANGES: dict[str, tuple[Decimal | int, Decimal | int]] = {
    "atr_fraction_limit": (0, 1),
    "atr_expansion_limit": (0, 100),
    "fakeout_adx": (0, 100),
    "fakeout_volume": (0, 100),
    "adx_floor": (0, 100),
    "volume_floor": (0, 100),
    "band_width_floor": (0, 1),
    "divergence_limit": (0, 100),
    "flash_crash_fraction": (0, 1),
    "flash_crash_deviations": (0, 100),
    "btc_fall_fraction": (0, 1),
    "btc_beta_limit": (0, 100),
    "correlation_change_limit": (0, 100),
    "confidence_floor": (0, 100),
}
FILTER_RANGES: dict[str, tuple[Decimal | int, Decimal | int]] = {
    "filter_return": (-1, 100),
    "filter_win_rate": (-1, 1),
    "filter_profit_factor": (-1, 100),
    "filter_sharpe": (-100, 100),
    "filter_drawdown": (0, 1),
    "filter_trades": (-1, 10_000),
}


class RiskProfile(models.Model):
    """A named set of limits. Without an owner it is one of the three everybody may use."""

    name = models.CharField(_("name"), max_length=40)
    user = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, verbose_name=_("owner"), help_text=_("Empty: everybody may use it.")
    )
    sizing_mode = models.CharField(
        _("sizing"),
        max_length=20,
        choices=SIZING_MODES,
        default=SizingMode.FIXED.value,
        help_text=_("How an entry's amount is found, before caps."),
    )
    equity_fraction = _fraction(_("equity fraction"), "0.10", _("Of the bot's equity; for sizing by equity fraction."))
    risk_fraction = _fraction(_("risk per trade"), "0.01", _("Of the bot's equity, lost at the stop with costs; for sizing by risk."))
    volatility_fraction = _fraction(_("volatility target"), "0.01", _("Of the bot's equity, for a move of one ATR."))
    buy_ratio = _fraction(_("buy ratio"), "0.30", _("Of the account's free cash; for sizing by buy ratio."))
    sell_ratio = _fraction(_("sell ratio"), "1", _("Of the position, when the strategy leaves; stops and targets sell all."))
    stop_fraction = models.DecimalField(_("stop loss"), max_digits=6, decimal_places=4, default=Decimal("0.05"), help_text=FRACTION_HELP)
    target_fraction = models.DecimalField(
        _("take profit"), max_digits=6, decimal_places=4, default=Decimal("0.10"), help_text=FRACTION_HELP
    )
    stop_atr_multiple = _fraction(_("stop in ATR"), None, _("ATR14 of the signal bar, frozen at entry; the nearer stop holds. Empty: off."))
    target_atr_multiple = _fraction(_("target in ATR"), None, _("ATR14 of the signal bar; the nearer target holds. Empty: off."))
    trailing_atr_multiple = _fraction(_("trailing stop in ATR"), None, _("Below the highest price since entry; never loosens. Empty: off."))
    takes_partial_profit = models.BooleanField(
        _("partial take profit"), default=False, help_text=_("Sell a part at the first gain, the rest at the second.")
    )
    first_gain_fraction = _fraction(_("first gain"), "0.05", _("Over the entry price."))
    first_share = _fraction(_("share sold at the first gain"), "0.50")
    second_gain_fraction = _fraction(_("second gain"), "0.10", _("Over the entry price; sells the rest."))
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
    drawdown_fraction = models.DecimalField(
        _("drawdown limit"),
        max_digits=7,
        decimal_places=4,
        null=True,
        blank=True,
        default=Decimal("0.30"),
        help_text=_("Of the highest equity; reached: safe mode. Empty: not limited."),
    )
    loss_streak = models.PositiveSmallIntegerField(
        _("losing trades in a row"), null=True, blank=True, help_text=_("Reached: safe mode. Empty: not limited.")
    )
    position_fraction = models.DecimalField(
        _("largest position"), max_digits=6, decimal_places=4, default=Decimal("0.30"), help_text=_("Of the allocation, at entry.")
    )
    account_exposure_fraction = _fraction(_("account exposure limit"), "1", _("Of the account's equity, all positions and orders at cost."))
    symbol_exposure_fraction = _fraction(_("exposure limit per symbol"), "1", _("Of the account's equity."))
    group_exposure_fraction = _fraction(_("exposure limit per group"), "1", _("Of the account's equity, symbols of one group together."))
    leverage_limit = models.DecimalField(
        _("leverage limit"), max_digits=7, decimal_places=4, default=Decimal(1), help_text=_("Notional by equity; 1 is none.")
    )
    liquidation_gap_fraction = _fraction(
        _("gap to liquidation"), "0.01", _("Of the entry price: liquidation must lie beyond the stop by more than this.")
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
    atr_fraction_limit = _limit(_("ATR limit"), "0.06", _("ATR14 by the price; 0.06 is 6 %."))
    atr_expansion_limit = _limit(_("ATR burst limit"), None, _("ATR14 over its mean of the 50 bars before."))
    fakeout_adx = _limit(_("fake-out: ADX under"), "20", _("Blocks together with the volume beside it."))
    fakeout_volume = _limit(_("fake-out: volume under"), "1.3", _("Times the mean of the 20 bars before."))
    adx_floor = _limit(_("lowest ADX"), None, _("ADX14, 0 to 100."))
    volume_floor = _limit(_("lowest volume"), None, _("Times the mean of the 20 bars before."))
    band_width_floor = _limit(_("lowest Bollinger width"), None, _("Of the middle band, 20 bars and 2 σ; 0.04 is 4 %."))
    divergence_limit = _limit(_("bearish divergence limit"), None, _("RSI points lost between two rising highs."))
    flash_crash_fraction = _limit(_("flash crash: fall of more than"), None, _("Within minutes; 0.03 is 3 %. Needs 5-minute candles."))
    flash_crash_deviations = _limit(_("flash crash: deviations"), "5", _("The fall in standard deviations of the day before."))
    btc_fall_fraction = _limit(_("BTC risk: fall of BTC"), "0.01", _("Over one day; 0.01 is 1 %."))
    btc_beta_limit = _limit(_("BTC risk: beta over"), None, _("To BTC, over 30 days. Not asked of BTC itself."))
    correlation_change_limit = _limit(_("correlation break"), None, _("Change of the correlation with BTC, in standard errors."))
    confidence_floor = _limit(_("lowest confidence"), "50", _("Of an analyst's answer, 0 to 100; the rules state none."))
    filter_mode = models.CharField(
        _("quick filter"),
        max_length=10,
        choices=FilterMode,
        default=FilterMode.BLOCKS,
        help_text=_("A backtest of the bot's own strategy over two years, before each entry. On simulated markets it is shown only."),
    )
    filter_return = _fraction(_("lowest return"), "0.03", _("Over the two years, as if each entry were the largest position."))
    filter_win_rate = _fraction(_("lowest win rate"), "0.35")
    filter_profit_factor = _fraction(_("lowest profit factor"), "1.3", _("Gross win by gross loss."))
    filter_sharpe = _fraction(_("lowest Sharpe ratio"), "0.8", _("Annualised."))
    filter_drawdown = _fraction(_("largest drawdown"), "0.20")
    filter_trades = models.PositiveSmallIntegerField(_("fewest closed trades"), default=30, help_text=_("Fewer tell nothing."))
    updated_at = models.DateTimeField(_("changed at"), auto_now=True, help_text=_("Machine time."))

    objects = SharedQuerySet.as_manager()

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
            models.CheckConstraint(condition=Q(filter_mode__in=FilterMode.values), name="risk_profile_filter_mode_known"),
            models.CheckConstraint(condition=Q(sizing_mode__in=[mode.value for mode in SizingMode]), name="risk_profile_sizing_mode_known"),
            *_in_range(
                "risk_profile",
                {
                    **RANGES,
                    **VALIDATOR_RANGES,
                    **FILTER_RANGES,
                    **dict.fromkeys(("equity_fraction", "risk_fraction", "volatility_fraction"), (0, 1)),
                    **dict.fromkeys(("buy_ratio", "sell_ratio", "first_share", "liquidation_gap_fraction"), (0, 1)),
                    **dict.fromkeys(("stop_atr_multiple", "target_atr_multiple", "trailing_atr_multiple"), (0, 100)),
                    **dict.fromkeys(("first_gain_fraction", "second_gain_fraction"), (0, 10)),
                },
            ),
            models.CheckConstraint(
                condition=Q(second_gain_fraction__gt=F("first_gain_fraction")), name="risk_profile_second_gain_beyond_first"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def partial_levels(self) -> tuple[PartialLevel, ...]:
        """The gains at which parts are sold, lowest first; empty when the profile takes no partial profit."""
        if not self.takes_partial_profit:
            return ()
        return PartialLevel(self.first_gain_fraction, self.first_share), PartialLevel(self.second_gain_fraction, Decimal(1))

    @property
    def sizing_plan(self) -> SizingPlan:
        """How an entry's amount is found; a bot puts in its own fixed amount."""
        return SizingPlan(
            mode=SizingMode(self.sizing_mode),
            equity_fraction=self.equity_fraction,
            risk_fraction=self.risk_fraction,
            volatility_fraction=self.volatility_fraction,
            buy_ratio=self.buy_ratio,
        )


class OwnLimits(models.Model):
    """Limits somebody set for himself; an empty one is not told here."""

    stop_fraction = _fraction(_("stop loss"), None)
    daily_loss_fraction = _fraction(_("daily loss limit"), None)
    weekly_loss_fraction = _fraction(_("weekly loss limit"), None)
    drawdown_fraction = _fraction(_("drawdown limit"), None)
    loss_streak = models.PositiveSmallIntegerField(_("losing trades in a row"), null=True, blank=True)
    position_fraction = _fraction(_("largest position"), None, _("Of the bot's allocation, at entry."))
    account_exposure_fraction = _fraction(_("account exposure limit"), None, _("Of the account's equity."))
    symbol_exposure_fraction = _fraction(_("exposure limit per symbol"), None, _("Of the account's equity."))
    group_exposure_fraction = _fraction(_("exposure limit per group"), None, _("Of the account's equity."))
    leverage_limit = _fraction(_("leverage limit"), None, _("Notional by equity; 1 is none."))
    spacing = models.DurationField(_("spacing of entries"), null=True, blank=True)
    entries_per_day = models.PositiveSmallIntegerField(_("entries a day"), null=True, blank=True)
    slippage_limit = _fraction(_("slippage limit"), None)
    rsi_buy_limit = _fraction(_("RSI limit for buys"), None, _("From 0 to 100."))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        told = {name: value for name, value in self.as_values().items() if value is not None}
        return ", ".join(f"{name} {value}" for name, value in told.items()) or "—"

    def as_values(self) -> dict[str, Any]:
        """By name; None where nothing is told."""
        return {name: getattr(self, name) for name in NAMES}


OWN_RANGES = {**OLD_RANGES, **RANGES}


class AccountLimits(OwnLimits):
    """Hard limits of one account: no bot of it may have looser ones."""

    account = models.OneToOneField(
        "trading.ExchangeAccount", models.CASCADE, primary_key=True, related_name="limits", verbose_name=_("account")
    )

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "account_limits"
        verbose_name = _("account limits")
        verbose_name_plural = _("account limits")
        constraints = [
            *_in_range("account_limits", OWN_RANGES),
            models.CheckConstraint(condition=Q(spacing__gte=timedelta(0)), name="account_limits_spacing_not_negative"),
        ]


class BotLimits(OwnLimits):
    """A bot's own numbers instead of its profile's, within the hard limits of its account."""

    bot = models.OneToOneField("trading.Bot", models.CASCADE, primary_key=True, related_name="limits", verbose_name=_("bot"))

    objects = OfBotQuerySet.as_manager()

    class Meta:
        db_table = "bot_limits"
        verbose_name = _("bot limits")
        verbose_name_plural = _("bot limits")
        constraints = [
            *_in_range("bot_limits", OWN_RANGES),
            models.CheckConstraint(condition=Q(spacing__gte=timedelta(0)), name="bot_limits_spacing_not_negative"),
        ]


class LimitSubject(models.TextChoices):
    """Whose limits changed."""

    PROFILE = "profile", _("risk profile")
    ACCOUNT = "account", _("account")
    BOT = "bot", _("bot")


class LimitChangeQuerySet(OwnedQuerySet):
    """Changes of limits."""

    def owned_by(self, user: Any) -> Q:
        """What `user` changed, and whatever was changed about the own profiles, accounts and bots."""
        own = {LimitSubject.PROFILE: RiskProfile.objects.filter(user=user), LimitSubject.ACCOUNT: user.exchange_accounts}
        own[LimitSubject.BOT] = user.bots
        told = (Q(subject=subject, subject_pk__in=rows.values("pk")) for subject, rows in own.items())
        return reduce(or_, told, Q(changed_by=user))


class LimitChange(models.Model):
    """One change of limits: who, when, why, and from what to what. Append-only."""

    subject = models.CharField(_("whose"), max_length=10, choices=LimitSubject, editable=False)
    subject_pk = models.BigIntegerField(_("which"), editable=False, help_text=_("Its id."))
    name = models.CharField(_("name"), max_length=60, editable=False)
    before = models.JSONField(_("before"), null=True, editable=False, help_text=_("Empty: it was made."))
    after = models.JSONField(_("after"), editable=False)
    loosened = models.JSONField(_("loosened"), default=list, editable=False, help_text=_("Names of what allows more than before."))
    changed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, verbose_name=_("changed by"))
    reason = models.TextField(_("reason"), blank=True, editable=False)
    changed_at = models.DateTimeField(_("changed at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = LimitChangeQuerySet.as_manager()

    class Meta:
        db_table = "limit_changes"
        verbose_name = _("change of limits")
        verbose_name_plural = _("changes of limits")
        constraints = [
            models.CheckConstraint(condition=Q(subject__in=LimitSubject.values), name="limit_change_subject_known"),
            models.CheckConstraint(condition=Q(loosened=[]) | ~Q(reason=""), name="limit_change_loosened_has_a_reason"),
        ]
        # A profile's page lists its newest changes.
        indexes = [models.Index(fields=["subject", "subject_pk", "-id"], name="limit_changes_newest")]

    def __str__(self) -> str:
        return f"{self.name} {self.changed_at:%Y-%m-%d %H:%M}"


class SymbolGroup(models.Model):
    """Symbols that move together; their exposure is limited as one."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    symbols = models.JSONField(_("symbols"), default=list, help_text=_('A list such as ["KRW-BTC", "KRW-ETH"].'))

    class Meta:
        db_table = "symbol_groups"
        verbose_name = _("correlated group")
        verbose_name_plural = _("correlated groups")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A list of texts, or the exposure of a group could not be told."""
        if not isinstance(self.symbols, list) or not all(isinstance(symbol, str) and symbol for symbol in self.symbols):
            raise ValidationError({"symbols": _('Symbols must be a list such as ["KRW-BTC", "KRW-ETH"].')})


class Transfer(models.Model):
    """Money paid into an account or taken out of it: no profit and no loss. Append-only; a mistake is corrected by its opposite."""

    account = models.ForeignKey(
        "trading.ExchangeAccount", models.PROTECT, editable=False, related_name="transfers", verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, editable=False, related_name="+", verbose_name=_("owner"))
    amount = MoneyField(_("amount"), editable=False, help_text=_("Quote currency; negative when withdrawn."))
    reference = models.CharField(_("reference"), max_length=100, editable=False, help_text=_("The exchange's id; booked once."))
    note = models.CharField(_("note"), max_length=255, blank=True, editable=False)
    at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "transfers"
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints = [
            models.UniqueConstraint(fields=["account", "reference"], name="transfer_once_per_reference"),
            *bounded("transfer", amount="signed"),
            models.CheckConstraint(condition=~Q(amount=0), name="transfer_moves_something"),
            models.CheckConstraint(condition=~Q(reference=""), name="transfer_has_a_reference"),
        ]

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.at:%Y-%m-%d}"


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
    started_at = models.DateTimeField(
        _("started at"), null=True, editable=False, help_text=_("Market time of the equity at start; an earlier deposit is in it.")
    )
    equity = MoneyField(_("equity"), null=True, editable=False, help_text=_("Quote currency, last known."))
    daily_pnl = MoneyField(_("profit today"), null=True, editable=False, help_text=_("Quote currency, open positions and fees included."))
    weekly_pnl = MoneyField(_("profit in 7 trading days"), null=True, editable=False, help_text=_("Quote currency."))
    capital = MoneyField(
        _("capital"),
        default=0,
        editable=False,
        help_text=_("Quote currency: of an account what was paid in since it is known, of a bot its allocation. No profit."),
    )
    start_capital = MoneyField(_("capital at start"), default=0, editable=False, help_text=_("Quote currency, of the day."))
    peak_profit = MoneyField(
        _("highest profit"), null=True, editable=False, help_text=_("Equity − capital at its highest, quote currency.")
    )
    loss_streak = models.PositiveIntegerField(_("losing trades in a row"), default=0, editable=False)
    released_profit = MoneyField(
        _("profit at release"), null=True, editable=False, help_text=_("Equity − capital when safe mode was last released.")
    )
    released_day = models.DateField(_("released on"), null=True, editable=False, help_text=_("Trading day; losses count anew from it."))
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
            *bounded("risk_state", capital="signed", start_capital="signed", peak_profit="signed", released_profit="signed"),
            models.CheckConstraint(
                condition=Q(released_day=None, released_profit=None) | Q(released_day__isnull=False, released_profit__isnull=False),
                name="risk_state_release_is_whole",
            ),
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

    objects = OfBotQuerySet.as_manager()

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
    """How much the kill switch forbids. Each level includes the ones before it; see `risk.domain.kill`."""

    RUN = kill.RUN, _("run")
    NO_OPEN = kill.NO_OPEN, _("no new positions")
    CANCEL = kill.CANCEL, _("cancel entry orders")
    FLATTEN = kill.FLATTEN, _("close all positions")
    FREEZE = kill.FREEZE, _("no order at all")


class KillScope(models.TextChoices):
    """What a kill switch covers."""

    PLATFORM = "platform", _("platform")
    EXCHANGE = "exchange", _("exchange")
    ACCOUNT = "account", _("account")
    USER = "user", _("user")
    BOT = "bot", _("bot")
    MARKET = "market", _("market")


class KillScopeQuerySet(OwnedQuerySet):
    """Kill switches and their changes. What covers more than one user is shown to everybody."""

    def owned_by(self, user: Any) -> Q:
        """The switches that hold for `user` and no other: of the user, of own accounts and own bots; and those of everybody."""
        accounts, bots = texts_of_keys(user.exchange_accounts), texts_of_keys(user.bots)
        everybodys = Q(scope__in=[KillScope.PLATFORM, KillScope.EXCHANGE, KillScope.MARKET])
        of_account, of_bot = Q(scope=KillScope.ACCOUNT, scope_id__in=accounts), Q(scope=KillScope.BOT, scope_id__in=bots)
        return everybodys | Q(scope=KillScope.USER, scope_id=str(user.pk)) | of_account | of_bot


class KillSwitch(models.Model):
    """A latched stop. The highest level of all that cover a bot holds. Every change has its row in `KillSwitchChange`."""

    scope = models.CharField(_("scope"), max_length=10, choices=KillScope)
    scope_id = models.CharField(_("which"), max_length=60, blank=True, help_text=_("Id or name within the scope; empty for the platform."))
    level = models.PositiveSmallIntegerField(_("level"), choices=KillLevel, default=KillLevel.RUN)
    epoch = models.PositiveBigIntegerField(_("epoch"), default=0, editable=False, help_text=_("Grows with every change."))
    set_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, editable=False, verbose_name=_("set by"))
    set_by_name = models.CharField(_("set by"), max_length=150, blank=True, editable=False, help_text=_("A user, or a process."))
    reason = models.TextField(_("reason"))
    set_at = models.DateTimeField(_("set at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    lowering_to = models.PositiveSmallIntegerField(
        _("to be lowered to"), choices=KillLevel, null=True, editable=False, help_text=_("Asked by one person, waiting for a second.")
    )
    lowering_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("asked by")
    )

    objects = KillScopeQuerySet.as_manager()

    class Meta:
        db_table = "kill_switches"
        verbose_name = _("kill switch")
        verbose_name_plural = _("kill switches")
        constraints = [
            models.UniqueConstraint(fields=["scope", "scope_id"], name="kill_switch_once_per_scope"),
            models.CheckConstraint(condition=Q(level__lte=KillLevel.FREEZE.value), name="kill_switch_level_known"),
            models.CheckConstraint(condition=Q(scope__in=KillScope.values), name="kill_switch_scope_known"),
            models.CheckConstraint(
                condition=Q(lowering_to=None, lowering_by=None)
                | Q(lowering_to__isnull=False, lowering_by__isnull=False, lowering_to__lt=F("level")),
                name="kill_switch_lowering_is_asked_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{f'{self.get_scope_display()} {self.scope_id}'.strip()}: {self.get_level_display()}"


class KillSwitchChange(models.Model):
    """One change of a kill switch: who, when, why, from which level to which, and for a trip its fact and limit. Append-only."""

    scope = models.CharField(_("scope"), max_length=10, choices=KillScope, editable=False)
    scope_id = models.CharField(_("which"), max_length=60, blank=True, editable=False)
    epoch = models.PositiveBigIntegerField(_("epoch"), editable=False)
    before = models.PositiveSmallIntegerField(_("before"), choices=KillLevel, editable=False)
    after = models.PositiveSmallIntegerField(_("after"), choices=KillLevel, editable=False)
    changed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("user"))
    actor = models.CharField(_("by"), max_length=150, editable=False, help_text=_("A user, or a process."))
    second = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("second person")
    )
    code = models.CharField(_("rule"), max_length=40, blank=True, editable=False, help_text=_("Which rule tripped it; empty for a person."))
    reason = models.TextField(_("reason"), editable=False)
    value = models.CharField(_("value"), max_length=60, blank=True, editable=False)
    limit = models.CharField(_("limit"), max_length=60, blank=True, editable=False)
    remedy = models.TextField(_("remedy"), blank=True, editable=False)
    at = models.DateTimeField(_("at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = KillScopeQuerySet.as_manager()

    class Meta:
        db_table = "kill_switch_changes"
        verbose_name = _("change of a kill switch")
        verbose_name_plural = _("changes of kill switches")
        constraints = [
            models.UniqueConstraint(fields=["scope", "scope_id", "epoch"], name="kill_switch_change_once_per_epoch"),
            models.CheckConstraint(condition=~Q(reason=""), name="kill_switch_change_has_a_reason"),
            # Only people lower: a rule or a process has no user.
            models.CheckConstraint(
                condition=Q(after__gte=F("before")) | Q(changed_by__isnull=False), name="kill_switch_lowered_by_a_person"
            ),
        ]

    def __str__(self) -> str:
        return f"{f'{self.get_scope_display()} {self.scope_id}'.strip()}: {self.before} → {self.after}"
