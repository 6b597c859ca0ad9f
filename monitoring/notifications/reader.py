"""Reads the rows that record what happened, and writes their notifications. Nothing is lost and nothing told twice, whoever dies when.

Rows get their ids before they are committed, so a smaller id may appear after a larger one was read. Therefore a mark has two parts:
everything up to `read_id` is final; what lies between `read_id` and now is read at every look, and told facts are known by their
name. `seen_id` becomes final once every transaction that was under way when it was seen has ended, and five seconds have passed
(an id is drawn a moment before its transaction gets a number). Mark and notifications move in one transaction.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction

from monitoring.notifications import outbox
from monitoring.notifications.facts import cycles, orders, risks
from monitoring.notifications.models import ReadMark
from monitoring.notifications.outbox import Audience, Draft

log = logging.getLogger(__name__)

Teller = Callable[[list[int]], list[Draft]]
TABLES: dict[str, Teller] = {
    "stage_results": cycles.of_stages,
    "ai_decisions": cycles.of_decisions,
    "order_events": orders.of_events,
    "trades": orders.of_trades,
    "risk_events": risks.of_events,
    "kill_switch_changes": risks.of_kill_switches,
}
AT_ONCE = 500  # rows of one table and look
SETTLE = timedelta(seconds=5)
MARK_LOCK = 'SELECT * FROM notification_read_marks ORDER BY "table" FOR UPDATE SKIP LOCKED'


def begin() -> None:
    """Marks for tables that have none: what is there already is history and told to nobody."""
    for table in TABLES:
        with connection.cursor() as cursor:
            cursor.execute(
                f'INSERT INTO notification_read_marks ("table", read_id, seen_id, seen_before, seen_at)'  # noqa: S608  our own names
                f" SELECT %s, coalesce(max(id), 0), coalesce(max(id), 0), 0, clock_timestamp() FROM {table} ON CONFLICT DO NOTHING",
                [table],
            )


class Reader:
    """Remembers what it has looked at since the marks, so that a row is worded once. Losing that memory costs time, nothing else."""

    def __init__(self) -> None:
        self._looked_at: dict[str, set[int]] = {table: set() for table in TABLES}

    def read(self) -> int:
        """Tell what is new. Returns how many rows that were; zero also while another notifier reads."""
        with transaction.atomic():
            marks = {mark.table: mark for mark in ReadMark.objects.raw(MARK_LOCK)}
            fresh = {table: ids for table in TABLES if (mark := marks.get(table)) and (ids := self._unread(table, mark))}
            if not marks or (not fresh and all(mark.seen_id == mark.read_id for mark in marks.values())):
                return 0
            oldest, next_id, now = _snapshot()
            self._tell(fresh)
            for table, mark in marks.items():
                if table in TABLES:
                    self._move(mark, fresh.get(table, []), oldest=oldest, next_id=next_id, now=now)
        for table, ids in fresh.items():
            self._looked_at[table].update(ids)
        return sum(len(ids) for ids in fresh.values())

    def _unread(self, table: str, mark: ReadMark) -> list[int]:
        known = self._looked_at[table] = {pk for pk in self._looked_at[table] if pk > mark.read_id}
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id FROM {table} WHERE id > %s AND id <> ALL(%s) ORDER BY id LIMIT %s",  # noqa: S608  our own names
                [mark.read_id, list(known), AT_ONCE],
            )
            return [pk for (pk,) in cursor.fetchall()]

    def _tell(self, fresh: dict[str, list[int]]) -> None:
        audience = Audience.now() if fresh else Audience()
        if not audience.channels:
            return
        for table, ids in fresh.items():
            outbox.write(_drafts(TABLES[table], ids), audience=audience)

    def _move(self, mark: ReadMark, ids: list[int], *, oldest: int, next_id: int, now: datetime) -> None:
        """Make final what has settled, and note what was seen. Writes only when something changes."""
        before = (mark.read_id, mark.seen_id)
        if mark.seen_id > mark.read_id and oldest >= mark.seen_before and now - mark.seen_at >= SETTLE:
            mark.read_id = mark.seen_id
        if mark.seen_id == mark.read_id:  # the former sight is settled: take the next
            newest = ids[-1] if len(ids) == AT_ONCE else max([mark.read_id, *ids, *self._looked_at[mark.table]])
            mark.seen_id, mark.seen_before, mark.seen_at = max(mark.read_id, newest), next_id, now
        if before != (mark.read_id, mark.seen_id):
            mark.save(update_fields=["read_id", "seen_id", "seen_before", "seen_at"])


def _snapshot() -> tuple[int, int, datetime]:
    """The oldest transaction under way, the next one's number, and the time; taken after the rows were read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint, clock_timestamp() FROM pg_current_snapshot() s"
        )
        row: tuple[int, int, datetime] = cursor.fetchone()
        return row


def _drafts(teller: Teller, ids: Iterable[int]) -> list[Draft]:
    """What is to be told of these rows. One that cannot be told is logged and holds up no other."""
    rows = list(ids)
    try:
        return teller(rows)
    except DatabaseError:
        raise
    except Exception:
        if len(rows) == 1:
            log.exception("%s: row %s cannot be told", teller.__name__, rows[0])
            return []
    return [draft for pk in rows for draft in _drafts(teller, [pk])]


def marks() -> dict[str, Any]:
    """How far each table has been read."""
    return dict(ReadMark.objects.values_list("table", "read_id"))
