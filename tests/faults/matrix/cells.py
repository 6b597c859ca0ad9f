"""The cells of the crash matrix and which of them a run proves.

A cell is one way to go wrong at one venue over one kind of order. Rows are the crash points of `dgbot.core.crash` and the network
faults of the catalogue. What is required of every cell besides its own outcome is in `tests.faults.invariants`.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest

from tests.faults.matrix import dying, network
from tests.faults.matrix.lab import Lab
from tests.scale import IS_FULL, commit

IN_CI = 60


class Cell(Protocol):
    """One of them. waits_for: what the product lacks so that it can pass; empty when it must pass."""

    @property
    def venue(self) -> str:
        """One of worlds.VENUES."""

    @property
    def name(self) -> str:
        """Its name as a test."""

    @property
    def waits_for(self) -> str:
        """See above."""

    def run(self, lab: Lab) -> None:
        """Prepare, let it go wrong, heal, compare. Raises AssertionError with everything that is wrong."""


def every_cell() -> list[Cell]:
    """All of them, in a fixed order."""
    return [*dying.cells(), *network.cells()]


def chosen(*venues: str) -> list[Cell]:
    """What this run proves at some venues: everything with DGBOT_TEST_FULL=1, else this commit's share of IN_CI cells."""
    cells = every_cell()
    if not IS_FULL:
        ready = [cell for cell in cells if not cell.waits_for]
        cells = sorted(ready, key=lambda cell: hashlib.sha256(f"{commit()} {cell.name}".encode()).digest())[:IN_CI]
    return [cell for cell in cells if cell.venue in venues]


@contextmanager
def how_to_repeat(cell: Cell) -> Iterator[None]:
    """What to type when the cell fails; one that waits for something is told apart."""
    if cell.waits_for:
        pytest.xfail(f"waits for {cell.waits_for}")
    try:
        yield
    except AssertionError as error:
        again = f"DGBOT_TEST_FULL=1 .venv/bin/python -m pytest tests/faults/matrix -k {cell.name}"
        raise AssertionError(f"{cell.name} at commit {commit()}: {error}\nRun it again: {again}") from error
