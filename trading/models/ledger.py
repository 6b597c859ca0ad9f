"""The ledger: every change of what an account holds, in double entry. Nothing here is ever changed."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from dgbot.core.money import plain
from trading.domain.ledger import Book, Source

SOURCES = [
    (Source.TRADE.value, _("trade")),
    (Source.EXTERNAL.value, _("trade by somebody else")),
    (Source.LIQUIDATION.value, _("liquidation")),
    (Source.DEPOSIT.value, _("deposit")),
    (Source.WITHDRAWAL.value, _("withdrawal")),
    (Source.FUNDING.value, _("funding")),
    (Source.OTHER.value, _("other payment")),
    (Source.ADJUSTMENT.value, _("adjustment")),
    (Source.OPENING.value, _("opening balance")),
]
BOOKS = [
    (Book.HELD.value, pgettext_lazy("ledger", "held")),
    (Book.MARKET.value, pgettext_lazy("ledger", "market")),
    (Book.FEES.value, _("fees")),
    (Book.FUNDING.value, _("funding")),
    (Book.OUTSIDE.value, pgettext_lazy("ledger", "outside")),
    (Book.ADJUSTMENTS.value, _("adjustments")),
]


class LedgerEntry(models.Model):
    """One leg. The legs of one source sum to zero in each asset, which PostgreSQL checks when the transaction ends."""

    account = models.ForeignKey(
        "trading.ExchangeAccount", models.PROTECT, related_name="ledger_entries", editable=False, verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    bot = models.ForeignKey("trading.Bot", models.PROTECT, null=True, related_name="ledger_entries", editable=False, verbose_name=_("bot"))
    position = models.ForeignKey(
        "trading.Position", models.PROTECT, null=True, related_name="ledger_entries", editable=False, verbose_name=_("position")
    )
    symbol = models.CharField(_("symbol"), max_length=30, blank=True, editable=False)
    source_kind = models.CharField(_("source"), max_length=12, choices=SOURCES, editable=False)
    source_id = models.CharField(_("source id"), max_length=120, editable=False, help_text=_("The exchange's id of the fill or payment."))
    leg = models.PositiveSmallIntegerField(_("leg"), editable=False)
    book = models.CharField(_("book"), max_length=12, choices=BOOKS, editable=False)
    asset = models.CharField(_("asset"), max_length=20, editable=False)
    amount = MoneyField(_("amount"), editable=False, help_text=_("Units of the asset; negative when it left the book."))
    note = models.CharField(_("note"), max_length=255, blank=True, editable=False)
    entered_by = models.CharField(_("entered by"), max_length=150, blank=True, editable=False, help_text=_("Of an adjustment."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "ledger_entries"
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        constraints = [
            models.UniqueConstraint(fields=["account", "source_kind", "source_id", "leg"], name="ledger_entry_once_per_leg"),
            models.CheckConstraint(condition=Q(source_kind__in=[source.value for source in Source]), name="ledger_entry_source_known"),
            models.CheckConstraint(condition=Q(book__in=[book.value for book in Book]), name="ledger_entry_book_known"),
            models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_moves_something"),
            models.CheckConstraint(
                condition=~Q(source_kind="adjustment") | ~Q(note="") & ~Q(entered_by=""), name="ledger_entry_adjustment_says_why"
            ),
            # Composite keys skip a row with a NULL among them: without its bot an entry could point at anybody's position.
            models.CheckConstraint(condition=Q(position=None) | Q(bot__isnull=False), name="ledger_entry_position_names_its_bot"),
            *bounded("ledger_entry", amount="signed"),
        ]
        indexes = [
            # What an account holds is summed at every reconciliation; a bot's profit by period.
            models.Index(fields=["account", "asset"], include=["amount"], condition=Q(book="held"), name="ledger_entries_held"),
            models.Index(fields=["account", "created_at"], name="ledger_entries_account_time"),
        ]

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.asset} {self.get_book_display()}"
