"""The log in the database: lines of our own loggers from INFO on, written by a background thread that the caller never waits for."""

import logging
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, connections, transaction

from dgbot.logs import IDS
from dgbot.redaction import redact
from monitoring.background import Background
from monitoring.models import LogLevel, SystemLog

OURS = ("dgbot", "risk", "backtests", "trading", "monitoring")
MESSAGE_LIMIT, TRACE_LIMIT = 4000, 8000  # characters
LEVELS = ((logging.CRITICAL, LogLevel.CRITICAL), (logging.ERROR, LogLevel.ERROR), (logging.WARNING, LogLevel.WARNING))


class SystemLogHandler(logging.Handler):
    """Queues records for `system_logs`. A record that does not fit is dropped, counted and reported with the next batch."""

    def __init__(self) -> None:
        super().__init__(level=logging.INFO)
        self.addFilter(_is_ours)
        self._background = Background("system log", self._write, capacity=2000, batch=200)
        self._reported = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line over; never waits, never raises."""
        try:
            self._background.put(_row(record))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Give the thread a moment to write what is queued."""
        self._background.wait_until_done()

    @property
    def dropped(self) -> int:
        """Lines lost since the process began."""
        return self._background.dropped

    def _write(self, rows: list[SystemLog]) -> None:
        lost = self.dropped - self._reported
        if lost:
            rows.append(_line(LogLevel.WARNING, f"{lost} log lines were dropped: the queue to the database was full", {"dropped": lost}))
        try:
            SystemLog.objects.bulk_create(rows)
            self._reported += lost
        except (DatabaseError, ValueError):
            self._background.dropped += len(rows) - bool(lost)
            connections.close_all()


def attach() -> SystemLogHandler:
    """Write our loggers' lines to the database from now on."""
    handler = SystemLogHandler()
    logging.getLogger().addHandler(handler)
    return handler


def ensure_partitions(now: datetime) -> None:
    """Have partitions of `system_logs` for this and the next month. Safe to repeat; rows that waited in the default one move over."""
    month = datetime(now.year, now.month, 1, tzinfo=UTC)
    for start in (month, _following(month)):
        _ensure_partition(start, _following(start))


def _is_ours(record: logging.LogRecord) -> bool:
    # A failure of this very path must not feed itself.
    return record.name.partition(".")[0] in OURS and record.name != __name__


def _row(record: logging.LogRecord) -> SystemLog:
    message = redact(record.getMessage())[:MESSAGE_LIMIT].replace("\x00", "")
    context: dict[str, Any] = {"logger": record.name, "process": settings.PROCESS, **dict(IDS.findall(message))}
    if record.exc_info:
        context["trace"] = redact(logging.Formatter().formatException(record.exc_info))[-TRACE_LIMIT:].replace("\x00", "")
    level = next((name for number, name in LEVELS if record.levelno >= number), LogLevel.INFO)
    return _line(level, message, context, at=datetime.fromtimestamp(record.created, tz=UTC))


def _line(level: str, message: str, context: dict[str, Any], *, at: datetime | None = None) -> SystemLog:
    return SystemLog(level=level, message=message, context=context, created_at=at or datetime.now(tz=UTC))


def _following(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _ensure_partition(start: datetime, end: datetime) -> None:
    name = f"system_logs_{start:%Y_%m}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE system_logs IN SHARE ROW EXCLUSIVE MODE")  # two starts at once make one partition
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0]:
            return
        cursor.execute(f"CREATE TABLE {name} (LIKE system_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        moving = "WITH moved AS (DELETE FROM system_logs_default WHERE created_at >= %s AND created_at < %s RETURNING *)"
        cursor.execute(f"{moving} INSERT INTO {name} SELECT * FROM moved", [start, end])  # noqa: S608  the name is made of a date
        cursor.execute(f"ALTER TABLE system_logs ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [start, end])
