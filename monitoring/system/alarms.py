"""Alarms begin when a reading is bad and end when it is good again; whoever is to know is told at both, and when it gets worse.

Silent processes and bots are not here: a trigger on their heartbeats keeps those alarms, so that they need nobody alive but one.
"""

from datetime import datetime

from django.db import connection, transaction
from django.utils.translation import gettext_noop, override

from dgbot.base.machine import machine_now
from monitoring.notifications import outbox
from monitoring.notifications.kinds import Kind, Level
from monitoring.system import readings
from monitoring.system.models import Alarm, AlarmLevel
from monitoring.system.readings import Health, Reading

LOCK = 0x6467_616C  # any constant: one looks at a time
LEVELS = {Health.WARNING: AlarmLevel.WARNING, Health.ERROR: AlarmLevel.ERROR}
CRITICAL = ("naked", "prices", "orders_unknown")
BY_TRIGGER = ("process:", "bots")  # and told by the notifier's own look
TOLD_BY_OTHERS = ("naked", "prices")


def look() -> int:
    """Read everything, begin and end alarms. Returns how many are open. Does nothing while another process looks."""
    with override("en"):  # what is stored is told to several readers
        found = readings.read()
    with transaction.atomic():
        if not _is_alone():
            return 0
        return settle(found, now=machine_now())


def settle(found: list[Reading], *, now: datetime) -> int:
    """Compare readings with the open alarms. Call it in a transaction: what is told and what is stored belong together."""
    open_ones = {alarm.key: alarm for alarm in Alarm.objects.filter(ended_at=None)}
    for reading in found:
        if reading.key.startswith(BY_TRIGGER):
            continue
        alarm = open_ones.get(reading.key)
        if reading.health in LEVELS:
            _raise(reading, alarm, now=now)
        elif alarm is not None and reading.health is Health.OK:
            _end(alarm, now=now)
    return Alarm.objects.filter(ended_at=None).count()


def open_alarms() -> list[Alarm]:
    """Those that last, the gravest first."""
    order = {level: number for number, level in enumerate(reversed(AlarmLevel.values))}
    return sorted(Alarm.objects.filter(ended_at=None), key=lambda alarm: (order[alarm.level], alarm.since))


def _raise(reading: Reading, alarm: Alarm | None, *, now: datetime) -> None:
    level = AlarmLevel.CRITICAL if reading.key in CRITICAL and reading.health is Health.ERROR else LEVELS[reading.health]
    message = f"{reading.name}: {reading.said}"
    if alarm is None:
        Alarm.objects.create(key=reading.key, level=level, message=message, since=now, seen_at=now)
    else:
        Alarm.objects.filter(pk=alarm.pk).update(level=level, message=message, seen_at=now)
    if alarm is None or alarm.level != level:
        _tell(reading.key, level=Level(level), title=gettext_noop("Alarm: %(message)s"), message=message)


def _end(alarm: Alarm, *, now: datetime) -> None:
    Alarm.objects.filter(pk=alarm.pk).update(ended_at=now, seen_at=now)
    _tell(alarm.key, level=Level.INFO, title=gettext_noop("Over: %(message)s"), message=alarm.message)


def _tell(key: str, *, level: Level, title: str, message: str) -> None:
    if key.startswith(TOLD_BY_OTHERS):
        return
    kind = Kind.BACKUP if key.startswith("backup:") else Kind.HEALTH
    outbox.tell(kind=kind, level=level, title=title, params={"message": message}, topic=f"alarm:{key}"[:120])


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])
