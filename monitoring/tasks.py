"""Doors for Celery: jobs that keep the platform tidy. Safe to run twice."""

from datetime import UTC, datetime
from typing import Any

from celery import shared_task
from django.conf import settings

from dgbot.core.errors import BadInput
from monitoring import cleaning
from monitoring.backups import keeping, making
from monitoring.backups.models import BackupReason
from monitoring.notifications import reports
from monitoring.system import alarms

BACKUP_LIMIT_S = 3600
BACKUP_TRIES, BACKUP_PAUSE_S = 3, 300


@shared_task
def clean_up() -> str:
    """Remove what is old, and prepare the next month's log."""
    return cleaning.clean_up(now=datetime.now(tz=UTC))


@shared_task(bind=True, max_retries=BACKUP_TRIES - 1, time_limit=BACKUP_LIMIT_S, soft_time_limit=BACKUP_LIMIT_S - 60)
def back_up(self: Any) -> str:
    """Back everything up and copy it to the bucket, if there is one. What fails is tried again after five minutes."""
    made, failed = making.make_all(reason=BackupReason.SCHEDULE)
    if failed:
        raise self.retry(countdown=BACKUP_PAUSE_S, exc=BadInput("; ".join(failed)))
    copied = f"; {len(keeping.upload())} copied to the bucket" if settings.ENV["AWS_BUCKET_NAME"] else ""
    return f"{', '.join(row.file for row in made)}{copied}"


@shared_task
def watch() -> str:
    """Look at every part of the platform; begin, end and tell alarms."""
    return f"{alarms.look()} alarms are open"


@shared_task
def clean_backups() -> str:
    """Remove backups older than seven days."""
    return f"{keeping.clean_up()} removed"


@shared_task
def notify_daily_reports() -> str:
    """Write yesterday's report for everybody who wants one."""
    return f"{reports.write_reports(now=datetime.now(tz=UTC))} reports written"
