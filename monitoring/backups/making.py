"""Making backups: one at a time, each recorded before it starts, whatever becomes of it."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from dgbot.base.locks import connect_direct
from dgbot.core.errors import BadInput
from monitoring.backups import files, postgres, redis_keys, results
from monitoring.backups.files import Written
from monitoring.backups.models import Backup, BackupKind, BackupReason, BackupState

LOCK_KEY = 0x6467_626F_7462_6163
ERROR_LIMIT = 2000  # characters

DUMPS: dict[str, Callable[[Path], dict[str, Any]]] = {"postgres": postgres.dump, "redis": redis_keys.dump, "results": results.dump}

log = logging.getLogger(__name__)


class Busy(BadInput):
    """Another backup runs. Wait for its end."""


def make(kind: str, *, reason: BackupReason) -> Backup:
    """One backup. Raises Busy while another runs, BadInput saying why it failed; the failure is recorded as well."""
    with alone():
        _close_the_dead()
        row = Backup.objects.create(kind=kind, reason=reason)
        try:
            written = write(kind)
        except Exception as error:
            sentence = f"The {kind} backup failed: {error}"
            Backup.objects.filter(pk=row.pk).update(state=BackupState.FAILED, error=sentence[:ERROR_LIMIT])
            log.error("%s Look into the cause and run scripts/backup.sh %s again.", sentence, kind)
            raise
        return _done(row, written)


def make_all(kinds: Sequence[str] = BackupKind.values, *, reason: BackupReason) -> tuple[list[Backup], list[str]]:
    """Several kinds, one after the other; one that fails does not keep the next from being made. Returns backups and failures."""
    made, failed = [], []
    for kind in kinds:
        try:
            made.append(make(kind, reason=reason))
        except BadInput as error:
            failed.append(f"{kind}: {error}")
    return made, failed


def write(kind: str) -> Written:
    """Write one backup file without recording it."""
    began = time.monotonic()
    path = files.path_for(kind, at=datetime.now(tz=UTC))
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.touch(mode=0o600)
        contents = DUMPS[kind](draft)
        size, checksum = files.finish(draft, path, contents)
    except (OSError, psycopg2.Error) as error:
        raise BadInput(f"{path.name} could not be written: {error}".strip()) from error
    finally:
        draft.unlink(missing_ok=True)
    return Written(kind=kind, path=path, bytes=size, sha256=checksum, contents=contents, seconds=time.monotonic() - began)


def record(written: Written, *, reason: BackupReason) -> Backup:
    """Record a file that was written before its row could be, as one before an upgrade."""
    return _done(Backup.objects.create(kind=written.kind, reason=reason), written)


@contextmanager
def alone() -> Iterator[None]:
    """At most one backup, clean-up or upload at a time. Raises Busy."""
    session = connect_direct("backup lock")
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY])
            if not cursor.fetchone()[0]:
                raise Busy("another backup runs on this database; wait for its end (manage.py backup stats shows it)")
        yield
    finally:
        session.close()


def _done(row: Backup, written: Written) -> Backup:
    row.state, row.file, row.bytes, row.sha256 = BackupState.DONE, written.path.name, written.bytes, written.sha256
    row.contents, row.duration_ms = written.contents, round(written.seconds * 1000)
    row.save(update_fields=["state", "file", "bytes", "sha256", "contents", "duration_ms"])
    log.info("backup=%s %s: %d bytes in %.1f s", row.pk, row.file, written.bytes, written.seconds)
    return row


def _close_the_dead() -> None:
    """We hold the lock, so whoever still says `running` has died."""
    died = Backup.objects.filter(state=BackupState.RUNNING)
    died.update(state=BackupState.FAILED, error="Its process ended before the backup was finished.")
    for draft in files.folder().glob("*.draft"):
        with suppress(FileNotFoundError):
            draft.unlink()
