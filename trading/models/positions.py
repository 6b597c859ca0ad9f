"""Positions: the fold over a bot's trades, with the exits frozen at entry."""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.fields import MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from risk.domain.trailing import MOST_LEVELS


class PositionQuerySet(OwnedQuerySet):
    """Business filters over positions."""

    def open(self) -> "PositionQuerySet":
        """Positions that hold something."""
        return self.filter(closed_at=None)


class Position(models.Model):
    """One stay in a market. Sums come from its trades alone; stop and target never move once set, and only a trailing stop may rise."""

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
    high_water = MoneyField(
        _("highest price"),
        null=True,
        editable=False,
        help_text=_("Quote currency, since entry, as the trailing stop has seen it at closes."),
    )
    trailing_stop_price = MoneyField(
        _("trailing stop"), null=True, editable=False, help_text=_("Quote currency; it only rises. Empty: the stop of the entry holds.")
    )
    levels_taken = models.PositiveSmallIntegerField(
        _("partial levels taken"),
        default=0,
        editable=False,
        help_text=_("Levels that sold, or were too small to; none fires twice."),
    )
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
                high_water="positive",
                trailing_stop_price="positive",
            ),
            models.CheckConstraint(condition=Q(levels_taken__lte=MOST_LEVELS), name="position_levels_taken_in_range"),
            # A CHECK lets NULL pass, so a trailing stop without a stop below it is refused by name.
            models.CheckConstraint(
                condition=Q(trailing_stop_price=None) | Q(stop_price__isnull=False, trailing_stop_price__gt=F("stop_price")),
                name="position_trailing_stop_is_nearer",
            ),
            models.CheckConstraint(condition=Q(closed_at=None) | Q(amount=0), name="position_closed_is_empty"),
        ]
        indexes = [
            # Guardian and gateway ask for open positions all the time; closed ones are nearly all rows.
            models.Index(fields=["account"], condition=Q(closed_at=None), name="positions_open"),
            models.Index(fields=["bot", "-opened_at"], name="positions_bot_newest"),
            # The list is ordered by the opening, the results by the close.
            models.Index(fields=["opened_at"], name="positions_opened_at"),
            models.Index(fields=["user", "opened_at"], name="positions_user_opened_at"),
            models.Index(fields=["user", "closed_at"], name="positions_user_closed_at"),
            models.Index(fields=["bot", "closed_at"], name="positions_bot_closed_at"),
            models.Index(fields=["closed_at"], condition=Q(closed_at__isnull=False), name="positions_closed_at"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.symbol}"

    @property
    def is_open(self) -> bool:
        """Whether it may still hold something."""
        return self.closed_at is None

    @property
    def current_stop(self) -> Decimal | None:
        """Where it is sold at a loss or with what the trailing stop kept, quote currency; None before the first fill."""
        return self.stop_price if self.trailing_stop_price is None else self.trailing_stop_price

    @property
    def entry_price(self) -> Decimal | None:
        """Mean price of the entries, quote currency; None before the first fill."""
        return self.bought_total / self.bought_amount if self.bought_amount else None

    @property
    def realised_profit(self) -> Decimal | None:
        """Quote currency, fees included; None while the position is open."""
        return None if self.is_open else self.sold_total - self.bought_total - self.fees
