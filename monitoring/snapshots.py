"""Snapshots that many pages share: one reading and one encoding for everybody who asked before it began.

A page must see everything that was committed before it asked, so it never gets a reading that had already begun. With one reading
under way and one waiting behind it, five hundred pages that come back at once cost two readings.
"""

import asyncio
import json
from collections.abc import Callable, Hashable
from typing import Any

from asgiref.sync import sync_to_async


class SharedSnapshots:
    """Readings by key, on one event loop."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[str]] = {}
        self._waiting: dict[Hashable, asyncio.Task[str]] = {}

    async def take(self, key: Hashable, read: Callable[[], Any]) -> str:
        """JSON of a reading that begins after this call. key: who sees the same; read: runs in a thread. Raises what it raises."""
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._read(key, read, after=self._running.get(key)))
        return await asyncio.shield(task)  # a page that leaves takes nothing away from the others

    async def _read(self, key: Hashable, read: Callable[[], Any], *, after: asyncio.Task[str] | None) -> str:
        if after is not None:
            await asyncio.wait([after])
        task = self._running[key] = self._waiting.pop(key)
        try:
            return json.dumps(await sync_to_async(read)())
        finally:
            if self._running.get(key) is task:
                del self._running[key]
