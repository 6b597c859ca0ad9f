"""Machine time and who we are."""

import os
import socket
from datetime import datetime
from functools import cache

from django.db import connection


def machine_now() -> datetime:
    """PostgreSQL's wall clock, aware UTC: the one clock that leases, permits and heartbeats share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now


@cache
def _host() -> str:
    return socket.gethostname()


def holder() -> str:
    """This process, as it signs leases: host:pid."""
    return f"{_host()}:{os.getpid()}"
