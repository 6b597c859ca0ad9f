"""The audit log: who changed what, when and why, each entry chained to the one before it."""

import hashlib
import json
from typing import Any

from django.db import connection, transaction

from dgbot.accounts.models import AuditEntry

CHAIN_LOCK = 0x6467_6175  # any constant: writers of the chain queue up behind it


@transaction.atomic
def record(*, actor: Any, action: str, target: str, reason: str = "", diff: dict[str, Any] | None = None) -> AuditEntry:
    """Append one entry in the caller's transaction, so that the deed and its record stand or fall together.

    actor: a User, or the name of a process. target: type:id. diff: field to [before, after], JSON values without secrets.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])
    previous = AuditEntry.objects.order_by("-pk").values_list("hash", flat=True).first() or ""
    user = None if isinstance(actor, str) else actor
    content: dict[str, Any] = {
        "actor_name": actor if isinstance(actor, str) else actor.get_username(),
        "action": action,
        "target": target,
        "reason": reason,
        "diff": diff or {},
    }
    return AuditEntry.objects.create(actor=user, previous_hash=previous, hash=_hash(previous, content), **content)


def first_broken() -> int | None:
    """Primary key of the first entry whose hash does not follow from its content and the entry before it; None: all hold."""
    previous = ""
    for entry in AuditEntry.objects.order_by("pk").iterator():
        content = {name: getattr(entry, name) for name in ("actor_name", "action", "target", "reason", "diff")}
        if entry.previous_hash != previous or entry.hash != _hash(previous, content):
            return entry.pk
        previous = entry.hash
    return None


def _hash(previous: str, content: dict[str, Any]) -> str:
    text = previous + json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
