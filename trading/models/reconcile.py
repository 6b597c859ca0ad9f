"""What comparing our books with the exchange has shown: runs, differences that block entries, others' orders, how far was read."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import SIDES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OfAccountQuerySet
from trading.domain.reconcile import Scope, Verdict

SCOPES = [
    (Scope.ORDERS.value, _("orders")),
    (Scope.FILLS.value, _("orders and executions")),
    (Scope.BALANCES.value, _("orders, executions and balances")),
    (Scope.FULL.value, _("everything of the last week")),
]
VERDICTS = [
    (Verdict.VOID.value, _("void")),
    (Verdict.UNSTABLE.value, _("unstable")),
    (Verdict.READ.value, _("read")),
    (Verdict.STABLE.value, _("stable")),
]


class BreakKind(models.TextChoices):
    """Why entries of an account wait for a person."""

    DIFFERENCE = "difference", _("balance differs")
    LOST_ORDER = "lost_order", _("order without a row")


class Stream(models.TextChoices):
    """What a watermark tells of."""

    FILLS = "fills", _("orders and executions")
    FLOWS = "flows", _("payments")


def _account(related_name: str) -> Any:
    return models.ForeignKey(
        "trading.ExchangeAccount", models.PROTECT, related_name=related_name, editable=False, verbose_name=_("account")
    )


class ReconcileRun(models.Model):
    """One run over one account. Runs that found nothing are thinned out after a day."""

    account = _account("reconcile_runs")
    scope = models.PositiveSmallIntegerField(_("scope"), choices=SCOPES, editable=False)
    verdict = models.CharField(_("verdict"), max_length=10, choices=VERDICTS, editable=False)
    gateway_epoch = models.PositiveBigIntegerField(_("gateway epoch"), editable=False)
    cause = models.TextField(_("cause"), blank=True, editable=False, help_text=_("Of a void or unstable run."))
    booked = models.JSONField(_("booked"), default=dict, editable=False, help_text=_("How many orders, executions and payments were news."))
    differences = models.JSONField(_("differences"), default=list, editable=False)
    duration_ms = models.PositiveIntegerField(_("took"), editable=False, help_text=_("Milliseconds."))
    market_at = models.DateTimeField(_("market time"), null=True, editable=False, help_text=_("When the reading began."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "reconcile_runs"
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        constraints = [
            models.CheckConstraint(condition=Q(scope__in=[scope.value for scope in Scope]), name="reconcile_run_scope_known"),
            models.CheckConstraint(condition=Q(verdict__in=[verdict.value for verdict in Verdict]), name="reconcile_run_verdict_known"),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="reconcile_runs_newest")]

    def __str__(self) -> str:
        return f"{self.pk} {self.get_verdict_display()}"


class ReconcileBreak(models.Model):
    """Something that does not fit. It blocks entries from `confirmed_at` on, until it is over or an operator says why it may be."""

    account = _account("breaks")
    kind = models.CharField(_("what"), max_length=12, choices=BreakKind, editable=False)
    subject = models.CharField(_("subject"), max_length=100, editable=False, help_text=_("An asset, or the exchange's order id."))
    told = MoneyField(_("exchange"), null=True, editable=False, help_text=_("Units of the asset, as the exchange tells."))
    booked = MoneyField(_("books"), null=True, editable=False, help_text=_("Units of the asset, as the ledger says."))
    detail = models.CharField(_("detail"), max_length=255, blank=True, editable=False)
    first_seen_at = models.DateTimeField(_("first seen"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    confirmed_at = models.DateTimeField(
        _("blocks since"), null=True, editable=False, help_text=_("Machine time; empty while one run saw it.")
    )
    over_at = models.DateTimeField(_("over since"), null=True, editable=False, help_text=_("Machine time."))
    over_by = models.CharField(_("ended by"), max_length=150, blank=True, editable=False)
    over_reason = models.CharField(_("why it is over"), max_length=255, blank=True, editable=False)

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "reconcile_breaks"
        verbose_name = _("difference to the exchange")
        verbose_name_plural = _("differences to the exchange")
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "subject"], condition=Q(over_at=None), name="reconcile_break_once_open"),
            models.CheckConstraint(condition=Q(kind__in=BreakKind.values), name="reconcile_break_kind_known"),
            models.CheckConstraint(
                condition=Q(confirmed_at=None) | Q(confirmed_at__gte=F("first_seen_at")), name="reconcile_break_confirmed_later"
            ),
            *bounded("reconcile_break", told="signed", booked="signed"),
        ]
        # Every claim of an entry looks for an open one.
        indexes = [models.Index(fields=["account"], condition=Q(over_at=None), name="reconcile_breaks_open")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"


class ExternalOrder(models.Model):
    """An order in our account that is not ours: watched until it ends, booked as the account's, never cancelled."""

    account = _account("external_orders")
    exchange_order_id = models.CharField(_("exchange order id"), max_length=100, db_column="order_id", editable=False)
    client_id = models.CharField(_("client id"), max_length=128, blank=True, editable=False)
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    side = models.CharField(_("side"), max_length=10, choices=SIDES, editable=False)
    status = models.CharField(_("status"), max_length=20, editable=False)
    is_resting = models.BooleanField(_("may still fill"), editable=False)
    filled_amount = MoneyField(_("filled"), editable=False, help_text=_("Base currency."))
    created_at = models.DateTimeField(_("created at"), editable=False, help_text=_("Market time."))
    recorded_at = models.DateTimeField(_("first seen"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "external_orders"
        verbose_name = _("order by somebody else")
        verbose_name_plural = _("orders by somebody else")
        constraints = [
            models.UniqueConstraint(fields=["account", "exchange_order_id"], name="external_order_once"),
            *bounded("external_order", filled_amount="not_negative"),
        ]
        indexes = [models.Index(fields=["account"], condition=Q(is_resting=True), name="external_orders_resting")]

    def __str__(self) -> str:
        return f"{self.side} {self.symbol} {self.exchange_order_id}"


class Watermark(models.Model):
    """How far an account has been read: everything before it is in our books. It moves in the transaction that books the last of it."""

    account = _account("watermarks")
    stream = models.CharField(_("stream"), max_length=10, choices=Stream, editable=False)
    read_until = models.DateTimeField(_("read until"), editable=False, help_text=_("Market time."))

    class Meta:
        db_table = "watermarks"
        verbose_name = _("watermark")
        verbose_name_plural = _("watermarks")
        constraints = [
            models.UniqueConstraint(fields=["account", "stream"], name="watermark_once_per_stream"),
            models.CheckConstraint(condition=Q(stream__in=Stream.values), name="watermark_stream_known"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.read_until:%Y-%m-%d %H:%M:%S}"
