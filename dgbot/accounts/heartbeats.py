"""Signs of life. Each long-running process writes its own row, and each cycle its bot's; whoever beats watches the others, too."""

import json
import logging
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from dgbot.accounts.models import Heartbeat

log = logging.getLogger(__name__)

MISSED_BEATS = 12  # then a process is late
KEPT = timedelta(days=1)  # a row of a host that is gone

BEAT = """
WITH before AS (SELECT alarmed_at FROM heartbeats WHERE name = %(name)s)
INSERT INTO heartbeats (name, process, host, pid, started_at, beat_at, detail, late_after_s)
VALUES (%(name)s, %(process)s, %(host)s, %(pid)s, %(started_at)s, clock_timestamp(), %(detail)s, %(late_after_s)s)
ON CONFLICT (name) DO UPDATE SET
    process = EXCLUDED.process, host = EXCLUDED.host, pid = EXCLUDED.pid, started_at = EXCLUDED.started_at,
    beat_at = EXCLUDED.beat_at, detail = EXCLUDED.detail, late_after_s = EXCLUDED.late_after_s, alarmed_at = NULL
RETURNING (SELECT alarmed_at FROM before)
"""

# One statement, so that of many watchers exactly one raises the alarm of one silence.
RAISE = """
UPDATE heartbeats SET alarmed_at = clock_timestamp()
WHERE alarmed_at IS NULL AND beat_at < clock_timestamp() - late_after_s * interval '1 second'
RETURNING name, extract(epoch FROM clock_timestamp() - beat_at)::float8, late_after_s
"""


@dataclass(frozen=True)
class Late:
    """A process or bot that has been silent for too long, both in seconds of machine time."""

    name: str
    process: str
    age_s: float
    late_after_s: int


def beat(*, process: str, started_at: datetime, **detail: Any) -> None:
    """Write this process's heartbeat, machine time. `detail` is shown beside it."""
    _write(f"{process}@{socket.gethostname()}", process=process, started_at=started_at, late_after_s=late_after_s(), detail=detail)


def beat_bot(*, bot_id: int, started_at: datetime, late_after_s: int) -> None:
    """A cycle of this bot has ended; the next sign of life is due within `late_after_s`."""
    _write(f"bot:{bot_id}", process="bot", started_at=started_at, late_after_s=late_after_s, detail={"bot": bot_id})


def forget_bot(*, bot_id: int) -> None:
    """A stopped bot is not late."""
    Heartbeat.objects.filter(name=f"bot:{bot_id}").delete()


def forget_process(process: str) -> None:
    """A process that ends in order is not late."""
    Heartbeat.objects.filter(name=f"{process}@{socket.gethostname()}").delete()


def late_after_s() -> int:
    """Seconds of silence after which a process is late."""
    return round(MISSED_BEATS * settings.HEARTBEAT_S)


def ages() -> dict[str, float]:
    """Seconds since the last beat of each process, by name, machine time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, extract(epoch FROM clock_timestamp() - beat_at)::float8 FROM heartbeats ORDER BY name")
        return dict(cursor.fetchall())


def late_heartbeats() -> list[Late]:
    """Processes and bots that should have shown a sign of life by now. Reading changes nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, process, age_s, late_after_s FROM"
            " (SELECT *, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS age_s FROM heartbeats) AS aged"
            " WHERE age_s > late_after_s ORDER BY name"
        )
        return [Late(*row) for row in cursor.fetchall()]


def raise_alarms() -> list[str]:
    """Tell each silence once, as a warning in the system log. Returns the names that have just become late."""
    with connection.cursor() as cursor:
        cursor.execute(RAISE)
        found = cursor.fetchall()
    for name, age_s, limit_s in found:
        log.warning("%s has shown no sign of life for %.0f s; the limit is %d s. See Processes in the admin.", name, age_s, limit_s)
    return [name for name, *_ in found]


def remove_stale() -> int:
    """Delete the rows of processes that have been silent for a day. Returns how many."""
    return Heartbeat.objects.filter(beat_at__lt=Now() - KEPT).exclude(process="bot").delete()[0]


def _write(name: str, *, process: str, started_at: datetime, late_after_s: int, detail: dict[str, Any]) -> None:
    values: dict[str, Any] = {"name": name, "process": process, "host": socket.gethostname(), "pid": os.getpid(), "started_at": started_at}
    with connection.cursor() as cursor:
        cursor.execute(BEAT, {**values, "late_after_s": late_after_s, "detail": json.dumps(detail)})
        (late_since,) = cursor.fetchone()
    if late_since is not None:
        log.info("%s shows signs of life again; it had been late since %s", name, late_since.isoformat(timespec="seconds"))
