"""One laboratory for a module of cells, clean for each of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.matrix import record, worlds
from tests.faults.matrix.cells import every_cell
from tests.faults.matrix.lab import Lab, lab_in
from tests.scale import IS_FULL, commit


def pytest_report_header() -> str:
    """Which cells run."""
    return f"crash matrix: the cells of commit {commit()}"


@pytest.fixture(scope="module")
def laboratory(folder: Path, django_db_blocker: Any) -> Iterator[Lab]:
    """Servers, fakes and a warm nursery. A full run tells on the proof's page what has passed."""
    with django_db_blocker.unblock(), lab_in(folder, candles=worlds.candles) as made:
        yield made
    if IS_FULL:
        record.write_page(every_cell())


@pytest.fixture
def lab(laboratory: Lab) -> Iterator[Lab]:
    """Nothing of the last cell."""
    laboratory.clear()
    yield laboratory
    laboratory.end_all()
