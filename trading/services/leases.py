"""Leases on the database's clock: one worker per bot, one gateway per account, and a number that tells the old from the new."""

from django.db import connection, transaction

from dgbot.base.machine import holder as this_process

ACQUIRE = """
INSERT INTO leases (name, holder, epoch, expires_at) VALUES (%(name)s, %(holder)s, 1, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET
    epoch = leases.epoch + CASE WHEN leases.holder = EXCLUDED.holder AND leases.expires_at >= clock_timestamp() THEN 0 ELSE 1 END,
    holder = EXCLUDED.holder,
    expires_at = EXCLUDED.expires_at
WHERE leases.holder = EXCLUDED.holder OR leases.expires_at < clock_timestamp()
RETURNING epoch
"""


def acquire(*, name: str, seconds: float, holder: str = "") -> int | None:
    """Take or renew the lease; its epoch, or None while somebody else holds it. A new holding has a higher epoch."""
    with connection.cursor() as cursor:
        cursor.execute(ACQUIRE, {"name": name, "holder": holder or this_process(), "seconds": seconds})
        row = cursor.fetchone()
    return row[0] if row else None


def release(*, name: str, holder: str = "") -> None:
    """Give the lease back, so that the next one need not wait. The epoch stays."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE leases SET expires_at = '-infinity' WHERE name = %s AND holder = %s", [name, holder or this_process()])


def is_current(*, name: str, epoch: int) -> bool:
    """Whether `epoch` still holds, keeping the row from changing hands until the caller's transaction ends."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a lease is checked inside the transaction that relies on it")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM leases WHERE name = %s AND epoch = %s AND expires_at >= clock_timestamp() FOR SHARE", [name, epoch])
        return cursor.fetchone() is not None
