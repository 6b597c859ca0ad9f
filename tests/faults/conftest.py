"""A platform for each test, and nothing of it left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgbot.local.paths import Places
from dgbot.local.servers import Servers
from tests import kept_cluster
from tests.faults.crew import PREPARED, Crew
from tests.faults.platform import Platform


@pytest.fixture(scope="session")
def prepared() -> Iterator[Path]:
    """A data folder with a prepared database, its servers stopped: what every module starts from. PREPARED holds what was said."""
    with temporary_folder() as folder:
        kept_cluster.put_into(Places(folder))
        with Servers(Places(folder)):
            (folder / PREPARED).write_text(Crew(folder).manage("prepare"))
        yield folder


@pytest.fixture(scope="module")
def folder(prepared: Path) -> Iterator[Path]:
    """One data folder for a module: a copy, so that only the first one of all migrates."""
    with temporary_folder() as folder:
        subprocess.run(["cp", "--archive", f"{prepared}/.", folder], check=True)  # owners and modes included
        yield folder


@pytest.fixture
def platform(folder: Path) -> Iterator[Platform]:
    platform = Platform(folder)
    yield platform
    if platform.run and platform.run.poll() is None:
        platform.run.kill()
    for pid in platform.left_after(15):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dgbot-up.", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
