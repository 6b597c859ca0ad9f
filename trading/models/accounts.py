"""Accounts at exchanges and what they hold."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OfAccountQuerySet, OwnedQuerySet
from dgbot.core.money import plain


class ExchangeName(models.TextChoices):
    """Where an account lives."""

    SIMULATED = "simulated", _("Simulated market")
    UPBIT = "upbit", "Upbit"
    BITGET = "bitget", "Bitget"


class ExchangeAccount(models.Model):
    """Credentials and money of one user at one exchange, in one mode. Owner and mode never change."""

    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="exchange_accounts", verbose_name=_("owner"))
    name = models.CharField(_("name"), max_length=60)
    exchange = models.CharField(_("exchange"), max_length=10, choices=ExchangeName)
    mode = models.CharField(_("mode"), max_length=10, choices=MODES)
    is_demo = models.BooleanField(_("demo"), default=False, help_text=_("The exchange's own demo account; only with the mode live."))
    quote_currency = models.CharField(_("quote currency"), max_length=10, default="KRW")
    is_hidden = models.BooleanField(_("hidden"), default=False, help_text=_("Left out of the dashboard, as replays are."))
    simulated_market = models.ForeignKey(
        "trading.SimulatedMarket",
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("simulated market"),
        help_text=_("Only for the mode simulated."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "exchange_accounts"
        verbose_name = _("exchange account")
        verbose_name_plural = _("exchange accounts")
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="account_name_once_per_user"),
            models.CheckConstraint(condition=Q(mode__in=[mode for mode, _label in MODES]), name="account_mode_known"),
            models.CheckConstraint(condition=Q(is_demo=False) | Q(mode="live"), name="account_demo_is_live"),
            models.CheckConstraint(condition=Q(mode="simulated") ^ Q(simulated_market=None), name="account_simulated_has_a_market"),
            models.CheckConstraint(
                condition=Q(mode="simulated", exchange="simulated") | ~Q(mode="simulated") & ~Q(exchange="simulated"),
                name="account_exchange_fits_mode",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AccountBalance(models.Model):
    """What an account held of one asset, as the exchange told the gateway."""

    account = models.ForeignKey(ExchangeAccount, models.CASCADE, editable=False, related_name="balances", verbose_name=_("account"))
    asset = models.CharField(_("asset"), max_length=20, editable=False)
    free = MoneyField(_("free"), editable=False, help_text=_("Units of the asset."))
    locked = MoneyField(_("locked"), editable=False, help_text=_("Units of the asset, held by open orders."))
    known_at = models.DateTimeField(_("known at"), editable=False, help_text=_("Market time of the exchange's answer."))
    recorded_at = models.DateTimeField(
        _("recorded at"), editable=False, help_text=_("Machine time; its age decides whether entries may rely on it.")
    )

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "account_balances"
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="balance_once_per_asset"),
            *bounded("balance", free="not_negative", locked="not_negative"),
        ]

    def __str__(self) -> str:
        return f"{plain(self.free)} {self.asset}"


class AccountFee(models.Model):
    """What an account pays in one market at its tier, as the exchange told the gateway: workers size entries by it and hold no key."""

    account = models.ForeignKey(ExchangeAccount, models.CASCADE, editable=False, related_name="fees", verbose_name=_("account"))
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    maker_rate = MoneyField(_("maker fee"), editable=False, help_text=_("Fraction of the total: 0.0005 is 0.05 %."))
    taker_rate = MoneyField(_("taker fee"), editable=False, help_text=_("Fraction of the total: 0.0005 is 0.05 %."))
    recorded_at = models.DateTimeField(_("recorded at"), editable=False, help_text=_("Machine time."))

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "account_fees"
        verbose_name = _("fee")
        verbose_name_plural = _("fees")
        constraints = [
            models.UniqueConstraint(fields=["account", "symbol"], name="account_fee_once_per_symbol"),
            *bounded("account_fee", maker_rate="signed", taker_rate="not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {plain(self.taker_rate)}"
