"""Leases on the database's clock: one worker per bot, one gateway per account, and a number that tells the old from the new."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection, transaction

from dgbot.base.machine import holder as this_process
from dgbot.base.machine import is_dead

ACQUIRE = """
INSERT INTO leases (name, holder, epoch, expires_at)
SELECT name, %(holder)s, 1, clock_timestamp() + %(seconds)s * interval '1 second' FROM unnest(%(names)s::text[]) AS name ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    epoch = leases.epoch + CASE WHEN leases.holder = EXCLUDED.holder AND leases.expires_at >= clock_timestamp() THEN 0 ELSE 1 END,
    holder = EXCLUDED.holder,
    expires_at = EXCLUDED.expires_at
WHERE leases.holder = EXCLUDED.holder OR leases.expires_at < clock_timestamp()
RETURNING name, epoch
"""

CURRENT = """
SELECT name FROM leases JOIN unnest(%(names)s::text[], %(epochs)s::bigint[]) AS held (name, epoch) USING (name, epoch)
WHERE expires_at >= clock_timestamp() ORDER BY name FOR SHARE OF leases
"""

RELEASE = "UPDATE leases SET expires_at = '-infinity' WHERE name = ANY(%(names)s::text[]) AND holder = %(holder)s"


def acquire(*, name: str, seconds: float, holder: str = "") -> int | None:
    """Take or renew the lease; its epoch, or None while somebody else holds it. A new holding has a higher epoch."""
    return acquire_all(names=[name], seconds=seconds, holder=holder).get(name)


def acquire_all(*, names: Collection[str], seconds: float, holder: str = "") -> dict[str, int]:
    """Take or renew many leases in one statement; the epochs of those that are ours now, by name.

    One whose holder is certainly dead is taken at once: after a crash on one machine nobody waits for a lease to run out.
    """
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"holder": holder or this_process(), "seconds": seconds}
        cursor.execute(ACQUIRE, {**values, "names": list(names)})
        taken = dict(cursor.fetchall())
        freed = _free_from_the_dead([name for name in names if name not in taken])
        if freed:
            cursor.execute(ACQUIRE, {**values, "names": freed})
            taken |= dict(cursor.fetchall())
        return taken


def release(*, name: str, holder: str = "") -> None:
    """Give the lease back, so that the next one need not wait. The epoch stays."""
    release_all(names=[name], holder=holder)


def release_all(*, names: Collection[str], holder: str = "") -> None:
    """Give many leases back in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, {"names": list(names), "holder": holder or this_process()})


def is_current(*, name: str, epoch: int) -> bool:
    """Whether `epoch` still holds, keeping the row from changing hands until the caller's transaction ends."""
    return name in current_among({name: epoch})


def current_among(epochs: Mapping[str, int]) -> set[str]:
    """Names of the leases whose epoch still holds; none of them changes hands until the caller's transaction ends."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a lease is checked inside the transaction that relies on it")
    with connection.cursor() as cursor:
        cursor.execute(CURRENT, {"names": list(epochs), "epochs": list(epochs.values())})
        return {name for (name,) in cursor.fetchall()}


def _free_from_the_dead(names: list[str]) -> list[str]:
    """End the leases that dead processes of this machine still hold. Returns their names."""
    if not names:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, holder FROM leases WHERE name = ANY(%s::text[])", [names])
        dead = [(name, holder) for name, holder in cursor.fetchall() if is_dead(holder)]
        for name, holder in dead:
            cursor.execute("UPDATE leases SET expires_at = '-infinity' WHERE name = %s AND holder = %s", [name, holder])
    return [name for name, _holder in dead]
