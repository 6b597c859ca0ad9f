"""Doors for Celery: jobs that keep the platform tidy. Safe to run twice."""

from datetime import UTC, datetime

from celery import shared_task

from monitoring import cleaning


@shared_task
def clean_up() -> str:
    """Remove what is old, and prepare the next month's log."""
    return cleaning.clean_up(now=datetime.now(tz=UTC))
