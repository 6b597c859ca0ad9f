"""The fake's clock: the machine's with an offset, or standing still until a test moves it."""

import time
from datetime import UTC, datetime, timedelta
from threading import Lock


class FakeClock:
    """Time as the fake exchange sees it. Thread-safe. `now` is aware UTC; `monotonic` moves with it, seconds."""

    def __init__(self, at: datetime | None = None) -> None:
        self._lock = Lock()
        self._frozen: datetime | None = at
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """The fake's time, aware, UTC."""
        with self._lock:
            return self._frozen if self._frozen is not None else datetime.now(tz=UTC) + self._offset

    def monotonic(self) -> float:
        """Seconds that rate limits and bans count; while the clock runs they never jump back with the wall clock."""
        with self._lock:
            frozen = self._frozen
            return frozen.timestamp() if frozen is not None else time.monotonic() + self._offset.total_seconds()

    def set(self, at: datetime) -> None:
        """Stand still at `at` (aware)."""
        with self._lock:
            self._frozen = at

    def advance(self, seconds: float) -> None:
        """Move on, whether standing still or running."""
        with self._lock:
            if self._frozen is not None:
                self._frozen += timedelta(seconds=seconds)
            else:
                self._offset += timedelta(seconds=seconds)
