"""What protects a position right now: the guardian of ours, or a stop that rests at the exchange. And for how long nothing did."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from dgbot.base.choices import MODES
from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet
from dgbot.core.money import plain


class KeptBy(models.TextChoices):
    """Who sells when the price is reached."""

    LOCAL = "local", _("the guardian")
    EXCHANGE = "exchange", _("the exchange")


class StopState(models.TextChoices):
    """wanted → live → replaced | ended; wanted → failed. Several may be live while a larger one takes the place of a smaller."""

    WANTED = "wanted", pgettext_lazy("stop", "wanted")
    LIVE = "live", pgettext_lazy("stop", "live")
    REPLACED = "replaced", pgettext_lazy("stop", "replaced")
    FAILED = "failed", pgettext_lazy("stop", "failed")
    ENDED = "ended", pgettext_lazy("stop", "ended")


HOLDING = (StopState.WANTED.value, StopState.LIVE.value)


class ProtectiveStop(models.Model):
    """One version of a position's protection. Another trigger or amount is another version; a row keeps what it covered and when."""

    position = models.ForeignKey(
        "trading.Position", models.PROTECT, related_name="protective_stops", editable=False, verbose_name=_("position")
    )
    bot = models.ForeignKey("trading.Bot", models.PROTECT, related_name="+", editable=False, verbose_name=_("bot"))
    account = models.ForeignKey("trading.ExchangeAccount", models.PROTECT, related_name="+", editable=False, verbose_name=_("account"))
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    mode = models.CharField(_("mode"), max_length=10, choices=MODES, editable=False)
    version = models.PositiveIntegerField(_("version"), editable=False)
    kept_by = models.CharField(_("kept by"), max_length=10, choices=KeptBy, editable=False)
    trigger_price = MoneyField(_("trigger"), editable=False, help_text=_("Quote currency."))
    covered_amount = MoneyField(_("covered"), editable=False, help_text=_("Base currency."))
    state = models.CharField(_("state"), max_length=10, choices=StopState, default=StopState.WANTED, editable=False)
    client_id = models.CharField(_("client id"), max_length=31, blank=True, editable=False, help_text=_("Of a stop at the exchange."))
    exchange_stop_id = models.CharField(_("exchange stop id"), max_length=100, blank=True, editable=False)
    asked_at = models.DateTimeField(_("asked at"), null=True, editable=False, help_text=_("Machine time of the request to the exchange."))
    covered_until = models.DateTimeField(
        _("covered until"), null=True, editable=False, help_text=_("Machine time at which it was seen at work last.")
    )
    naked_ms = models.PositiveBigIntegerField(
        _("time without protection"), default=0, editable=False, help_text=_("Milliseconds: before it held, and while nobody looked.")
    )
    error_message = models.TextField(_("error"), blank=True, editable=False)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "protective_stops"
        verbose_name = _("protective stop")
        verbose_name_plural = _("protective stops")
        constraints = [
            models.UniqueConstraint(fields=["position", "version"], name="protective_stop_once_per_version"),
            models.UniqueConstraint(
                fields=["position"], condition=Q(kept_by="local", state="live"), name="protective_stop_one_local_at_a_time"
            ),
            models.UniqueConstraint(fields=["account", "client_id"], condition=~Q(client_id=""), name="protective_stop_client_id_once"),
            models.CheckConstraint(condition=Q(kept_by__in=KeptBy.values), name="protective_stop_keeper_known"),
            models.CheckConstraint(condition=Q(state__in=StopState.values), name="protective_stop_state_known"),
            models.CheckConstraint(
                condition=Q(kept_by="local", client_id="") | Q(kept_by="exchange") & ~Q(client_id=""),
                name="protective_stop_named_at_exchange",
            ),
            models.CheckConstraint(condition=~Q(state="live") | Q(covered_until__isnull=False), name="protective_stop_live_was_seen"),
            *bounded("protective_stop", trigger_price="positive", covered_amount="positive"),
        ]
        # Guardian and gateway look at those that hold every few seconds; ended ones are nearly all rows.
        indexes = [models.Index(fields=["position"], condition=Q(state__in=HOLDING), name="protective_stops_holding")]

    def __str__(self) -> str:
        return f"{self.position_id}/{self.version} {plain(self.covered_amount)} @ {plain(self.trigger_price)}"
