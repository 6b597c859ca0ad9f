"""A platform for each test, and nothing of it left behind."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.platform import Platform


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One data folder for all: only the first start migrates."""
    folder = Path(tempfile.mkdtemp(prefix="dgbot-up.", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def platform(folder: Path) -> Iterator[Platform]:
    platform = Platform(folder)
    yield platform
    if platform.run and platform.run.poll() is None:
        platform.run.kill()
    for pid in platform.left_after(15):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
