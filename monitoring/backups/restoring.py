"""A database back from its backup, and the drill that proves it could be done.

    backup → new database → every table's rows and checksum compared → names exchanged

Until names are exchanged nothing has happened to the present database; afterwards it still exists under another name.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg2 import sql

from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput
from monitoring.backups import files, postgres
from monitoring.backups.models import Backup

MAINTENANCE = "postgres"  # the database one connects to when another is made or renamed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """What a restore has left behind. former: the database that was in place, or None when there was none."""

    rows: int
    tables: int
    seconds: float
    former: str | None


def restore(path: Path) -> Restored:
    """Put the database of a backup in place of the present one. Raises BadInput; then the present one is untouched."""
    began = datetime.now(tz=UTC)
    contents = files.checked(path)
    name = str(settings.DATABASE_DIRECT["NAME"])
    connections.close_all()
    with _server() as server:
        _refuse_visitors(server, name)
        made = f"{name}_restored_{began:%Y%m%d%H%M%S}"
        _create(server, made)
        try:
            postgres.load(path, into=made, contents=contents)
            former = _exchange(server, name, made)
        except BaseException:
            _drop(server, made)
            raise
    rows = sum(count for count, _sum in contents["tables"].values())
    return Restored(rows=rows, tables=len(contents["tables"]), seconds=(datetime.now(tz=UTC) - began).total_seconds(), former=former)


@dataclass(frozen=True)
class Drill:
    """What a drill has proven. pending: migrations of this release that the backup has not seen."""

    rows: int
    tables: int
    seconds: float
    pending: list[str]


def drill(path: Path) -> Drill:
    """Restore a backup into a database of its own, compare every table, drop it again. Raises BadInput."""
    began = datetime.now(tz=UTC)
    contents = files.checked(path)
    scratch = f"{settings.DATABASE_DIRECT['NAME']}_drill_{began:%Y%m%d%H%M%S}"
    with _server() as server:
        _create(server, scratch)
        try:
            postgres.load(path, into=scratch, contents=contents)
            pending = _pending(scratch)
        finally:
            _drop(server, scratch)
    Backup.objects.filter(file=path.name, sha256=contents["sha256"]).update(proven_at=machine_now())
    rows = sum(count for count, _sum in contents["tables"].values())
    seconds = (datetime.now(tz=UTC) - began).total_seconds()
    log.info("drill of %s: %d rows in %d tables equal, %.1f s", path.name, rows, len(contents["tables"]), seconds)
    return Drill(rows=rows, tables=len(contents["tables"]), seconds=seconds, pending=pending)


def _pending(database: str) -> list[str]:
    """Migrations of this release that a restored database lacks: `prepare` applies them."""
    session = postgres.connect(database)
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    finally:
        session.close()
    known = MigrationLoader(None).disk_migrations or {}
    return sorted(f"{app}.{name}" for app, name in set(known) - applied)


@contextmanager
def _server() -> Iterator[Any]:
    try:
        session = postgres.connect(MAINTENANCE)
    except psycopg2.OperationalError as error:
        raise BadInput(f"PostgreSQL cannot be reached: {error}".strip()) from error
    try:
        with session.cursor() as cursor:
            yield cursor
    except psycopg2.errors.InsufficientPrivilege as error:
        raise BadInput(f"this role may not do that ({str(error).strip()}); connect as the database's owner") from error
    finally:
        session.close()


def _refuse_visitors(server: Any, name: str) -> None:
    server.execute("SELECT DISTINCT coalesce(nullif(application_name, ''), 'unnamed') FROM pg_stat_activity WHERE datname = %s", [name])
    visitors = sorted(each for (each,) in server.fetchall())
    if visitors:
        raise BadInput(f"the database {name} is in use by {', '.join(visitors)}; stop the platform first, then restore")


def _create(server: Any, name: str) -> None:
    server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def _drop(server: Any, name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _exchange(server: Any, name: str, made: str) -> str | None:
    server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    former = f"{name}_before_{made.rpartition('_')[2]}" if server.fetchone() else None
    if former:
        _rename(server, name, former)
    try:
        _rename(server, made, name)
    except psycopg2.Error:
        if former:
            _rename(server, former, name)
        raise
    return former


def _rename(server: Any, before: str, after: str) -> None:
    server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))
