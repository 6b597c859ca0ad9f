"""Machine time and who we are."""

import os
import socket
from datetime import datetime
from functools import cache
from pathlib import Path

from django.db import connection


def machine_now() -> datetime:
    """PostgreSQL's wall clock, aware UTC: the one clock that leases, permits and heartbeats share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now


@cache
def _place() -> str:
    """Where process ids mean something: the host, on Linux with its boot and its namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{socket.gethostname()}/{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def holder() -> str:
    """This process, as it signs leases: place:pid."""
    return f"{_place()}:{os.getpid()}"


def is_dead(name: str) -> bool:
    """Whether the process of that `holder` has certainly ended: it was of this very boot and namespace, and nothing has its id.

    False says nothing: elsewhere nobody can tell, and an id may belong to another process by now. Then the lease runs out by itself.
    """
    place, _, pid = name.rpartition(":")
    if place != _place() or "/" not in place or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)  # asks, and signals nothing
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
