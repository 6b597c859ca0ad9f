"""What a run leaves on disk when asked: every trade as a table, and its drawings."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from dgbot.core.errors import BadInput

TRADE_COLUMNS = (
    "entry_at",
    "exit_at",
    "side",
    "entry_price",
    "exit_price",
    "quantity",
    "profit",
    "profit_fraction",
    "holding_bars",
    "reason",
)


def write(
    *,
    export: Path | None,
    plot: str | None,
    name: Sequence[str],
    rows: Callable[[], list[dict[str, Any]]],
    drawn: Callable[[], dict[str, str]],
) -> list[str]:
    """Export trades to `export` and drawings to the folder `plot` ("": one in the data folder called after `name`). None: neither.

    Returns the paths. Raises BadInput when one cannot be written.
    """
    paths: list[Path] = []
    try:
        if export is not None:
            paths.append(_export(export, rows()))
        if plot is not None:
            folder = Path(plot) if plot else _folder(name)
            folder.mkdir(parents=True, exist_ok=True)
            for title, drawing in drawn().items():
                paths.append(folder / f"{title}.svg")
                paths[-1].write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be written: {error.strerror or error}.") from error
    return [str(path) for path in paths]


def _export(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0] if rows else TRADE_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    else:
        raise BadInput(f"--export writes .csv or .json, was {path.name}.")
    return path


def _folder(name: Sequence[str]) -> Path:
    stamp = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%SZ")
    words = ["".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in word) for word in name]
    return Path(settings.DATA_DIR) / "reports" / "_".join([*words, stamp])
