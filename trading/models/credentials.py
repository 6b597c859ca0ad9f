"""Keys of accounts, sealed: what lies here can be opened by the gateway alone."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class KeyStatus(models.TextChoices):
    """What is known of a key. Only a verified one opens positions.

    unverified ──check──→ verified ──an order refused for its key──→ doubted ──check──→ verified
                      └─→ refused, expired
    """

    UNVERIFIED = "unverified", _("unverified")  # the gateway has not asked the exchange yet
    VERIFIED = "verified", _("verified")
    DOUBTED = "doubted", _("doubted")  # it was good, and the exchange refused an order for it: exits are tried, entries wait for a check
    REFUSED = "refused", _("refused")  # by the exchange, or by us: it may withdraw
    EXPIRED = "expired", _("expired")


class Credential(models.Model):
    """The key of one account. `sealed` holds all its parts in a box that only the private key opens."""

    account = models.OneToOneField(
        "trading.ExchangeAccount", models.PROTECT, editable=False, related_name="credential", verbose_name=_("account")
    )
    sealed = models.BinaryField(_("sealed key"), editable=False)
    sealed_with = models.CharField(_("sealed with"), max_length=16, editable=False, help_text=_("Which public key sealed it."))
    shown = models.CharField(_("key"), max_length=20, editable=False, help_text=_("Its last four characters."))
    status = models.CharField(_("status"), max_length=10, choices=KeyStatus, default=KeyStatus.UNVERIFIED, editable=False)
    cause = models.TextField(_("cause"), blank=True, editable=False)
    can_read = models.BooleanField(_("may read"), null=True, editable=False, help_text=_("Empty: the exchange does not tell."))
    can_trade = models.BooleanField(_("may trade"), null=True, editable=False, help_text=_("Empty: the exchange does not tell."))
    can_withdraw = models.BooleanField(_("may withdraw"), null=True, editable=False, help_text=_("Empty: the exchange does not tell."))
    is_ip_locked = models.BooleanField(
        _("bound to addresses"), null=True, editable=False, help_text=_("Empty: the exchange does not tell.")
    )
    expires_at = models.DateTimeField(_("expires at"), null=True, editable=False)
    sealed_at = models.DateTimeField(_("entered at"), editable=False, help_text=_("Machine time."))
    checked_at = models.DateTimeField(_("checked at"), null=True, editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "credentials"
        verbose_name = _("key")
        verbose_name_plural = _("keys")
        constraints = [
            models.CheckConstraint(condition=Q(status__in=KeyStatus.values), name="credential_status_known"),
            models.CheckConstraint(
                condition=~Q(status="verified") | Q(can_withdraw=None) | Q(can_withdraw=False), name="credential_verified_cannot_withdraw"
            ),
            models.CheckConstraint(condition=Q(status="unverified") | Q(checked_at__isnull=False), name="credential_judged_after_a_check"),
        ]

    def __str__(self) -> str:
        return self.shown
