"""What other currencies are worth in KRW, as a market told it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import MoneyField, bounded
from dgbot.core.money import plain


class KrwRate(models.Model):
    """The newest rate of one currency. Its age decides whether anybody may rely on it."""

    currency = models.CharField(_("currency"), max_length=10, unique=True, editable=False)
    krw_per_unit = MoneyField(_("KRW for one unit"), editable=False, help_text=_("Last price of its market in KRW."))
    source = models.CharField(_("source"), max_length=40, editable=False, help_text=_("Exchange and market."))
    known_at = models.DateTimeField(_("known at"), editable=False, help_text=_("Market time of the exchange's answer."))
    recorded_at = models.DateTimeField(_("recorded at"), editable=False, help_text=_("Machine time of the question."))

    class Meta:
        db_table = "krw_rates"
        verbose_name = _("rate in KRW")
        verbose_name_plural = _("rates in KRW")
        constraints = [*bounded("krw_rate", krw_per_unit="positive")]

    def __str__(self) -> str:
        return f"{plain(self.krw_per_unit)} KRW/{self.currency}"
