"""What lies in Redis as a file and back, key by key: the same for our own server and one elsewhere.

Keys are read one after the other while others write, so this is no single instant. Redis may be lost at any moment without
losing an order; the backup only saves queued work.
"""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import redis
from django.conf import settings

from dgbot.core.errors import BadInput

SCAN_COUNT = 500
TIMEOUT_S = 10.0


def dump(draft: Path) -> dict[str, Any]:
    """Write every key of our databases to `draft`. Returns its contents."""
    counts = {}
    try:
        with gzip.open(draft, "wt", encoding="ascii") as file:
            for number, url in enumerate(settings.REDIS_URLS):
                with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S) as client:
                    counts[str(number)] = sum(_write(file, client, number, key) for key in client.scan_iter(count=SCAN_COUNT))
    except redis.RedisError as error:
        raise BadInput(f"Redis could not be read: {error}") from error
    return {"kind": "redis", "keys": counts}


def load(path: Path) -> dict[str, int]:
    """Put every key back, over what is there. Returns the keys restored, by database."""
    counts: dict[str, int] = {}
    clients = [redis.Redis.from_url(url, socket_timeout=TIMEOUT_S) for url in settings.REDIS_URLS]
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            for line in file:
                row = json.loads(line)
                key, value = base64.b64decode(row["key"]), base64.b64decode(row["value"])
                clients[row["database"]].restore(key, row["ttl_ms"], value, replace=True)
                counts[str(row["database"])] = counts.get(str(row["database"]), 0) + 1
    except redis.RedisError as error:
        raise BadInput(f"Redis could not be written: {error}") from error
    finally:
        for client in clients:
            client.close()
    return counts


def _write(file: Any, client: Any, database: int, key: bytes) -> int:
    value, ttl_ms = client.dump(key), client.pttl(key)
    if value is None:  # it ended between the two questions
        return 0
    row = {"database": database, "key": _text(key), "value": _text(value), "ttl_ms": max(0, ttl_ms)}
    file.write(json.dumps(row) + "\n")
    return 1


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
