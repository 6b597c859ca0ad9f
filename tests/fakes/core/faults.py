"""Switches that make an endpoint misbehave. An endpoint is named `POST /v1/orders`; `*` matches, as in file names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Event, Lock


@dataclass
class Fault:
    """One way to misbehave. Fields combine: `Fault(latency_s=1, status=502, is_processed=True)` is a late 502 after the deed.

    latency_s: wait before anything is done. hangs: never answer (until the server stops). is_processed: the request is
    really carried out although the answer below hides it. drops_connection: close without an answer. status, body, headers:
    answer this instead. truncate_to: cut the true answer after so many bytes while announcing all of them.
    drip_s: send the true answer byte by byte with this pause. lag_s: orders younger than this are invisible to a read.
    is_doubled: a box in the middle sends the request twice, and the second answer comes back. late_s: it holds the request,
    cuts the client off, and delivers it so much later. rewrite: what becomes of the true answer's body.
    """

    latency_s: float = 0.0
    hangs: bool = False
    drops_connection: bool = False
    is_processed: bool = False
    status: int | None = None
    body: bytes | str = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    truncate_to: int | None = None
    drip_s: float = 0.0
    lag_s: float = 0.0
    is_doubled: bool = False
    late_s: float | None = None
    rewrite: Callable[[bytes], bytes] | None = None

    @property
    def replaces_answer(self) -> bool:
        """Whether the true answer, if there is one, does not leave the server."""
        return self.hangs or self.drops_connection or self.status is not None or self.late_s is not None


def hang(*, is_processed: bool = False) -> Fault:
    """Take the request and never answer."""
    return Fault(hangs=True, is_processed=is_processed)


def accept_then_drop() -> Fault:
    """Carry the request out and close the connection instead of answering: the order exists."""
    return Fault(drops_connection=True, is_processed=True)


def drop() -> Fault:
    """Close the connection without having done anything."""
    return Fault(drops_connection=True)


def html(status: int = 502, *, is_processed: bool = False) -> Fault:
    """A proxy's error page."""
    return Fault(status=status, body="<html><body><h1>Bad gateway</h1></body></html>", content_type="text/html", is_processed=is_processed)


def garbage(body: bytes | str, *, status: int = 200, is_processed: bool = False) -> Fault:
    """Any body at all, called JSON."""
    return Fault(status=status, body=body, is_processed=is_processed)


class Faults:
    """What is switched on, newest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._switches: list[tuple[str, Fault, list[int | None]]] = []
        self.stopping = Event()

    def set(self, endpoint: str, fault: Fault, *, times: int | None = None) -> None:
        """Misbehave at `endpoint` (a pattern), the next `times` requests or until cleared."""
        with self._lock:
            self._switches.insert(0, (endpoint, fault, [times]))

    def clear(self, endpoint: str | None = None) -> None:
        """Behave again, everywhere or at one pattern as it was set."""
        with self._lock:
            self._switches = [switch for switch in self._switches if endpoint is not None and switch[0] != endpoint]

    def take(self, endpoint: str) -> Fault | None:
        """The fault this request meets, used up once."""
        with self._lock:
            for switch in self._switches:
                pattern, fault, left = switch
                if fnmatchcase(endpoint, pattern):
                    if left[0] is not None:
                        left[0] -= 1
                        if left[0] <= 0:
                            self._switches.remove(switch)
                    return fault
        return None
