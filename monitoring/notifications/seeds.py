"""What notifications need before anything starts: channels named in the environment, read marks, schedules. Never overwritten."""

import json

from django.conf import settings
from django.contrib.auth import get_user_model
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from dgbot.accounts import audit
from monitoring.notifications.kinds import Medium
from monitoring.notifications.models import Channel

TELEGRAM, SLACK = "Telegram", "Slack"
REPORT = "Daily report (09:00)"
SEOUL = "Asia/Seoul"


def create_channels() -> str | None:
    """The channels that the environment names, for the operator account; a chat there may also give commands if it is a person's."""
    owner = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if owner is None:
        return None
    wanted = {}
    if settings.TELEGRAM_BOT_TOKEN and settings.TELEGRAM_CHAT_ID:
        wanted[TELEGRAM] = (Medium.TELEGRAM, settings.TELEGRAM_CHAT_ID)
    if settings.SLACK_WEBHOOK_URL:
        wanted[SLACK] = (Medium.SLACK, settings.SLACK_WEBHOOK_URL)
    made = [name for name, (medium, address) in wanted.items() if _create(owner.pk, name, medium=medium, address=address)]
    return f"Notification channels added: {', '.join(made)}." if made else None


def begin_reading() -> None:
    """Tell what happens from now on."""
    from monitoring.notifications import reader  # every process loads this module, and only the notifier needs what that reads

    reader.begin()


def create_schedules() -> str | None:
    """The daily report."""
    given = {"minute": "0", "hour": "9", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": SEOUL}
    when = CrontabSchedule.objects.filter(**given).order_by("pk").first() or CrontabSchedule.objects.create(**given)
    _row, is_new = PeriodicTask.objects.get_or_create(
        name=REPORT, defaults={"task": "monitoring.tasks.notify_daily_reports", "kwargs": json.dumps({}), "crontab": when}
    )
    return f"Schedules added: {REPORT}." if is_new else None


def _create(user_id: int, name: str, *, medium: Medium, address: str) -> bool:
    from monitoring.notifications.channels import shown

    if Channel.objects.filter(user_id=user_id, name=name).exists():
        return False
    is_person = medium is Medium.TELEGRAM and address.isdigit()  # groups have negative numbers
    person = address if is_person and not Channel.objects.filter(person=address).exists() else ""
    channel = Channel.objects.create(
        user_id=user_id, name=name, medium=medium, address=address, shown=shown(medium, address), person=person
    )
    audit.record(actor="prepare", action="create channel", target=f"channel:{channel.pk}", reason="named in the environment")
    return True
