"""What PostgreSQL knows of itself: sizes, rows, what is slow, what nobody uses."""

from typing import Any

from django.db import connection
from django.db.utils import ProgrammingError
from psycopg2 import sql

EXACT_BELOW = 10_000  # rows; longer tables are estimated, as their exact count would cost a full scan
TIMES = (
    "created_at",
    "recorded_at",
    "slot",
    "at",
    "beat_at",
    "started_at",
    "since",
    "minute",
)  # the first that is there and indexed counts

TABLES = """
SELECT c.relname AS "table", greatest(c.reltuples, coalesce(s.n_live_tup, 0))::bigint AS rows, pg_total_relation_size(c.oid)
       + coalesce((SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits i WHERE i.inhparent = c.oid), 0)::bigint AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 3 DESC, 1
"""
TIME_COLUMNS = """
SELECT DISTINCT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE i.indpred IS NULL AND a.attname = ANY(%s)
"""
UNUSED = """
SELECT s.indexrelname AS "index", s.relname AS "table", pg_relation_size(s.indexrelid) AS bytes
FROM pg_stat_user_indexes s JOIN pg_index i ON i.indexrelid = s.indexrelid
WHERE s.idx_scan = 0 AND NOT i.indisunique ORDER BY 3 DESC, 1 LIMIT 20
"""
SLOW = """
SELECT round((total_exec_time / 1000)::numeric, 1)::float8 AS total_s, calls, round(mean_exec_time::numeric, 2)::float8 AS mean_ms,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 160) AS query
FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10
"""


def status() -> dict[str, Any]:
    """Tables (largest first), the ten slowest queries (None when they are not measured), indexes that nobody has used."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_database(), pg_database_size(current_database())")
        version, name, size = cursor.fetchone()
        cursor.execute(TIME_COLUMNS, [list(TIMES)])
        timed: dict[str, str] = {}
        for table, column in sorted(cursor.fetchall(), key=lambda row: TIMES.index(row[1])):
            timed.setdefault(table, column)
        tables = [_with_newest(cursor, row, timed.get(row["table"])) for row in _dicts(cursor, TABLES)]
        return {
            "version": version,
            "name": name,
            "bytes": size,
            "tables": tables,
            "slow": _slow(cursor),
            "unused": _dicts(cursor, UNUSED),
        }


def _with_newest(cursor: Any, row: dict[str, Any], column: str | None) -> dict[str, Any]:
    table = sql.Identifier(row["table"])
    if row["rows"] < EXACT_BELOW:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
        (row["rows"],) = cursor.fetchone()
    newest = None
    if column is not None:
        cursor.execute(sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), table))
        (newest,) = cursor.fetchone()
    return {**row, "newest": newest}


def _slow(cursor: Any) -> list[dict[str, Any]] | None:
    cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements')")
    if not cursor.fetchone()[0]:
        return None
    try:
        return _dicts(cursor, SLOW)
    except ProgrammingError:  # installed, and not loaded by the server
        return None


def _dicts(cursor: Any, statement: str) -> list[dict[str, Any]]:
    cursor.execute(statement)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
