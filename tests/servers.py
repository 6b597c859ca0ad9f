"""A pytest plugin: PostgreSQL and Valkey for the test session, started at the first test that needs them.

Loaded with `-p tests.servers`, so it sets the addresses before Django's settings are read. The servers are those of
`dgbot.local`, in a throwaway folder. With DATABASE_URL or REDIS_URL set, those servers are used instead.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, VALKEY, Servers
from tests import kept_cluster

OURS = "TESTS_START_SERVERS"  # tells pytest's parallel workers, who inherit our addresses, to start servers of their own
VARIABLES = {POSTGRES: "DATABASE_URL", VALKEY: "REDIS_URL"}
WANTED = tuple(os.environ[OURS].split()) if OURS in os.environ else tuple(name for name in VARIABLES if not os.environ.get(VARIABLES[name]))
os.environ[OURS] = " ".join(WANTED)


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dgbot-test.", dir="/tmp"))  # short, for the sockets
    folder.chmod(0o755)  # as root the servers run as another user, who must get in
    return folder


FOLDER = _make_folder()
PLACES = Places(FOLDER)
os.environ["DGBOT_DATA_DIR"] = str(FOLDER)
# Compiled kernels outlive the session: they depend on their sources alone, and compiling takes longer than most tests.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / "var" / "numba-tests"))
if POSTGRES in WANTED:
    os.environ["DATABASE_URL"] = PLACES.database_url(user="postgres")  # only a superuser may empty tables past their triggers
if VALKEY in WANTED:
    os.environ["REDIS_URL"] = PLACES.redis_url()


def pytest_unconfigure() -> None:
    """Remove the folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Places]:
    """PostgreSQL and Valkey, running."""
    if not WANTED:
        yield PLACES
        return
    if POSTGRES in WANTED:
        kept_cluster.put_into(PLACES)
    with Servers(PLACES, names=WANTED, throwaway=True):
        if POSTGRES in WANTED:
            kept_cluster.make_database(PLACES)
        yield PLACES
