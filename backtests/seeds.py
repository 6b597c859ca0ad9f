"""What backtests needs before it starts. Added if missing, never overwritten."""

import zoneinfo

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

DAILY = "Candle sync (daily)"
WATCH, UPLOAD, CLEAN_UP = "Backtests: watch", "Backtest results: upload", "Backtest results: clean-up (daily)"
EVERY_S = {WATCH: ("backtests.tasks.watch_jobs", 5), UPLOAD: ("backtests.tasks.upload_results", 60)}


def create_schedules() -> str | None:
    """The daily download, ten minutes after Upbit's day candle closes at 09:00 in Seoul."""
    crontab, _created = CrontabSchedule.objects.get_or_create(
        minute="10", hour="9", day_of_month="*", month_of_year="*", day_of_week="*", timezone=zoneinfo.ZoneInfo("Asia/Seoul")
    )
    _row, is_new = PeriodicTask.objects.get_or_create(
        name=DAILY, defaults={"task": "backtests.tasks.sync_daily", "crontab": crontab, "expire_seconds": 3600}
    )
    return f"Schedules added: {DAILY}." if is_new else None


def create_job_schedules() -> str | None:
    """The watch over backtests, the upload of what waits for the bucket, and the daily clean-up at 04:30 in Seoul."""
    added = []
    for name, (task, seconds) in EVERY_S.items():
        interval, _created = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        _row, is_new = PeriodicTask.objects.get_or_create(
            name=name, defaults={"task": task, "interval": interval, "expire_seconds": seconds}
        )
        added += [name] if is_new else []
    crontab, _created = CrontabSchedule.objects.get_or_create(
        minute="30", hour="4", day_of_month="*", month_of_year="*", day_of_week="*", timezone=zoneinfo.ZoneInfo("Asia/Seoul")
    )
    _row, is_new = PeriodicTask.objects.get_or_create(
        name=CLEAN_UP, defaults={"task": "backtests.tasks.clean_up_results", "crontab": crontab, "expire_seconds": 3600}
    )
    added += [CLEAN_UP] if is_new else []
    return f"Schedules added: {', '.join(added)}." if added else None
