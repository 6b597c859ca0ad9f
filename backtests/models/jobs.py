"""What a run and a sweep have in common: a job that one worker at a time may hold, whose progress never goes back.

    queued ──▶ running ──▶ finished
      ▲  │        │  │ ╲
      │  │        │  │  ╲──▶ failed       what was asked for cannot be done; asking again would not help
      │  │        │  └─────▶ queued       something failed that may pass; once more after a pause
      │  │        └────────▶ cancelling ──▶ cancelled
      │  └─────────────────▶ cancelled
      └── dead ◀── queued, running        given up after the last attempt or the hard limit; an operator may retry it

Every move is a compare-and-swap on (status, epoch); who holds a job renews a lease on PostgreSQL's clock, and whoever takes it over
raises the epoch, so that the word of a worker that was thought dead counts for nothing.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet


class JobStatus(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    CANCELLING = "cancelling", _("being cancelled")
    CANCELLED = "cancelled", _("cancelled")
    FINISHED = "finished", _("finished")
    FAILED = "failed", _("failed")
    DEAD = "dead", _("given up")


MOVES: dict[JobStatus, tuple[JobStatus, ...]] = {
    JobStatus.QUEUED: (JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.DEAD),
    JobStatus.RUNNING: (JobStatus.QUEUED, JobStatus.CANCELLING, JobStatus.FINISHED, JobStatus.FAILED, JobStatus.DEAD),
    JobStatus.CANCELLING: (JobStatus.CANCELLED,),
    JobStatus.CANCELLED: (),
    JobStatus.FINISHED: (),
    JobStatus.FAILED: (),
    JobStatus.DEAD: (JobStatus.QUEUED,),
}
WORKING = (JobStatus.RUNNING, JobStatus.CANCELLING)
OPEN = (JobStatus.QUEUED, *WORKING)
ENDED = tuple(status for status in JobStatus if status not in OPEN)
PAIRS = tuple((before, after) for before, follows in MOVES.items() for after in follows)
EXPLAINED = (JobStatus.FAILED, JobStatus.DEAD)


class Job(models.Model):
    """The columns of every job. Times are machine time."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
        help_text=_("Empty: asked for by a command; shown to those who may see every owner's."),
    )
    spec = models.JSONField(_("specification"), help_text=_("Everything that decides the outcome."))
    status = models.CharField(_("status"), max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    reason = models.TextField(_("reason"), blank=True, help_text=_("Why it failed, was given up, or will be tried again."))
    epoch = models.PositiveIntegerField(_("epoch"), default=0, help_text=_("How often a worker has taken it; an older one's word is void."))
    holder = models.CharField(_("held by"), max_length=200, blank=True, help_text=_("The process at work; empty: nobody at this moment."))
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("failed attempts"), default=0)
    retry_at = models.DateTimeField(_("not before"), null=True, blank=True)
    progress_done = models.PositiveIntegerField(_("steps done"), default=0)
    progress_total = models.PositiveIntegerField(_("steps"), default=1)
    is_pinned = models.BooleanField(_("pinned"), default=False, help_text=_("Its result is kept however old it is."))
    requested_at = models.DateTimeField(_("requested at"), db_default=ClockTimestamp())
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    expired_at = models.DateTimeField(
        _("result removed at"), null=True, blank=True, help_text=_("Its files were older than they are kept.")
    )

    objects = OwnedQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=OPEN, finished_at__isnull=True) | Q(status__in=ENDED, finished_at__isnull=False),
                name="%(app_label)s_%(class)s_ends_when_finished",
            ),
            models.CheckConstraint(condition=~Q(status__in=EXPLAINED) | ~Q(reason=""), name="%(app_label)s_%(class)s_failure_has_reason"),
            models.CheckConstraint(
                condition=Q(progress_done__lte=F("progress_total"), progress_total__gt=0),
                name="%(app_label)s_%(class)s_progress_within_total",
            ),
            models.CheckConstraint(
                condition=Q(holder="") | Q(lease_until__isnull=False, status__in=WORKING), name="%(app_label)s_%(class)s_holder_has_lease"
            ),
        ]
        # The watch looks every few seconds for what nobody works on; nearly all rows have ended.
        indexes = [models.Index(fields=["requested_at"], condition=Q(finished_at__isnull=True), name="%(class)s_open")]

    @property
    def progress(self) -> float:
        """Fraction done."""
        return self.progress_done / self.progress_total

    @property
    def is_open(self) -> bool:
        """Whether something will still happen."""
        return self.finished_at is None
