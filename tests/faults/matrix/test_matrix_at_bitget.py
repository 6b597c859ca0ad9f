"""The crash matrix at Bitget, and on paper: whatever goes wrong, the books are the exchange's."""

import pytest

from tests.faults.matrix import record
from tests.faults.matrix.cells import Cell, chosen, how_to_repeat
from tests.faults.matrix.lab import Lab

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("cell", chosen("bitget", "paper"), ids=lambda cell: cell.name)
def test_cell(lab: Lab, cell: Cell) -> None:
    with how_to_repeat(cell), record.passed(cell):
        cell.run(lab)
