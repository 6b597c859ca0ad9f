"""What holds for every test: the area is the folder, and tables with guards can be emptied."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.core.management.commands import flush
from django.db import connections
from django.db.backends.postgresql.operations import DatabaseOperations

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES
from tests.scale import in_turn
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


# Long files that take turns by commit, so that CI stays under its fifteen minutes; all of them run in full.
TURNS = {
    "test_api_isolation.py": 0,
    "test_backtests_outlive_workers.py": 0,
    "test_database_roles.py": 0,
    "test_notification_delivery.py": 0,
    "test_runs.py": 0,
    "test_backtest_command.py": 0,
    "test_api_lists.py": 1,
    "test_backups.py": 1,
    "test_telegram_commands.py": 1,
    "test_optimize_command.py": 1,
    "test_backtest_requests.py": 1,
    "test_parity.py": 1,
    "test_api_fuzz_sample.py": 2,
    "test_notification_facts.py": 2,
    "test_what_if.py": 2,
    "test_preflight.py": 2,
    "test_content_policy.py": 2,
    "test_bot_pages.py": 2,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its area's folder; let long files take turns."""
    for item in items:
        turn = TURNS.get(item.path.name)
        if turn is not None:
            item.add_marker(in_turn(turn, of=3))
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
