"""What holds for every test: the area is the folder, and tables with guards can be emptied."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.core.management.commands import flush
from django.db import connections
from django.db.backends.postgresql.operations import DatabaseOperations

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES
from tests.servers import WANTED

AREAS = ("unit", "properties", "contracts", "faults", "replay", "browser", "api_fuzz", "soak")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: Places) -> None:
    """pytest-django asks for this before the first test with a database: by then the servers run."""


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Our own server already holds the migrated database, and both go when the session ends."""
    return POSTGRES in WANTED


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The exchange's own connection mirrors the test database, which can only be dropped once it is closed."""
    yield
    connections["venue"].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its area's folder."""
    for item in items:
        area = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if area in AREAS:
            item.add_marker(area)


KEPT = {"django_content_type", "auth_permission"}  # the same for every test, and slow to make anew


def _empty_what_is_filled(self: DatabaseOperations, _sql: Sequence[str]) -> None:
    """Transactional tests end by emptying all tables. A TRUNCATE makes every file of every table anew, and append-only tables refuse it
    to everybody else; most tests fill a few tables with a few rows, and those are deleted.
    """
    tables = sorted(set(self.connection.introspection.django_table_names(only_existing=False, include_views=False)) - KEPT)
    with self.connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"(SELECT '{table}' FROM {self.quote_name(table)} LIMIT 1)" for table in tables))
        filled = [table for (table,) in cursor.fetchall()]
        cursor.execute("SET session_replication_role = replica")
        try:
            for table in filled:
                cursor.execute(f"DELETE FROM {self.quote_name(table)}")
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")


DatabaseOperations.execute_sql_flush = _empty_what_is_filled
flush.emit_post_migrate_signal = lambda *_, **__: None  # it makes what is kept
