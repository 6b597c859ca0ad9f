"""Which backups are kept, how old the newest good ones are, and their copies in a bucket."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q, Sum

from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput
from monitoring.backups import files
from monitoring.backups.models import Backup, BackupKind, BackupState

KEPT_DAYS = 7
LATE_AFTER = timedelta(hours=26)  # made daily; two hours of grace
ALWAYS_KEPT = 1  # newest good one of each kind, however old: a clean-up must not leave nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """One kind's backups. Ages in seconds of machine time; None: there is no good one."""

    kind: str
    count: int
    bytes: int
    newest: str
    age_s: float | None
    proven_age_s: float | None
    failures: int  # since the newest good one
    last_error: str

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def standing() -> list[Standing]:
    """How each kind stands, from our rows."""
    now = machine_now()
    counted = Q(state=BackupState.DONE, removed_at=None)
    found = Backup.objects.values("kind").annotate(
        count=Count("pk", filter=counted),
        bytes=Sum("bytes", filter=counted),
        newest=Max("started_at", filter=counted),
        proven=Max("proven_at"),
    )
    by_kind: dict[str, dict[str, Any]] = {row["kind"]: dict(row) for row in found}
    return [_standing(kind, by_kind.get(kind, NOTHING), now) for kind in BackupKind.values]


def clean_up(*, days: int = KEPT_DAYS) -> int:
    """Remove files of good backups older than `days`, and of failed ones. The newest good one of each kind stays. Returns how many."""
    if days < 1:
        raise BadInput(f"backups are kept for at least 1 day, was {days}")
    now = machine_now()
    removed = 0
    for kind in BackupKind.values:
        good = Backup.objects.filter(kind=kind, state=BackupState.DONE, removed_at=None).order_by("-started_at", "-pk")
        for row in good[ALWAYS_KEPT:]:
            if row.started_at < now - timedelta(days=days):
                files.remove(files.folder() / row.file)
                Backup.objects.filter(pk=row.pk).update(removed_at=now)
                removed += 1
    log.info("%d backups older than %d days removed", removed, days)
    return removed


def upload() -> list[str]:
    """Copy every backup that is not there yet into the bucket, with its checksum and contents. Returns the names.

    Raises BadInput without a bucket, and when what lies there afterwards is not what was sent.
    """
    if not settings.ENV["AWS_BUCKET_NAME"]:
        raise BadInput("AWS_BUCKET_NAME is not set, so there is no bucket to copy backups to; set it and the bucket's keys")
    client = _client()
    sent = []
    for row in Backup.objects.filter(state=BackupState.DONE, removed_at=None, uploaded_at=None).order_by("pk"):
        _send(client, row)
        Backup.objects.filter(pk=row.pk).update(uploaded_at=machine_now())
        sent.append(row.file)
    return sent


NOTHING: dict[str, Any] = {"count": 0, "bytes": None, "newest": None, "proven": None}


def _standing(kind: str, found: dict[str, Any], now: datetime) -> Standing:
    newest = Backup.objects.filter(kind=kind, started_at=found["newest"]).order_by("-pk").first() if found["newest"] else None
    failed = Backup.objects.filter(kind=kind, state=BackupState.FAILED, **({"started_at__gt": found["newest"]} if newest else {}))
    errors = list(failed.order_by("-started_at").values_list("error", flat=True))
    return Standing(
        kind=kind,
        count=found["count"],
        bytes=found["bytes"] or 0,
        newest=newest.file if newest else "",
        age_s=(now - newest.started_at).total_seconds() if newest else None,
        proven_age_s=(now - found["proven"]).total_seconds() if found["proven"] else None,
        failures=len(errors),
        last_error=errors[0] if errors else "",
    )


def _client() -> Any:
    import boto3  # only where a bucket is used: it takes a third of a second
    from botocore.config import Config

    config = Config(signature_version="s3v4", retries={"max_attempts": 3}, connect_timeout=10, read_timeout=60)
    return boto3.client("s3", region_name=settings.ENV["AWS_REGION"] or None, config=config)


def _send(client: Any, row: Backup) -> None:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, path = settings.ENV["AWS_BUCKET_NAME"], files.folder() / row.file
    files.checked(path)
    try:
        for suffix in (*files.BESIDE, ""):  # the backup last: what lies under its name is complete
            source = files.beside(path, suffix)
            client.upload_file(str(source), bucket, f"backups/{source.name}", ExtraArgs={"Metadata": {"sha256": files.sha256_of(source)}})
        told = client.head_object(Bucket=bucket, Key=f"backups/{path.name}")
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise BadInput(f"{row.file} could not be copied to the bucket {bucket}: {error}") from error
    if (told["ContentLength"], told["Metadata"].get("sha256")) != (row.bytes, row.sha256):
        raise BadInput(f"the copy of {row.file} in the bucket {bucket} is not what was sent; it will be sent again")
