"""Portfolio snapshots: what an account was worth at an instant."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.choices import MODES
from dgbot.base.querysets import OwnedQuerySet


class PortfolioSnapshot(models.Model):
    """Equity of one account. A value that could not be told is empty, and `cause` says why."""

    account = models.ForeignKey(
        "trading.ExchangeAccount", models.CASCADE, related_name="snapshots", editable=False, verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    total_value_krw = models.DecimalField(_("value in KRW"), max_digits=20, decimal_places=2, null=True, editable=False)
    total_value_usd = models.DecimalField(_("value in USD"), max_digits=20, decimal_places=2, null=True, editable=False)
    positions = models.JSONField(
        _("positions"),
        editable=False,
        help_text=_('{"KRW-BTC": {"amount", "value_krw", "profit_rate"}, "KRW": {"amount"}}; decimals as text.'),
    )
    cause = models.TextField(_("cause"), blank=True, editable=False, help_text=_("Why a value is unknown."))
    created_at = models.DateTimeField(_("at"), editable=False, help_text=_("Market time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "portfolio_snapshots"
        verbose_name = _("portfolio snapshot")
        verbose_name_plural = _("portfolio snapshots")
        constraints = [
            models.UniqueConstraint(fields=["account", "created_at"], name="snapshot_once_per_instant"),
            models.CheckConstraint(
                condition=~Q(cause="") | Q(total_value_krw__isnull=False, total_value_usd__isnull=False),
                name="snapshot_unknown_has_a_cause",
            ),
            # 10^18 is what NUMERIC(20,2) can hold; the bound refuses NaN.
            models.CheckConstraint(
                condition=Q(total_value_krw=None) | Q(total_value_krw__gt=-(10**18), total_value_krw__lt=10**18),
                name="snapshot_total_value_krw_signed",
            ),
            models.CheckConstraint(
                condition=Q(total_value_usd=None) | Q(total_value_usd__gt=-(10**18), total_value_usd__lt=10**18),
                name="snapshot_total_value_usd_signed",
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="snapshots_created_at_desc")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.created_at:%Y-%m-%d %H:%M}"
