"""The clock and seed of simulated markets: one row, from which every process computes the same time and prices."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class SimulatedMarket(models.Model):
    """Market time = origin + elapsed + speed × machine time since the last checkpoint.

    The time since the checkpoint counts only up to a few seconds, so the clock stands while the platform does.
    """

    name = models.CharField(_("name"), max_length=60, unique=True)
    seed = models.PositiveIntegerField(_("seed"), default=1)
    origin = models.DateTimeField(_("origin"), help_text=_("Market time of the first slot."))
    elapsed = models.DurationField(_("elapsed"), editable=False, help_text=_("Market time passed since the origin at the checkpoint."))
    speed = models.DecimalField(
        _("speed"), max_digits=10, decimal_places=2, help_text=_("Market seconds per machine second; 3600 is one hour a second.")
    )
    checkpoint_at = models.DateTimeField(_("checkpoint at"), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "simulated_markets"
        verbose_name = _("simulated market")
        verbose_name_plural = _("simulated markets")
        constraints = [models.CheckConstraint(condition=Q(speed__gt=0, speed__lte=100_000), name="simulated_market_speed_in_range")]

    def __str__(self) -> str:
        return self.name
