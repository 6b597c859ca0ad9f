"""What people ask the gateway to do: rows, so that nothing asked is lost and nothing is done twice."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OfAccountQuerySet


class CommandKind(models.TextChoices):
    """What can be asked."""

    CHECK_KEY = "check_key", _("check the key")
    ADOPT = "adopt", _("adopt a holding")
    RECONCILE = "reconcile", _("compare with the exchange")


class CommandState(models.TextChoices):
    """pending → taken → done | failed. A command that was taken by a gateway that died is failed, never taken again."""

    PENDING = "pending", _("pending")
    TAKEN = "taken", _("taken")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


ENDED = (CommandState.DONE.value, CommandState.FAILED.value)


class Command(models.Model):
    """One wish and its answer. A command that waited past `valid_until` is not carried out any more."""

    kind = models.CharField(_("what"), max_length=20, choices=CommandKind, editable=False)
    account = models.ForeignKey(
        "trading.ExchangeAccount", models.PROTECT, editable=False, related_name="commands", verbose_name=_("account")
    )
    user = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, verbose_name=_("asked by"), related_name="+")
    asked_by = models.CharField(_("asked by"), max_length=150, editable=False, help_text=_("Name of the user or process."))
    payload = models.JSONField(_("details"), default=dict, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=CommandState, default=CommandState.PENDING, editable=False)
    answer = models.JSONField(_("answer"), default=dict, editable=False)
    error_message = models.TextField(_("error"), blank=True, editable=False)
    created_at = models.DateTimeField(_("asked at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    valid_until = models.DateTimeField(_("valid until"), editable=False, help_text=_("Machine time."))
    taken_at = models.DateTimeField(_("taken at"), null=True, editable=False, help_text=_("Machine time."))
    taken_by = models.CharField(_("taken by"), max_length=120, blank=True, editable=False)
    taken_epoch = models.PositiveBigIntegerField(_("epoch"), null=True, editable=False, help_text=_("Of the gateway's lease."))
    finished_at = models.DateTimeField(_("answered at"), null=True, editable=False, help_text=_("Machine time."))

    objects = OfAccountQuerySet.as_manager()

    class Meta:
        db_table = "commands"
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=CommandKind.values), name="command_kind_known"),
            models.CheckConstraint(
                condition=Q(state="pending", taken_at=None, finished_at=None)
                | Q(state="taken", taken_at__isnull=False, taken_epoch__isnull=False, finished_at=None)
                | Q(state="done", taken_at__isnull=False, finished_at__isnull=False)
                | Q(state="failed", finished_at__isnull=False),
                name="command_times_fit_its_state",
            ),
        ]
        # The gateway looks for open ones every second; answered ones are nearly all rows.
        indexes = [models.Index(fields=["account", "id"], condition=~Q(state__in=ENDED), name="commands_open")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"
