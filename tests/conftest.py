"""What holds for every test: the area is the folder, and tables with guards can be emptied."""

from collections.abc import Iterator
from pathlib import Path

import pytest
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


_flush = DatabaseOperations.execute_sql_flush


def _flush_past_guards(self, sql_list):
    """Transactional tests end with a TRUNCATE, which our append-only tables refuse to everybody else."""
    with self.connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            _flush(self, sql_list)
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")


DatabaseOperations.execute_sql_flush = _flush_past_guards
