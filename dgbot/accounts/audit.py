"""The audit log: who changed what, when and why, each entry chained to the one before it."""

import hashlib
import json
from datetime import UTC
from typing import Any

from django.db import connection, transaction

from dgbot.accounts.models import AuditEntry
from dgbot.base.machine import machine_now

CHAIN_LOCK = 0x6467_6175  # any constant: writers of the chain queue up behind it


@transaction.atomic
def record(*, actor: Any, action: str, target: str, reason: str = "", diff: dict[str, Any] | None = None) -> AuditEntry:
    """Append one entry in the caller's transaction, so that the deed and its record stand or fall together.

    actor: a User, or the name of a process. target: type:id. diff: field to [before, after], JSON values without secrets.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])
    previous = AuditEntry.objects.order_by("-pk").values_list("hash", flat=True).first() or ""
    content: dict[str, Any] = {
        "at": machine_now(),
        "actor": None if isinstance(actor, str) else actor,
        "actor_name": actor if isinstance(actor, str) else actor.get_username(),
        "action": action,
        "target": target,
        "reason": reason,
        "diff": diff or {},
    }
    entry = AuditEntry(previous_hash=previous, **content)
    entry.hash = _hash(entry)
    entry.save(force_insert=True)
    return entry


def first_broken() -> int | None:
    """Primary key of the first entry whose hash does not follow from its content and the entry before it; None: all hold."""
    previous = ""
    for entry in AuditEntry.objects.order_by("pk").iterator():
        if entry.previous_hash != previous or entry.hash != _hash(entry):
            return entry.pk
        previous = entry.hash
    return None


def _hash(entry: AuditEntry) -> str:
    told = [entry.at.astimezone(UTC).isoformat(), entry.actor_id, entry.actor_name, entry.action, entry.target, entry.reason, entry.diff]
    text = json.dumps([entry.previous_hash, *told], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
