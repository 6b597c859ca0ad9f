"""Orders: our intent, every send of it, and every move of its life."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES, ORDER_TYPES, PURPOSES, SIDES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OfOrderQuerySet, OwnedQuerySet
from dgbot.core.money import LARGEST
from trading.domain.lifecycle import CLOSED_VALUES, MAYBE_SENT, MOVES, Actor, Status
from trading.domain.order_path.values import CancelResult, SendResult

STATUSES = [
    (Status.PLANNED.value, _("planned")),
    (Status.DENIED.value, _("denied")),
    (Status.LAPSED.value, _("lapsed")),
    (Status.SUBMITTING.value, _("submitting")),
    (Status.UNKNOWN.value, _("unknown")),
    (Status.OPEN.value, _("open")),
    (Status.PARTIALLY_FILLED.value, _("partially filled")),
    (Status.CANCELLING.value, _("cancelling")),
    (Status.FILLED.value, _("filled")),
    (Status.CANCELLED.value, _("cancelled")),
    (Status.FAILED.value, _("failed")),
    (Status.EXPIRED.value, _("expired")),
    (Status.ABSENT.value, _("absent")),
    (Status.DISPUTED.value, _("disputed")),
]


def _legal_moves() -> Q:
    condition = Q()
    for before, after, actor in sorted((str(before or ""), after.value, actor.value) for before, after, actor in MOVES):
        condition |= Q(from_status=before, to_status=after, actor=actor)
    return condition


class OrderQuerySet(OwnedQuerySet):
    """Business filters over orders."""

    def unsettled(self) -> "OrderQuerySet":
        """Orders that may still act."""
        return self.exclude(status__in=CLOSED_VALUES)

    def maybe_sent(self) -> "OrderQuerySet":
        """Orders the exchange may have without our knowing."""
        return self.filter(status__in=[status.value for status in MAYBE_SENT])


class Order(models.Model):
    """Committed before the first byte leaves, under a client id fixed for life. created_at is market time and passed in."""

    bot = models.ForeignKey("trading.Bot", models.PROTECT, related_name="orders", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="orders", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    cycle = models.ForeignKey("trading.Cycle", models.PROTECT, null=True, related_name="orders", editable=False, verbose_name=_("cycle"))
    position = models.ForeignKey(
        "trading.Position", models.PROTECT, null=True, related_name="orders", editable=False, verbose_name=_("position")
    )
    decision_key = models.CharField(
        _("decision key"),
        max_length=80,
        editable=False,
        help_text=_("One decision makes one order: slot and leg, or exit, position and version."),
    )
    purpose = models.CharField(_("purpose"), max_length=10, choices=PURPOSES, editable=False)
    exit_reason = models.CharField(_("exit reason"), max_length=30, blank=True, editable=False)
    client_id = models.CharField(
        _("client id"), max_length=31, editable=False, help_text=_("Sent to the exchange; makes a repeat visible.")
    )
    exchange_order_id = models.CharField(  # noqa: DJ001 - unique once known, and many are not known yet
        _("exchange order id"),
        max_length=100,
        null=True,
        db_column="order_id",
        editable=False,
        help_text=_("Empty until the exchange has told it."),
    )
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    side = models.CharField(_("side"), max_length=10, choices=SIDES, editable=False)
    order_type = models.CharField(_("type"), max_length=20, choices=ORDER_TYPES, editable=False)
    price = MoneyField(_("price"), null=True, editable=False, help_text=_("Quote currency; empty for market orders."))
    amount = MoneyField(_("amount"), null=True, editable=False, help_text=_("Base currency; empty when sized in quote currency."))
    quote_amount = MoneyField(_("amount in quote"), null=True, editable=False, help_text=_("Quote currency; market buys."))
    filled_amount = MoneyField(_("filled"), default=0, editable=False, help_text=_("Base currency, the sum of its trades."))
    reduce_only = models.BooleanField(_("reduce only"), default=False, editable=False)
    params_hash = models.CharField(
        _("hash of the parameters"), max_length=64, editable=False, help_text=_("What is sent must hash to this.")
    )
    plan = models.JSONField(
        _("plan"), default=dict, editable=False, help_text=_("What an entry fixes for its position: distances, fractions, strength.")
    )
    status = models.CharField(_("status"), max_length=20, choices=STATUSES, default=Status.PLANNED.value, editable=False)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False, help_text=_("Number of its latest event."))
    error_message = models.TextField(_("error"), blank=True, editable=False)
    lease_epoch = models.PositiveBigIntegerField(_("lease epoch"), editable=False, default=0)
    config_version = models.ForeignKey(
        "trading.ConfigVersion", models.PROTECT, null=True, editable=False, verbose_name=_("settings version")
    )
    valid_until = models.DateTimeField(
        _("valid until"), null=True, editable=False, help_text=_("Machine time; empty when market time is recorded.")
    )
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    created_at = models.DateTimeField(_("created at"), editable=False, help_text=_("Market time."))
    updated_at = models.DateTimeField(_("changed at"), editable=False, help_text=_("Market time."))

    objects = OrderQuerySet.as_manager()

    class Meta:
        db_table = "orders"
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        constraints = [
            models.UniqueConstraint(fields=["bot", "decision_key"], name="order_once_per_decision"),
            models.UniqueConstraint(fields=["account", "client_id"], name="order_client_id_once"),
            models.UniqueConstraint(fields=["account", "exchange_order_id"], name="order_exchange_id_once"),
            # A bot has at most one opening order on its way: a second waits for what became of the first.
            models.UniqueConstraint(
                fields=["bot", "symbol", "side"],
                condition=Q(purpose="entry") & ~Q(status__in=CLOSED_VALUES),
                name="order_one_open_entry",
            ),
            *bounded("order", price="positive", amount="positive", quote_amount="positive", filled_amount="not_negative"),
            models.CheckConstraint(
                # A CHECK lets NULL pass, so presence is tested first.
                condition=Q(amount__isnull=False, amount__gt=0, amount__lt=LARGEST, quote_amount__isnull=True)
                | Q(amount__isnull=True, quote_amount__isnull=False, quote_amount__gt=0, quote_amount__lt=LARGEST),
                name="order_sized_in_base_or_quote",
            ),
            models.CheckConstraint(
                condition=Q(order_type="market", price=None) | Q(order_type="limit", price__isnull=False), name="order_price_fits_type"
            ),
            models.CheckConstraint(condition=Q(purpose="entry") | Q(reduce_only=True), name="order_exit_only_reduces"),
            models.CheckConstraint(condition=Q(status__in=[status.value for status in Status]), name="order_status_known"),
            models.CheckConstraint(condition=Q(side__in=["buy", "sell"]), name="order_side_known"),
            models.CheckConstraint(
                condition=Q(mode="simulated", client_id__regex="^S[A-Z2-7]{30}$")
                | Q(mode="replay", client_id__regex="^R[A-Z2-7]{30}$")
                | Q(mode="paper", client_id__regex="^P[A-Z2-7]{30}$")
                | Q(mode="live", client_id__regex="^L[A-Z2-7]{30}$"),
                name="order_client_id_fits_mode",
            ),
        ]
        indexes = [
            models.Index(fields=["symbol"], name="orders_symbol"),
            models.Index(fields=["status"], name="orders_status"),
            models.Index(fields=["created_at"], name="orders_created_at"),
            models.Index(fields=["symbol", "status", "created_at"], name="orders_symbol_status_created"),
            # Gateway and reconciliation look for unsettled orders every second; settled ones are nearly all rows.
            models.Index(fields=["account", "id"], condition=~Q(status__in=CLOSED_VALUES), name="orders_unsettled"),
            # The list is ordered by time: whatever it is filtered by, its page is the end of one of these.
            models.Index(fields=["user", "created_at"], name="orders_user_created_at"),
            models.Index(fields=["bot", "created_at"], name="orders_bot_created_at"),
            models.Index(fields=["symbol", "created_at"], name="orders_symbol_created_at"),
            models.Index(fields=["status", "created_at"], name="orders_status_created_at"),
            models.Index(fields=["mode", "created_at"], name="orders_mode_created_at"),
            models.Index(fields=["exit_reason", "created_at"], condition=~Q(exit_reason=""), name="orders_exit_reason_created_at"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.side} {self.symbol}"


SEND_RESULTS = [
    (SendResult.CLAIMED.value, _("claimed")),
    (SendResult.NOT_SENT.value, _("not sent")),
    (SendResult.ACKNOWLEDGED.value, _("acknowledged")),
    (SendResult.REJECTED.value, _("rejected")),
    (SendResult.AMBIGUOUS.value, _("ambiguous")),
]
CANCEL_RESULTS = [
    (CancelResult.ACCEPTED.value, _("accepted")),
    (CancelResult.REFUSED.value, _("refused")),
    (CancelResult.AMBIGUOUS.value, _("ambiguous")),
    (CancelResult.POINTLESS.value, _("pointless")),
]


class OrderSend(models.Model):
    """One permission to send, committed before the first byte."""

    order = models.ForeignKey(Order, models.PROTECT, db_column="order_pk", related_name="sends", editable=False, verbose_name=_("order"))
    send_no = models.PositiveSmallIntegerField(_("number"), editable=False)
    gateway = models.CharField(_("gateway"), max_length=120, editable=False)
    gateway_epoch = models.PositiveBigIntegerField(_("gateway epoch"), editable=False)
    permit_until = models.DateTimeField(_("permit until"), editable=False, help_text=_("Machine time; nothing is written after it."))
    result = models.CharField(_("result"), max_length=12, choices=SEND_RESULTS, default=SendResult.CLAIMED.value, editable=False)
    answer = models.JSONField(_("answer"), default=dict, editable=False)
    claimed_at = models.DateTimeField(_("claimed at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OfOrderQuerySet.as_manager()

    class Meta:
        db_table = "order_sends"
        verbose_name = _("order send")
        verbose_name_plural = _("order sends")
        constraints = [
            models.UniqueConstraint(fields=["order", "send_no"], name="order_send_number_once"),
            models.CheckConstraint(condition=Q(send_no__gte=1, send_no__lte=5), name="order_send_number_in_range"),
            models.CheckConstraint(condition=Q(result__in=[result.value for result in SendResult]), name="order_send_result_known"),
        ]
        # The kill switch's rules count the sends of the last minute.
        indexes = [models.Index(fields=["claimed_at"], name="order_sends_claimed_at")]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.send_no} {self.result}"


class OrderEvent(models.Model):
    """One move of an order, with who made it and on what evidence. Append-only."""

    order = models.ForeignKey(Order, models.PROTECT, db_column="order_pk", related_name="events", editable=False, verbose_name=_("order"))
    seq = models.PositiveIntegerField(_("number"), editable=False, help_text=_("1, 2, 3 … without a gap."))
    from_status = models.CharField(_("from"), max_length=20, choices=[("", "—"), *STATUSES], blank=True, editable=False)
    to_status = models.CharField(_("to"), max_length=20, choices=STATUSES, editable=False)
    actor = models.CharField(_("by"), max_length=12, choices=[(actor.value, actor.value) for actor in Actor], editable=False)
    evidence = models.JSONField(_("evidence"), default=dict, editable=False)
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OfOrderQuerySet.as_manager()

    class Meta:
        db_table = "order_events"
        verbose_name = _("order event")
        verbose_name_plural = _("order events")
        constraints = [
            models.UniqueConstraint(fields=["order", "seq"], name="order_event_number_once"),
            models.CheckConstraint(condition=_legal_moves(), name="order_event_legal_move"),
        ]
        indexes = [
            # The kill switch's rules count doubtful orders and those that came back; nearly all events are neither.
            models.Index(
                fields=["recorded_at"],
                condition=Q(to_status="unknown") | Q(from_status__in=["absent", "expired", "failed"]),
                name="order_events_alarming",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.seq} {self.to_status}"


class CancelCommand(models.Model):
    """One wish to cancel an order, committed before the exchange is told. Sending it again is safe."""

    order = models.ForeignKey(
        Order, models.PROTECT, db_column="order_pk", related_name="cancel_commands", editable=False, verbose_name=_("order")
    )
    n = models.PositiveSmallIntegerField(_("number"), editable=False, help_text=_("1, 2, 3 … of its order."))
    reason = models.CharField(_("reason"), max_length=255, editable=False)
    sent_at = models.DateTimeField(_("sent at"), null=True, editable=False, help_text=_("Machine time; empty while nothing was sent."))
    result = models.CharField(_("result"), max_length=12, choices=CANCEL_RESULTS, blank=True, editable=False)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "cancel_commands"
        verbose_name = _("cancel command")
        verbose_name_plural = _("cancel commands")
        constraints = [
            models.UniqueConstraint(fields=["order", "n"], name="cancel_command_number_once"),
            models.CheckConstraint(condition=Q(n__gte=1, n__lte=100), name="cancel_command_number_in_range"),
            models.CheckConstraint(condition=Q(result__in=["", *[result.value for result in CancelResult]]), name="cancel_result_known"),
            # A result without a sending is only "pointless".
            models.CheckConstraint(condition=Q(sent_at__isnull=False) | Q(result__in=["", "pointless"]), name="cancel_result_after_send"),
            models.UniqueConstraint(fields=["order"], condition=Q(sent_at=None, result=""), name="cancel_command_one_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.n} {self.result}"


class OrderInquiry(models.Model):
    """How often the exchange was asked about an order in vain; what an absence is proven by. See `order_path.absence`."""

    order = models.OneToOneField(
        Order, models.CASCADE, primary_key=True, db_column="order_pk", related_name="inquiry", editable=False, verbose_name=_("order")
    )
    since = models.DateTimeField(_("unclear since"), editable=False, help_text=_("Machine time."))
    next_ask_at = models.DateTimeField(_("asked again at"), editable=False, help_text=_("Machine time."))
    rounds = models.PositiveIntegerField(_("rounds"), default=0, editable=False, help_text=_("Void ones included."))
    negatives = models.PositiveIntegerField(_("rounds that found nothing"), default=0, editable=False)
    proofs = models.PositiveIntegerField(
        _("proofs"), default=0, editable=False, help_text=_("Rounds that found nothing when nothing could be on its way.")
    )
    first_proof_at = models.DateTimeField(_("first proof"), null=True, editable=False, help_text=_("Machine time."))
    last_proof_at = models.DateTimeField(_("last proof"), null=True, editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "order_inquiries"
        verbose_name = _("inquiry about an order")
        verbose_name_plural = _("inquiries about orders")
        constraints = [
            models.CheckConstraint(
                condition=Q(proofs=0, first_proof_at=None, last_proof_at=None)
                | Q(proofs__gte=1, first_proof_at__isnull=False, last_proof_at__isnull=False, proofs__lte=F("negatives")),
                name="inquiry_proofs_have_their_times",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.proofs} of {self.rounds}"
