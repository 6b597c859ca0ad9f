"""How much of a long proof runs: a sample in CI, all of it with DGBOT_TEST_FULL=1. What takes turns is chosen by the commit."""

import hashlib
import os
import subprocess
from functools import cache

import pytest

from dgbot.env import BASE_DIR

IS_FULL = os.environ.get("DGBOT_TEST_FULL") == "1"


def scale(*, sample: int, full: int) -> int:
    """`full` when the whole proof is asked for, else `sample`."""
    return full if IS_FULL else sample


@cache
def commit() -> str:
    """The commit that chooses what runs."""
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=BASE_DIR, capture_output=True, text=True, check=False)
    return told.stdout.strip() or os.environ.get("GITHUB_SHA", "no commit")


def turn_of(count: int) -> int:
    """Whose turn it is among `count` at this commit, from 0."""
    return int.from_bytes(hashlib.sha256(commit().encode()).digest()[:4]) % count


def in_turn(number: int, *, of: int) -> pytest.MarkDecorator:
    """Run it when it is the turn of `number` among `of` long tests, and always in full."""
    return pytest.mark.skipif(not IS_FULL and turn_of(of) != number, reason="another commit's turn; DGBOT_TEST_FULL=1 runs it")


only_in_full = pytest.mark.skipif(not IS_FULL, reason="a variant of what CI proves; DGBOT_TEST_FULL=1 runs it")
