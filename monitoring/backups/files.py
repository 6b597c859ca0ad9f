"""Backup files: where they lie, how they are named, and how one proves to be whole."""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from dgbot.core.errors import BadInput

SUFFIXES = {"postgres": ".dump", "redis": ".jsonl.gz", "results": ".tar.gz"}
BESIDE = (".sha256", ".json")  # files that belong to each backup
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Written:
    """A finished file and what it holds."""

    kind: str
    path: Path
    bytes: int
    sha256: str
    contents: dict[str, Any]
    seconds: float


def folder() -> Path:
    """Where backups lie; made if missing, for its owner's eyes alone."""
    path: Path = settings.BACKUP_DIR
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"the backup folder {path} cannot be made ({error.strerror}); set DGBOT_BACKUP_DIR to another one") from error
    return path


def path_for(kind: str, *, at: datetime) -> Path:
    """The file of a backup begun then (UTC)."""
    return folder() / f"dgbot-{kind}-{at:%Y%m%dT%H%M%S%fZ}{SUFFIXES[kind]}"


def kind_of(path: Path) -> str:
    """What a backup file holds, by its name. Raises BadInput for any other file."""
    kind = next((kind for kind, suffix in SUFFIXES.items() if path.name.endswith(suffix)), None)
    if kind is None:
        raise BadInput(f"{path.name} is no backup of ours: its name ends with none of {', '.join(SUFFIXES.values())}")
    return kind


def finish(draft: Path, path: Path, contents: dict[str, Any]) -> tuple[int, str]:
    """Put a whole draft in its place with its checksum and contents beside it. Returns its bytes and SHA-256.

    The backup itself is renamed last: whatever is found under its name is complete, and so are the files beside it.
    """
    draft.chmod(0o600)
    checksum = sha256_of(draft)
    size = draft.stat().st_size
    _write(beside(path, ".sha256"), f"{checksum}  {path.name}\n")
    _write(beside(path, ".json"), json.dumps({"sha256": checksum, "bytes": size, **contents}, indent=1) + "\n")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)
    return size, checksum


def checked(path: Path) -> dict[str, Any]:
    """The contents of a backup whose bytes equal its checksum. Raises BadInput saying what is wrong."""
    try:
        contents: dict[str, Any] = json.loads(beside(path, ".json").read_text())
        found = sha256_of(path)
    except FileNotFoundError as error:
        raise BadInput(f"{error.filename} is missing; a backup is three files: itself, .sha256 and .json beside it") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path.name} cannot be read: {error}") from error
    if found != contents["sha256"]:
        raise BadInput(f"{path.name} is damaged: its SHA-256 is {found}, and was {contents['sha256']} when it was made; take another one")
    return contents


def newest(kind: str) -> Path:
    """The newest file of a kind. Raises BadInput when there is none."""
    found = sorted(folder().glob(f"dgbot-{kind}-*{SUFFIXES[kind]}"))
    if not found:
        raise BadInput(f"there is no {kind} backup in {folder()}; make one: scripts/backup.sh {kind}")
    return found[-1]


def remove(path: Path) -> None:
    """Delete a backup, itself first, and what lies beside it."""
    for each in (path, *(beside(path, suffix) for suffix in BESIDE)):
        each.unlink(missing_ok=True)


def beside(path: Path, suffix: str) -> Path:
    """A file that belongs to the backup at `path`."""
    return path.with_name(path.name + suffix)


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    said = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            said.update(chunk)
    return said.hexdigest()


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
