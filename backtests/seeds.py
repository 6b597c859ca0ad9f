"""What backtests needs before it starts. Added if missing, never overwritten."""

import zoneinfo

from django_celery_beat.models import CrontabSchedule, PeriodicTask

DAILY = "Candle sync (daily)"


def create_schedules() -> str | None:
    """The daily download, ten minutes after Upbit's day candle closes at 09:00 in Seoul."""
    crontab, _created = CrontabSchedule.objects.get_or_create(
        minute="10", hour="9", day_of_month="*", month_of_year="*", day_of_week="*", timezone=zoneinfo.ZoneInfo("Asia/Seoul")
    )
    _row, is_new = PeriodicTask.objects.get_or_create(
        name=DAILY, defaults={"task": "backtests.tasks.sync_daily", "crontab": crontab, "expire_seconds": 3600}
    )
    return f"Schedules added: {DAILY}." if is_new else None
