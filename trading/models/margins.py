"""How the exchange has confirmed that a symbol's derivatives are traded."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import MoneyField, bounded
from dgbot.core.money import plain


class MarginSetting(models.Model):
    """Leverage of one symbol in one account as the exchange last confirmed it, isolated and one-way; empty while it does not."""

    account = models.ForeignKey(
        "trading.ExchangeAccount", models.CASCADE, editable=False, related_name="margins", verbose_name=_("account")
    )
    symbol = models.CharField(_("symbol"), max_length=30, editable=False)
    leverage = MoneyField(_("leverage"), null=True, editable=False, help_text=_("Empty: not confirmed."))
    cause = models.TextField(_("cause"), blank=True, editable=False, help_text=_("Why it is not confirmed."))
    asked_at = models.DateTimeField(_("asked at"), editable=False, help_text=_("Machine time; an old answer says nothing any more."))

    class Meta:
        db_table = "margin_settings"
        verbose_name = _("margin setting")
        verbose_name_plural = _("margin settings")
        constraints = [
            models.UniqueConstraint(fields=["account", "symbol"], name="margin_setting_once_per_symbol"),
            models.CheckConstraint(
                condition=models.Q(leverage__isnull=False, cause="") | models.Q(leverage=None) & ~models.Q(cause=""),
                name="margin_setting_unknown_has_a_cause",
            ),
            *bounded("margin_setting", leverage="positive"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {'?' if self.leverage is None else plain(self.leverage)}×"
