"""A thread that does side work, so that watching never slows or fails what it watches.

The queue is bounded: what does not fit is dropped and counted. The thread has its own database connection, starts with the
first item, again in a forked child, and gets a moment at exit to empty its queue.
"""

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connections

IDLE_S = 2.0  # then the connection is given back
EXIT_S = 1.0


class Background:
    """Calls `handle` with batches of what was `put`, in order. `handle` must not raise.

    has_more: whether `handle` has something left to do without a new item; then it is called with an empty batch, now and then.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[Any]], None],
        *,
        capacity: int = 1000,
        batch: int = 100,
        has_more: Callable[[], bool] = lambda: False,
    ) -> None:
        self.dropped = 0
        self._name, self._handle, self._capacity, self._batch, self._has_more = name, handle, capacity, batch, has_more
        self._queue: queue.Queue[Any] = queue.Queue(capacity)
        self._pid = 0
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def put(self, item: Any) -> None:
        """Hand over without waiting."""
        self._start()
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def wait_until_done(self, timeout_s: float = EXIT_S) -> bool:
        """Whether everything put so far was handled within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self._queue.unfinished_tasks and self._pid == os.getpid() and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._queue.unfinished_tasks

    def _renew(self) -> None:
        # The parent's thread is not here, and its lock or queue may have been copied while held.
        self._lock, self._queue, self._pid = threading.Lock(), queue.Queue(self._capacity), 0

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                atexit.register(self.wait_until_done)

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                self._handle(batch)
            finally:
                for _ in batch:
                    self._queue.task_done()

    def _next_batch(self) -> list[Any]:
        try:
            batch = [self._queue.get(timeout=IDLE_S)]
        except queue.Empty:
            connections.close_all()
            if self._has_more():
                return []
            batch = [self._queue.get()]
        while len(batch) < self._batch:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch
