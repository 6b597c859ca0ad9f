"""Signs of life. Each long-running process writes its own row; whoever watches compares its age."""

import os
import socket
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from dgbot.accounts.models import Heartbeat


def beat(*, process: str, started_at: datetime, **detail: Any) -> None:
    """Write this process's heartbeat, machine time. `detail` is shown beside it."""
    host = socket.gethostname()
    Heartbeat.objects.update_or_create(
        name=f"{process}@{host}",
        defaults={"process": process, "host": host, "pid": os.getpid(), "started_at": started_at, "beat_at": Now(), "detail": detail},
    )


def ages() -> dict[str, float]:
    """Seconds since the last beat of each process, by name, machine time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, extract(epoch FROM clock_timestamp() - beat_at)::float8 FROM heartbeats ORDER BY name")
        return dict(cursor.fetchall())
