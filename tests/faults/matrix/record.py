"""What a full run has proven: a line per cell that passed, and the block of docs/order-path-proof.md made of them.

Several processes run cells of one commit, so the lines are kept in a file of that commit.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dgbot.core.crash import POINTS
from dgbot.env import BASE_DIR
from tests import proof_page
from tests.faults.matrix import worlds
from tests.faults.matrix.cells import Cell

FOLDER = BASE_DIR / "var" / "crash-matrix"
POINT_NAMES: dict[int, list[str]] = defaultdict(list)
for point, number in POINTS.items():
    POINT_NAMES[number].append(point)


@contextmanager
def passed(cell: Cell) -> Iterator[None]:
    """Write a line when the block ends well."""
    began = time.monotonic()
    yield
    line = json.dumps({"cell": cell.name, "seconds": round(time.monotonic() - began, 2)})
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _file().open("a") as file:
        file.write(f"{line}\n")


def write_page(cells: Sequence[Cell]) -> None:
    """Rewrite the block of the process tier from every line of this commit."""
    file = _file()
    lines = file.read_text().splitlines() if file.exists() else []
    seconds = {told["cell"]: told["seconds"] for told in map(json.loads, lines)}
    proof_page.write_block("processes", block(cells, seconds))


def block(cells: Sequence[Cell], seconds: dict[str, float]) -> str:
    """The text. seconds: by cell that passed."""
    wanted, found = Counter(_place(cell) for cell in cells), Counter(_place(cell) for cell in cells if cell.name in seconds)
    missing = [cell.name for cell in cells if cell.name not in seconds]
    rows = sorted({row for row, _venue in wanted})
    return "\n".join(
        [
            "## Real processes, killed at named points (tier P)",
            "",
            f"Commit {proof_page.commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {len(cells) - len(missing)} of {len(cells)} cells"
            f" passed; after each, every invariant of `tests/faults/invariants.py` was checked against the exchange's own ledger.",
            *([f"Not passed: {', '.join(missing[:20])}{' …' if len(missing) > 20 else ''}."] if missing else []),
            "",
            *proof_page.table(
                ("row", "where or what", *worlds.VENUES),
                (
                    (
                        row,
                        _meaning(row),
                        *(f"{found[row, venue]}/{wanted[row, venue]}" if wanted[row, venue] else "" for venue in worlds.VENUES),
                    )
                    for row in rows
                ),
            ),
        ]
    )


def _place(cell: Cell) -> tuple[str, str]:
    return cell.name.partition("-")[0], cell.venue


def _meaning(row: str) -> str:
    return " / ".join(POINT_NAMES[int(row)]) if row.isdigit() else "network and exchange"


def _file() -> Path:
    return FOLDER / f"{proof_page.commit()}.jsonl"
