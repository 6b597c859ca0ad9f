"""Trades: one row for each fill, as the exchange reported it. Nothing here is ever changed."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES, PURPOSES, SIDES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from dgbot.core.money import plain


class TradeStatus(models.TextChoices):
    """Ours are completed when inserted; the others exist only in imported history."""

    COMPLETED = "completed", _("completed")
    PENDING = "pending", _("pending")
    FAILED = "failed", _("failed")


class Trade(models.Model):
    """The money truth: append-only, unique per account and exchange trade id. Corrections are reversing rows."""

    exchange_trade_id = models.CharField(_("exchange trade id"), max_length=100, db_column="trade_id", editable=False)
    order = models.ForeignKey(
        "trading.Order", models.PROTECT, null=True, db_column="order_pk", related_name="trades", editable=False, verbose_name=_("order")
    )
    position = models.ForeignKey(
        "trading.Position", models.PROTECT, null=True, related_name="trades", editable=False, verbose_name=_("position")
    )
    bot = models.ForeignKey("trading.Bot", models.PROTECT, null=True, related_name="trades", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="trades", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    side = models.CharField(_("side"), max_length=10, choices=SIDES, editable=False)
    purpose = models.CharField(_("purpose"), max_length=10, choices=PURPOSES, blank=True, editable=False)
    exit_reason = models.CharField(_("exit reason"), max_length=30, blank=True, editable=False)
    price = MoneyField(_("price"), editable=False, help_text=_("Quote currency."))
    amount = MoneyField(_("amount"), editable=False, help_text=_("Base currency."))
    total = MoneyField(_("total"), editable=False, help_text=_("Price × amount, quote currency, without fee."))
    fee = MoneyField(_("fee"), default=0, editable=False, help_text=_("In the fee currency; negative for a rebate."))
    fee_currency = models.CharField(_("fee currency"), max_length=20, editable=False)
    status = models.CharField(_("status"), max_length=20, choices=TradeStatus, default=TradeStatus.COMPLETED, editable=False)
    reverses = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        db_column="reverses_trade_pk",
        related_name="reversals",
        editable=False,
        verbose_name=_("corrects"),
    )
    source = models.CharField(_("source"), max_length=20, default="exchange", editable=False, help_text=_("Who told it."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time of the execution."))
    updated_at = models.DateTimeField(_("changed at"), editable=False, help_text=_("The same as its time: a trade never changes."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "trades"
        verbose_name = _("trade")
        verbose_name_plural = _("trades")
        constraints = [
            models.UniqueConstraint(fields=["account", "exchange_trade_id"], name="trade_once_per_exchange_id"),
            *bounded("trade", price="positive", total="signed", fee="signed"),
            models.CheckConstraint(
                condition=Q(amount__gt=0) | Q(reverses__isnull=False, amount__lt=0), name="trade_amount_positive_or_reversing"
            ),
            *bounded("trade", amount="signed"),
            models.CheckConstraint(condition=Q(total=F("price") * F("amount")), name="trade_total_is_price_times_amount"),
            # Composite keys skip a row with a NULL among them: without its bot a trade could point at anybody's position.
            models.CheckConstraint(condition=Q(position=None) | Q(bot__isnull=False), name="trade_position_names_its_bot"),
            models.CheckConstraint(condition=Q(side__in=["buy", "sell"]), name="trade_side_known"),
            models.CheckConstraint(condition=Q(status__in=TradeStatus.values), name="trade_status_known"),
        ]
        indexes = [
            models.Index(fields=["symbol"], name="trades_symbol"),
            models.Index(fields=["status"], name="trades_status"),
            models.Index(fields=["created_at"], name="trades_created_at"),
            models.Index(fields=["symbol", "created_at"], name="trades_symbol_created_at"),
            # The list is ordered by time: whatever it is filtered by, its page is the end of one of these.
            models.Index(fields=["user", "created_at"], name="trades_user_created_at"),
            models.Index(fields=["bot", "created_at"], name="trades_bot_created_at"),
            models.Index(fields=["mode", "created_at"], name="trades_mode_created_at"),
            models.Index(fields=["exit_reason", "created_at"], condition=~Q(exit_reason=""), name="trades_exit_reason_created_at"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {plain(self.amount)} {self.symbol} @ {plain(self.price)}"
