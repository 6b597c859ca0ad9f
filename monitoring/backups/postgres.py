"""The database as a file and back, by PostgreSQL's own programs, with every table's checksum from the very same snapshot."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
from django.conf import settings
from psycopg2 import sql

from dgbot.base.locks import connect_direct
from dgbot.core.errors import BadInput
from dgbot.local import binaries

LONGEST_S = 3600
STDERR_LIMIT = 1000  # characters of what a program complained
JOBS = 2
# Rows as text must read alike whoever asks.
SAME_TEXT = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1"
)
TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
GRANTEES = """
SELECT DISTINCT r.rolname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') ORDER BY 1
"""
# The sum of the rows' hashes: the order in which rows lie says nothing, and a changed, lost or doubled row changes it.
FINGERPRINT = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} t"

Fingerprints = dict[str, list[Any]]  # table → [rows, sum of hashes]


def dump(draft: Path) -> dict[str, Any]:
    """Write the whole database to `draft`. Returns its contents. Raises BadInput with what pg_dump said."""
    session = connect_direct("backup")
    try:
        with session.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
            snapshot, version = cursor.fetchone()
            cursor.execute(GRANTEES)
            grantees = [name for (name,) in cursor.fetchall()]
            writing = subprocess.Popen(  # noqa: S603  the program is PostgreSQL's, the arguments are ours
                [program("pg_dump", server=version), "--format=custom", "--compress=gzip:1", f"--snapshot={snapshot}", f"--file={draft}"],
                env=_surroundings(settings.DATABASE_DIRECT["NAME"]),
                stderr=subprocess.PIPE,
            )
            try:
                tables = fingerprints(cursor)
                _, complaint = writing.communicate(timeout=LONGEST_S)
            finally:
                if writing.poll() is None:
                    writing.kill()
                    writing.wait()
    finally:
        session.close()
    if writing.returncode:
        raise BadInput(f"pg_dump failed: {complaint.decode(errors='replace').strip()[-STDERR_LIMIT:]}")
    return {"kind": "postgres", "server": version, "grantees": grantees, "tables": tables}


def fingerprints(cursor: Any) -> Fingerprints:
    """Rows and checksum of every table of ours, as this transaction sees them."""
    cursor.execute(SAME_TEXT)
    cursor.execute(TABLES)
    found: Fingerprints = {}
    for (table,) in cursor.fetchall():
        cursor.execute(sql.SQL(FINGERPRINT).format(sql.Identifier(table)))
        found[table] = list(cursor.fetchone())
    return found


def load(path: Path, *, into: str, contents: dict[str, Any]) -> None:
    """Fill the empty database `into` from a dump and compare every table. Raises BadInput."""
    session = connect(into)
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version')")
            (version,) = cursor.fetchone()
            cursor.execute("SELECT rolname FROM pg_roles")
            roles = {name for (name,) in cursor.fetchall()}
        without_rights = [] if set(contents["grantees"]) <= roles else ["--no-privileges"]
        _run(
            [program("pg_restore", server=version), "--exit-on-error", "--no-owner", *without_rights, f"--jobs={JOBS}"],
            [f"--dbname={into}", str(path)],
            database=into,
        )
        with session.cursor() as cursor:
            cursor.execute("ANALYZE")
            refuse_difference(fingerprints(cursor), contents["tables"])
    finally:
        session.close()


def refuse_difference(found: Fingerprints, wanted: Fingerprints) -> None:
    """Raises BadInput naming every table that is not as it was."""
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        raise BadInput(f"{len(wrong)} of {len(wanted)} tables are not as they were when the backup was made: {', '.join(wrong)}")


def connect(database: str) -> Any:
    """A new autocommit session with a database of our server, past any pooler. Raises psycopg2.Error."""
    server = settings.DATABASE_DIRECT
    session = psycopg2.connect(
        dbname=database,
        user=server["USER"] or None,
        password=server["PASSWORD"] or None,
        host=server["HOST"] or None,
        port=server["PORT"] or None,
        connect_timeout=5,
        application_name="dgbot restore",
    )
    session.autocommit = True
    return session


def program(name: str, *, server: str) -> str:
    """`pg_dump` or `pg_restore` that can serve this server: the one that came with us, else the machine's. Raises BadInput."""
    wanted = int(server.split(".", maxsplit=1)[0])
    for found in _candidates(name):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
        major = re.search(r"(\d+)", said.rpartition(")")[2])
        if major and int(major.group(1)) >= wanted:
            return found
    raise BadInput(f"no {name} of PostgreSQL {wanted} or newer is on this machine; install postgresql-client-{wanted}")


def _candidates(name: str) -> list[str]:
    try:
        ours = [str(binaries.postgres_bin() / name)]
    except BadInput:  # a machine without our wheel, such as Alpine
        ours = []
    return [*ours, *filter(None, [shutil.which(name)])]


def _run(command: Sequence[str], arguments: Sequence[str], *, database: str) -> None:
    done = subprocess.run(  # noqa: S603  the program is PostgreSQL's, the arguments are ours
        [*command, *arguments], env=_surroundings(database), capture_output=True, check=False, timeout=LONGEST_S
    )
    if done.returncode:
        raise BadInput(f"{Path(command[0]).name} failed: {done.stderr.decode(errors='replace').strip()[-STDERR_LIMIT:]}")


def _surroundings(database: str) -> dict[str, str]:
    """How PostgreSQL's programs find the server; a password in the arguments could be read by everybody on this machine."""
    server = settings.DATABASE_DIRECT
    given = {"PGHOST": server["HOST"], "PGPORT": server["PORT"], "PGUSER": server["USER"], "PGPASSWORD": server["PASSWORD"]}
    named = {name: str(value) for name, value in given.items() if value}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGDATABASE": str(database), "PGCONNECT_TIMEOUT": "5", **named}
