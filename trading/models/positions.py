"""Positions: the fold over a bot's trades, with the exits frozen at entry."""

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet


class PositionQuerySet(OwnedQuerySet):
    """Business filters over positions."""

    def open(self) -> "PositionQuerySet":
        """Positions that hold something."""
        return self.filter(closed_at=None)


class Position(models.Model):
    """One stay in a market. Sums come from its trades alone; stop and target never move once set."""

    bot = models.ForeignKey("trading.Bot", models.PROTECT, related_name="positions", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey(
        "trading.ExchangeAccount", models.PROTECT, related_name="positions", editable=False, verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    amount = MoneyField(_("amount"), default=0, editable=False, help_text=_("Base currency held now."))
    bought_amount = MoneyField(_("bought"), default=0, editable=False, help_text=_("Base currency, all entries."))
    bought_total = MoneyField(_("paid"), default=0, editable=False, help_text=_("Quote currency, without fees."))
    sold_total = MoneyField(_("received"), default=0, editable=False, help_text=_("Quote currency, without fees."))
    fees = MoneyField(_("fees"), default=0, editable=False, help_text=_("Quote currency, both sides."))
    stop_price = MoneyField(_("stop"), null=True, editable=False, help_text=_("Quote currency, frozen at entry."))
    target_price = MoneyField(_("target"), null=True, editable=False, help_text=_("Quote currency, frozen at entry."))
    plan = models.JSONField(
        _("plan"), default=dict, editable=False, help_text=_("Distances, fractions and strength of the entry's signal bar.")
    )
    exit_version = models.PositiveIntegerField(
        _("exit version"), default=1, editable=False, help_text=_("One exit order per version; grows when an exit ended without closing.")
    )
    exit_reason = models.CharField(_("exit reason"), max_length=30, blank=True, editable=False)
    opened_at = models.DateTimeField(_("opened at"), editable=False, help_text=_("Market time of the first fill."))
    closed_at = models.DateTimeField(_("closed at"), null=True, editable=False, help_text=_("Market time of the last fill."))

    objects = PositionQuerySet.as_manager()

    class Meta:
        db_table = "positions"
        verbose_name = _("position")
        verbose_name_plural = _("positions")
        constraints = [
            models.UniqueConstraint(fields=["bot", "symbol"], condition=Q(closed_at=None), name="position_one_open_per_bot"),
            *bounded(
                "position",
                amount="not_negative",
                bought_amount="not_negative",
                bought_total="not_negative",
                sold_total="not_negative",
                fees="signed",
                stop_price="positive",
                target_price="positive",
            ),
            models.CheckConstraint(condition=Q(closed_at=None) | Q(amount=0), name="position_closed_is_empty"),
        ]
        indexes = [
            # Guardian and gateway ask for open positions all the time; closed ones are nearly all rows.
            models.Index(fields=["account"], condition=Q(closed_at=None), name="positions_open"),
            models.Index(fields=["bot", "-opened_at"], name="positions_bot_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.symbol}"

    @property
    def is_open(self) -> bool:
        """Whether it may still hold something."""
        return self.closed_at is None

    @property
    def entry_price(self) -> Decimal | None:
        """Mean price of the entries, quote currency; None before the first fill."""
        return self.bought_total / self.bought_amount if self.bought_amount else None

    @property
    def realised_profit(self) -> Decimal | None:
        """Quote currency, fees included; None while the position is open."""
        return None if self.is_open else self.sold_total - self.bought_total - self.fees
