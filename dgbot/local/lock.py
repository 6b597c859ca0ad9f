"""Locks that die with their holder: `flock` on files that are never deleted."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.05


class Lock:
    """One open lock file. Threads and children of this process do not share it: it is closed on exec."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, *, shared: bool = False, timeout_s: float | None = 0.0) -> bool:
        """Take the lock. `timeout_s` 0 asks once, None waits for ever. Returns whether it is held."""
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if timeout_s is None:
            fcntl.flock(self._descriptor, mode)
            return True
        deadline = time.monotonic() + timeout_s
        while not self._try(mode):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def write(self, text: str) -> None:
        """Leave a note for whoever finds the lock taken."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def note(self) -> str:
        """The holder's note."""
        return os.pread(self._descriptor, 4096, 0).decode()

    def release(self) -> None:
        """Let go. Harmless to call again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self, mode: int) -> bool:
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_taken(path: Path) -> bool:
    """Whether somebody holds the lock exclusively."""
    lock = Lock(path)
    try:
        return not lock.take(shared=True)
    finally:
        lock.release()


@contextmanager
def held(path: Path, *, timeout_s: float | None) -> Iterator[bool]:
    """Hold the lock exclusively for a while; yields whether it was got in time."""
    lock = Lock(path)
    try:
        yield lock.take(timeout_s=timeout_s)
    finally:
        lock.release()
