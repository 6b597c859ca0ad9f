"""How long answers to writes with an idempotency key are kept."""

from datetime import timedelta

from dgbot.accounts.models import KeptAnswer
from dgbot.base.fields import ClockTimestamp

KEPT = timedelta(hours=24)


def remove_old() -> int:
    """Delete answers that need not be kept any more. Returns how many. For the daily clean-up."""
    return KeptAnswer.objects.filter(created_at__lt=ClockTimestamp() - KEPT).delete()[0]
