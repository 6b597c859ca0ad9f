"""Points at which a test ends this process. Without DGBOT_CRASH_AT they do nothing and cost one comparison.

The settings take the variable only where no real exchange can be reached; see `dgbot.env`. Numbers are rows of the crash
matrix in tests/faults/matrix; a row may have several points where exchanges differ.
"""

import os
import signal
from dataclasses import dataclass
from threading import Lock

from dgbot.core.errors import BadInput

POINTS: dict[str, int] = {
    "slot wanted": 1,
    "slot inserted": 2,  # and not committed
    "slot committed": 3,  # before anything is decided
    "analyst answered": 4,  # and the answer is not stored
    "decision committed": 5,  # and no order is planned from it
    "order inserted": 6,  # and not committed, nor what belongs to it
    "order committed": 7,  # and no doorbell has rung
    "claim written": 8,  # and not committed
    "claim committed": 9,  # before the connection
    "connected": 10,  # zero bytes have left
    "request half written": 11,
    "venue order written": 11,  # at a pretended exchange: and not committed there
    "request written": 12,  # the exchange has all of it
    "venue order committed": 12,  # at a pretended exchange: nobody has been told
    "headers read": 13,
    "answer read": 14,
    "answer booked": 15,  # and not committed
    "answer committed": 16,
    "fills fetched": 17,
    "fills inserted": 18,  # and not folded into a position
    "fills folded": 19,  # before the watermark moves and all is committed
    "cancel recorded": 20,  # before it is sent
    "cancel answered": 21,  # and the answer is not booked
    "entry booked, stop not placed": 22,
    "between two pages": 23,  # of what a reconciliation reads
    "lease taken": 24,
    "kill switch written": 25,  # and not committed
    "trigger seen": 26,  # and no exit planned
    "key opened": 27,
    "account taken": 28,  # its bots still wait behind the barrier
}
HOW = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGSTOP": signal.SIGSTOP}


@dataclass
class Crash:
    """What DGBOT_CRASH_AT says: the process gets `how` when it reaches `point` for the `occurrence`-th time, from 1."""

    point: str
    occurrence: int = 1
    how: signal.Signals = signal.SIGKILL

    def __post_init__(self) -> None:
        self._lock, self._left = Lock(), self.occurrence

    def __str__(self) -> str:
        return f"{self.point}:{self.occurrence}:{self.how.name}"

    def reach(self, point: str) -> None:
        """Count, and be hit."""
        if point != self.point:
            return
        with self._lock:
            self._left -= 1
            is_now = self._left == 0
        if is_now:
            os.kill(os.getpid(), self.how)


_armed: Crash | None = None


def parse(text: str) -> Crash:
    """`claim committed`, `claim committed:2` or `claim committed:2:SIGTERM`. Raises BadInput."""
    point, _, rest = text.partition(":")
    occurrence, _, how = rest.partition(":")
    is_counted = occurrence == "" or (occurrence.isdigit() and 0 < int(occurrence) < 10_000)
    if point not in POINTS or not is_counted or how not in ("", *HOW):
        raise BadInput(
            "DGBOT_CRASH_AT must be a crash point, then :occurrence and :SIGKILL, :SIGTERM or :SIGSTOP if wanted,"
            f" such as 'claim committed:2:SIGTERM', was {text!r}; the points are in dgbot/core/crash.py"
        )
    return Crash(point, int(occurrence or 1), HOW[how or "SIGKILL"])


def arm(crash: Crash | None) -> None:
    """Let this process die there; None disarms it."""
    global _armed  # noqa: PLW0603 — one for the process, as its death is
    _armed = crash


def is_armed() -> bool:
    """Whether this process may end at a point: then a request is written in two halves."""
    return _armed is not None


def crash_point(point: str) -> None:
    """Die here, if a test wants it."""
    if _armed is not None:
        _armed.reach(point)
