"""A migrated PostgreSQL cluster, kept in `var/` for as long as no migration changes: copying it is faster than migrating anew."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from dgbot.env import BASE_DIR
from dgbot.local.lock import held
from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, Servers

MIGRATED, TESTED = "dgbot", "test_dgbot"  # the first is what the second, which the tests use, is made from
KEPT = BASE_DIR / "var" / "test-clusters"
LONGEST_S = 300.0  # migrating on a busy machine


def put_into(places: Places) -> None:
    """Give a data folder whose servers are not started yet a copy of the migrated cluster, which is made if it is missing."""
    with _kept() as cluster:
        _copy(cluster, places.postgres)


@contextmanager
def _kept() -> Iterator[Path]:
    KEPT.mkdir(parents=True, exist_ok=True)
    with held(KEPT / "lock", timeout_s=LONGEST_S):  # parallel workers need it at the same moment
        cluster = KEPT / f"{_fingerprint()}.cluster"
        if not cluster.exists():
            _make(cluster)
        yield cluster


def make_database(places: Places) -> None:
    """The database of a test session, on its running server."""
    with closing(psycopg2.connect(host=str(places.run), user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TESTED} TEMPLATE {MIGRATED}")


def _fingerprint() -> str:
    """Another one after every change of a migration or a package."""
    said = hashlib.sha256()
    rooms = (path for path in BASE_DIR.iterdir() if path.is_dir() and path.name != ".venv")
    migrations = [file for room in rooms for file in room.glob("**/migrations/*.py")]
    for path in [BASE_DIR / "requirements-dev.txt", *sorted(migrations)]:
        said.update(str(path.relative_to(BASE_DIR)).encode() + path.read_bytes())
    return said.hexdigest()[:20]


def _make(cluster: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="dgbot-test.", dir="/tmp"))  # short, for the sockets
    folder.chmod(0o755)  # as root the servers run as another user, who must get in
    places = Places(folder)
    try:
        with Servers(places, names=(POSTGRES,), throwaway=True):
            url = places.database_url(name=MIGRATED)  # as the platform does: its role owns what it has made
            surroundings = {**os.environ, "DATABASE_URL": url, "DGBOT_DATA_DIR": str(folder), "DGBOT_SUPERVISED": "true"}
            subprocess.run([sys.executable, BASE_DIR / "manage.py", "migrate", "--verbosity=0"], env=surroundings, check=True)
        for old in KEPT.glob("*.cluster"):
            shutil.rmtree(old)
        draft = KEPT / "draft.cluster"
        _copy(places.postgres, draft)
        draft.rename(cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)  # owners and modes included


if __name__ == "__main__":  # before any test, so that none waits for it
    with _kept():
        pass
