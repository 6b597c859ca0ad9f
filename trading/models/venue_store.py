"""What a pretended exchange remembers. Like a remote exchange it knows nothing of our rows: no foreign key leaves here.

Written through a connection of its own (database alias `venue`), never inside an order's transaction.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import ORDER_TYPES, SIDES
from dgbot.base.fields import MoneyField, bounded


class VenueAccount(models.Model):
    """Balance of one asset of one pretended account."""

    account_key = models.CharField(_("account key"), max_length=60, editable=False)
    asset = models.CharField(_("asset"), max_length=20, editable=False)
    free = MoneyField(_("free"), editable=False)

    class Meta:
        db_table = "venue_accounts"
        verbose_name = _("venue balance")
        verbose_name_plural = _("venue balances")
        constraints = [
            models.UniqueConstraint(fields=["account_key", "asset"], name="venue_balance_once_per_asset"),
            *bounded("venue_account", free="not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.account_key} {self.asset}"


class VenueOrder(models.Model):
    """One order as the pretended exchange keeps it."""

    account_key = models.CharField(_("account key"), max_length=60, editable=False)
    exchange_order_id = models.CharField(_("exchange order id"), max_length=100, unique=True, editable=False)
    client_id = models.CharField(_("client id"), max_length=64, editable=False)
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    side = models.CharField(_("side"), max_length=10, choices=SIDES, editable=False)
    order_type = models.CharField(_("type"), max_length=20, choices=ORDER_TYPES, editable=False)
    amount = MoneyField(_("amount"), null=True, editable=False)
    quote_amount = MoneyField(_("amount in quote"), null=True, editable=False)
    price = MoneyField(_("price"), null=True, editable=False)
    filled_amount = MoneyField(_("filled"), editable=False)
    status = models.CharField(_("status"), max_length=20, editable=False)
    created_at = models.DateTimeField(_("created at"), editable=False)

    class Meta:
        db_table = "venue_orders"
        verbose_name = _("venue order")
        verbose_name_plural = _("venue orders")
        # An exchange refuses a client id it has seen, whatever became of that order.
        constraints = [
            models.UniqueConstraint(fields=["account_key", "client_id"], name="venue_order_client_id_once"),
            *bounded("venue_order", amount="positive", quote_amount="positive", price="positive", filled_amount="not_negative"),
        ]

    def __str__(self) -> str:
        return self.exchange_order_id


class VenueFill(models.Model):
    """One execution as the pretended exchange keeps it."""

    account_key = models.CharField(_("account key"), max_length=60, editable=False)
    exchange_trade_id = models.CharField(_("exchange trade id"), max_length=100, unique=True, editable=False)
    exchange_order_id = models.CharField(_("exchange order id"), max_length=100, editable=False)
    price = MoneyField(_("price"), editable=False)
    amount = MoneyField(_("amount"), editable=False)
    fee = MoneyField(_("fee"), editable=False)
    fee_currency = models.CharField(_("fee currency"), max_length=20, editable=False)
    executed_at = models.DateTimeField(_("executed at"), editable=False)

    class Meta:
        db_table = "venue_fills"
        verbose_name = _("venue fill")
        verbose_name_plural = _("venue fills")
        constraints = [*bounded("venue_fill", price="positive", amount="positive", fee="signed")]
        # The order's fills are read with it, and an account's since a time.
        indexes = [
            models.Index(fields=["exchange_order_id"], name="venue_fills_order"),
            models.Index(fields=["account_key", "executed_at"], name="venue_fills_account_time"),
        ]

    def __str__(self) -> str:
        return self.exchange_trade_id
