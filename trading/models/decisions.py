"""Decisions: what the analyst answered, once per cycle, with all it saw."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.querysets import OwnedQuerySet
from trading.domain.stages import DecisionKind

DECISIONS = [
    (DecisionKind.BUY.value, _("buy")),
    (DecisionKind.SELL.value, _("sell")),
    (DecisionKind.HOLD.value, _("hold")),
    (DecisionKind.ABSTAIN.value, _("abstain")),
]


class Decision(models.Model):
    """Append-only and chained by hash per bot. `market_data` is what the answer was based on."""

    cycle = models.OneToOneField("trading.Cycle", models.CASCADE, related_name="decision", editable=False, verbose_name=_("cycle"))
    bot = models.ForeignKey("trading.Bot", models.PROTECT, related_name="decisions", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="+", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    decision = models.CharField(_("decision"), max_length=20, choices=DECISIONS, editable=False)
    confidence = models.DecimalField(
        _("confidence"),
        max_digits=5,
        decimal_places=2,
        null=True,
        editable=False,
        help_text=_("100 × the probability stated; empty for the rules."),
    )
    reason = models.TextField(_("reason"), editable=False)
    market_data = models.JSONField(_("market data"), editable=False)
    analyst = models.CharField(_("analyst"), max_length=40, editable=False)
    inputs = models.JSONField(
        _("inputs"), default=dict, editable=False, help_text=_("What the decision can be made again from, beside the candles.")
    )
    proposal = models.JSONField(_("proposal"), default=dict, editable=False, help_text=_("What the rules proposed, with its distances."))
    verdict = models.JSONField(_("verdict"), default=dict, editable=False, help_text=_("What the validator said, rule by rule."))
    call = models.OneToOneField(
        "trading.AnalystCall",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="decision",
        verbose_name=_("analyst call"),
        help_text=_("Empty when no model was asked."),
    )
    answer = models.JSONField(
        _("answer"), null=True, editable=False, help_text=_("The model's answer as it was understood; empty without.")
    )
    anchor_at = models.DateTimeField(_("candles start at"), editable=False, null=True, help_text=_("Open time of the first candle used."))
    candle_count = models.PositiveIntegerField(_("candles"), editable=False, default=0)
    candles_hash = models.CharField(
        _("hash of the candles"), max_length=64, editable=False, blank=True, help_text=_("Chained from the anchor on.")
    )
    previous_hash = models.CharField(_("previous hash"), max_length=64, editable=False, blank=True)
    hash = models.CharField(_("hash"), max_length=64, editable=False)
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "ai_decisions"
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        constraints = [
            models.CheckConstraint(condition=Q(decision__in=[kind for kind, _label in DECISIONS]), name="decision_known"),
            models.CheckConstraint(
                condition=Q(confidence=None) | Q(confidence__gte=0, confidence__lte=100), name="decision_confidence_in_range"
            ),
        ]
        indexes = [
            models.Index(fields=["symbol"], name="ai_decisions_symbol"),
            models.Index(fields=["decision"], name="ai_decisions_decision"),
            models.Index(fields=["created_at"], name="ai_decisions_created_at"),
            models.Index(fields=["symbol", "decision", "created_at"], name="ai_decisions_symbol_decision"),
            GinIndex(fields=["market_data"], name="ai_decisions_market_data"),
            # The next decision of a bot links to its last one.
            models.Index(fields=["bot", "-id"], name="ai_decisions_bot_newest"),
            # The list is ordered by time: whatever it is filtered by, its page is the end of one of these.
            models.Index(fields=["user", "created_at"], name="ai_decisions_user_time"),
            models.Index(fields=["bot", "created_at"], name="ai_decisions_bot_time"),
            models.Index(fields=["symbol", "created_at"], name="ai_decisions_symbol_time"),
            models.Index(fields=["decision", "created_at"], name="ai_decisions_decision_time"),
            models.Index(fields=["analyst", "created_at"], name="ai_decisions_analyst_time"),
            models.Index(fields=["mode", "created_at"], name="ai_decisions_mode_time"),
            # The search box reads reasons by their words, see `selectors.searching`.
            GinIndex(SearchVector("reason", config="simple"), name="ai_decisions_reason_words"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.decision}"
