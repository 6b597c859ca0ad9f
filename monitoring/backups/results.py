"""Candles, backtest results and the guardians' journals as one archive, and back."""

import tarfile
from pathlib import Path
from typing import Any

from django.conf import settings

from dgbot.core.errors import BadInput

FOLDERS = ("media", "journal")  # of the data folder; keys, databases and logs lie beside them and stay out


def dump(draft: Path) -> dict[str, Any]:
    """Write the folders to `draft`. Returns its contents. Our writers rename whole files, so each is whole."""
    files, size = 0, 0
    with tarfile.open(draft, "w:gz", compresslevel=1) as archive:
        for path in _files():
            try:
                archive.add(path, arcname=str(path.relative_to(settings.DATA_DIR)), recursive=False)
            except FileNotFoundError:  # a draft that was just renamed
                continue
            files, size = files + 1, size + path.stat().st_size
    return {"kind": "results", "files": files, "bytes_unpacked": size}


def load(path: Path) -> int:
    """Unpack over what is there. Returns the number of files."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = archive.getmembers()
            archive.extractall(settings.DATA_DIR, members=members, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BadInput(f"{path.name} could not be unpacked into {settings.DATA_DIR}: {error}") from error
    return len(members)


def _files() -> list[Path]:
    found = (path for name in FOLDERS for path in (Path(settings.DATA_DIR) / name).rglob("*"))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())
