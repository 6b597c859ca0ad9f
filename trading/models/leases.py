"""Leases: who may work on a bot or an account right now, on the database's clock."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Lease(models.Model):
    """One right to work. A new holder raises the epoch, and writes that carry an older one are refused."""

    name = models.CharField(
        _("name"), max_length=60, unique=True, editable=False, help_text=_("What is leased, such as bot:3 or gateway:2.")
    )
    holder = models.CharField(_("holder"), max_length=120, editable=False)
    epoch = models.PositiveBigIntegerField(_("epoch"), default=0, editable=False)
    expires_at = models.DateTimeField(_("expires at"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "leases"
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
