"""The daily clean-up: what grows for ever is cut where nothing is lost that anybody may need."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from dgbot.accounts import heartbeats, kept_answers, logins
from monitoring import logs
from trading.services import dispatch

LOGS_KEPT = timedelta(days=90)


def clean_up(*, now: datetime) -> str:
    """Remove old log lines, idle simulated rows and rows of dead processes; have log partitions for the coming month. now: aware."""
    logs.ensure_partitions(now)
    lines = remove_old_logs(before=now - LOGS_KEPT)
    cycles = sum(dispatch.tidy_simulated(bot_id=bot_id) for bot_id in dispatch.simulated_bots())
    stale = heartbeats.remove_stale()
    ended = logins.remove_ended() + kept_answers.remove_old()
    told = f"{cycles} idle simulated cycles and {stale} heartbeats of dead processes removed"
    return f"{lines}; {ended} ended logins and kept answers of programs; {told}"


def remove_old_logs(*, before: datetime) -> str:
    """Drop the months of `system_logs` that ended before then, and delete older lines that never got a month of their own."""
    dropped = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'system_logs'::regclass")
        for (name,) in cursor.fetchall():
            end = _end_of(name)
            if end is not None and end <= before:
                cursor.execute(f"DROP TABLE {name}")  # the name comes from PostgreSQL's own catalogue
                dropped += 1
        cursor.execute("DELETE FROM system_logs_default WHERE created_at < %s", [before])
        return f"{dropped} months and {cursor.rowcount} lines of the system log removed"


def _end_of(partition: str) -> datetime | None:
    """Where the month of system_logs_2026_11 ends; None for the default partition."""
    year, _, month = partition.removeprefix("system_logs_").partition("_")
    if not (year.isdigit() and month.isdigit()):
        return None
    return datetime(int(year) + int(month) // 12, int(month) % 12 + 1, 1, tzinfo=UTC)
