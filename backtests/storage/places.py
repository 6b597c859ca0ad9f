"""The two places a result file may lie in, and the one way in and out of them: every reading is compared with our own SHA-256.

An ETag is no checksum (of a multipart upload it is none of the contents at all), so nothing of the bucket's is trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages

from dgbot.core.errors import BadInput, DgbotError

BUCKET = "results_bucket"  # its alias among STORAGES; there when AWS_BUCKET_NAME is set


class ResultDamaged(DgbotError):
    """A stored result no longer is what was stored. It is never shown: restore it from a backup or run the backtest again."""


class StorageUnavailable(DgbotError):
    """The place does not answer for now: wait and try again; nothing was lost."""


@dataclass(frozen=True)
class Stored:
    """A file as it was stored. name: as the storage calls it."""

    name: str
    sha256: str
    size: int


def has_bucket() -> bool:
    """Whether results go to a bucket."""
    return BUCKET in settings.STORAGES


def local_folder() -> Path:
    """Where local results lie, and those that wait for the bucket."""
    return Path(settings.DATA_DIR) / "results"


def store(name: str, content: bytes, *, in_bucket: bool) -> Stored:
    """Write a new file; its name may become another one when it is taken. Raises StorageUnavailable."""
    digest = sha256(content).hexdigest()
    storage = _storage(in_bucket=in_bucket)
    try:
        kept = storage.save(name, ContentFile(content))
    except _troubles(in_bucket=in_bucket) as error:
        raise _unavailable(error, in_bucket=in_bucket) from error
    return Stored(name=kept, sha256=digest, size=len(content))


def fetch(name: str, *, expected_sha256: str, in_bucket: bool) -> bytes:
    """The contents, proven. Raises ResultDamaged when they are others or gone, StorageUnavailable when nobody answers."""
    storage = _storage(in_bucket=in_bucket)
    try:
        with storage.open(name, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise ResultDamaged(f"Result file {name} is gone; restore it from a backup or run the backtest again.") from None
    except _troubles(in_bucket=in_bucket) as error:
        raise _unavailable(error, in_bucket=in_bucket) from error
    found = sha256(content).hexdigest()
    if found != expected_sha256:
        raise ResultDamaged(
            f"Result file {name} is damaged: its SHA-256 is {found[:12]}…, stored was {expected_sha256[:12]}…; "
            "restore it from a backup or run the backtest again."
        )
    return content


def remove(name: str, *, in_bucket: bool) -> None:
    """Delete a file; one that is gone already is no trouble. Raises StorageUnavailable."""
    try:
        _storage(in_bucket=in_bucket).delete(name)
    except FileNotFoundError:
        return
    except _troubles(in_bucket=in_bucket) as error:
        raise _unavailable(error, in_bucket=in_bucket) from error


def local_files() -> Iterator[tuple[str, datetime]]:
    """Every file that lies here: its name and when it was written (aware, this machine's clock)."""
    for path in sorted(local_folder().rglob("*.parquet")):
        yield path.relative_to(local_folder()).as_posix(), datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)


def _storage(*, in_bucket: bool) -> Storage:
    if not in_bucket:
        return FileSystemStorage(location=local_folder())
    if not has_bucket():
        raise BadInput("The result lies in a bucket, but no bucket is set; set AWS_BUCKET_NAME to the one it lies in.")
    return storages[BUCKET]


def _troubles(*, in_bucket: bool) -> tuple[type[Exception], ...]:
    """What a place raises when it does not answer or refuses. A bucket's library takes half a second to import, local files need none."""
    if not in_bucket:
        return (OSError,)
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, Boto3Error, BotoCoreError, ClientError)


def _unavailable(error: Exception, *, in_bucket: bool) -> StorageUnavailable:
    where = "The bucket" if in_bucket else f"The folder {local_folder()}"
    return StorageUnavailable(f"{where} cannot be used for now: {type(error).__name__}: {str(error)[:200]}.")
