"""Compose's two roles, made by its own script on a real server: the app's role works and can loosen nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import psycopg2
import pytest
from django.conf import settings

from dgbot.env import BASE_DIR
from dgbot.local import binaries
from dgbot.local.paths import Places

PASSWORD = "for-this-test-only"
SCRIPT = BASE_DIR / "deploy/postgres/10-roles.sh"
FORBIDDEN = {
    "switch a trigger off": "ALTER TABLE trades DISABLE TRIGGER ALL",
    "drop a table": "DROP TABLE trades",
    "empty a table past its triggers": "TRUNCATE order_events",
    "skip triggers for the session": "SET session_replication_role = replica",
    "loosen a constraint": "ALTER TABLE orders DROP CONSTRAINT order_status_known",
    "become the owner": "SET ROLE roles_owner",
    "change a guard": "ALTER FUNCTION trades_append_only() RENAME TO harmless",
    "make a table of its own": "CREATE TABLE public.side_book (id int)",
}


def url_of(user: str, *, name: str) -> str:
    """How `user` connects to the database `name` of the tests' server."""
    server = settings.DATABASES["default"]
    host, port = quote(server["HOST"], safe=""), f":{server['PORT']}" if server["PORT"] else ""
    return f"postgres://{user}:{PASSWORD}@{host}{port}/{name}"


@pytest.fixture(scope="module")
def app_url(servers: Places) -> Iterator[str]:
    """A fresh database, roles made by the script, prepared as its owner. Yields how the app connects."""
    server = settings.DATABASES["default"]
    admin = psycopg2.connect(
        host=server["HOST"], port=server["PORT"] or None, user=server["USER"], password=server["PASSWORD"] or None, dbname="postgres"
    )
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE ROLE roles_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        cursor.execute("CREATE DATABASE roles OWNER roles_owner")
    surroundings = {
        **os.environ,
        "PATH": f"{binaries.postgres_bin()}:{os.environ['PATH']}",
        "PGHOST": server["HOST"],
        "PGPORT": str(server["PORT"] or 5432),
        "PGPASSWORD": PASSWORD,
        "POSTGRES_USER": "roles_owner",
        "POSTGRES_DB": "roles",
        "POSTGRES_APP_PASSWORD": PASSWORD,
    }
    try:
        subprocess.run(["sh", SCRIPT], env=surroundings, check=True, capture_output=True)
        manage("prepare", url=url_of("roles_owner", name="roles"))
        yield url_of("dgbot_app", name="roles")
    finally:
        with admin.cursor() as cursor:
            cursor.execute("DROP DATABASE roles WITH (FORCE)")
            cursor.execute("DROP ROLE IF EXISTS dgbot_app")
            cursor.execute("DROP ROLE roles_owner")
        admin.close()


def manage(*arguments: str, url: str) -> str:
    """Run a command of the platform against `url`; its output. Fails the test with what it said."""
    command = [sys.executable, BASE_DIR / "manage.py", *arguments]
    done = subprocess.run(command, check=False, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_app_role_cannot(app_url, what):
    connection = psycopg2.connect(app_url)

    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(FORBIDDEN[what])

    connection.close()


def test_the_app_role_runs_a_cycle(app_url):
    manage("run_cycle", "1", url=app_url)

    connection = psycopg2.connect(app_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM stage_results")
        assert cursor.fetchone() == (4,)
    connection.close()
