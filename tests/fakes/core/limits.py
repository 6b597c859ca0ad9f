"""Rate limits as exchanges have them: buckets, windows, and bans that grow. Seconds are the fake clock's."""

import math
from dataclasses import dataclass
from typing import Protocol

from tests.fakes.core.clock import FakeClock


class Limit(Protocol):
    """A budget of requests."""

    def take(self) -> bool:
        """Use one; False when none is left."""

    @property
    def left(self) -> int:
        """How many may still be sent now."""


@dataclass
class TokenBucket:
    """`capacity` at once, refilled at `per_s`."""

    clock: FakeClock
    capacity: float
    per_s: float

    def __post_init__(self) -> None:
        self._tokens, self._at = self.capacity, self.clock.monotonic()

    def _refill(self) -> None:
        now = self.clock.monotonic()
        self._tokens = min(self.capacity, self._tokens + max(0.0, now - self._at) * self.per_s)
        self._at = now

    def take(self) -> bool:
        """See Limit."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def left(self) -> int:
        """See Limit."""
        self._refill()
        return int(self._tokens)


@dataclass
class FixedWindow:
    """`capacity` in each window of `window_s`, counted from whole windows."""

    clock: FakeClock
    capacity: int
    window_s: float = 1.0

    def __post_init__(self) -> None:
        self._window, self._used = -1, 0

    def _turn(self) -> None:
        window = math.floor(self.clock.monotonic() / self.window_s)
        if window != self._window:
            self._window, self._used = window, 0

    def take(self) -> bool:
        """See Limit."""
        self._turn()
        if self._used >= self.capacity:
            return False
        self._used += 1
        return True

    @property
    def left(self) -> int:
        """See Limit."""
        self._turn()
        return self.capacity - self._used


@dataclass
class Bans:
    """Refusals in a row become a ban; each further ban lasts twice as long."""

    clock: FakeClock
    refusals_until_ban: int = 10
    within_s: float = 10.0
    first_ban_s: float = 1.0

    def __post_init__(self) -> None:
        self._refused_at: list[float] = []
        self._until, self.count = 0.0, 0

    def refuse(self) -> None:
        """Count one refusal; start a ban when there were too many."""
        now = self.clock.monotonic()
        self._refused_at = [at for at in self._refused_at if now - at < self.within_s] + [now]
        if len(self._refused_at) >= self.refusals_until_ban:
            self._until = now + self.first_ban_s * 2**self.count
            self.count += 1
            self._refused_at = []

    @property
    def left_s(self) -> float:
        """Seconds the ban still lasts; zero without one."""
        return max(0.0, self._until - self.clock.monotonic())
