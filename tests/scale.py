"""How much of a long proof runs: a sample in CI, all of it with DGBOT_TEST_FULL=1."""

import os

import pytest

IS_FULL = os.environ.get("DGBOT_TEST_FULL") == "1"


def scale(*, sample: int, full: int) -> int:
    """`full` when the whole proof is asked for, else `sample`."""
    return full if IS_FULL else sample


only_in_full = pytest.mark.skipif(not IS_FULL, reason="a variant of what CI proves; DGBOT_TEST_FULL=1 runs it")
