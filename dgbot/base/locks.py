"""PostgreSQL's session locks, on a connection of their own: they die with the session, and a pooler must not share it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from django.conf import settings


def connect_direct(name: str) -> Any:
    """A new autocommit session with PostgreSQL itself. Raises psycopg2.Error."""
    database = settings.DATABASE_DIRECT
    connection = psycopg2.connect(
        dbname=database["NAME"],
        user=database["USER"] or None,
        password=database["PASSWORD"] or None,
        host=database["HOST"] or None,
        port=database["PORT"] or None,
        connect_timeout=5,
        application_name=f"dgbot {name}",
        options="-c statement_timeout=0",  # waiting for a lock is what some of these sessions are for
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
    )
    connection.autocommit = True
    return connection


@contextmanager
def exclusive(key: int, *, name: str) -> Iterator[None]:
    """Hold an advisory lock, waiting for it."""
    connection = connect_direct(name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        yield
    finally:
        connection.close()
