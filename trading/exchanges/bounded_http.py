"""One HTTP request, bounded in time and size, that knows whether any byte of it can have arrived.

Nothing is repeated: no retries, no redirects, no proxies, no second connection behind the caller's back. A write whose
connection was never made is certainly not sent; everything after that is unknown. Source: order path, section 2.4.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import certifi

from dgbot.core.crash import crash_point, is_armed

CONNECT_TIMEOUT_S = 2.0
TOTAL_TIMEOUT_S = 8.0
LONGEST_IDLE_S = 15.0  # servers drop a quiet connection after 30 to 60 s; a write must not find that out
UNACKNOWLEDGED_MS = 10_000  # the kernel gives up on bytes nobody acknowledges
CHUNK = 65_536


class NothingSent(Exception):
    """No connection was made, so not one byte of the request left."""


class NoAnswer(Exception):
    """The request may have arrived; no complete answer to it came back."""


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class BoundedHttp:
    """Keeps one connection per thread and host. Safe to share between threads."""

    connect_timeout_s: float = CONNECT_TIMEOUT_S
    total_timeout_s: float = TOTAL_TIMEOUT_S
    _kept: threading.local = field(default_factory=threading.local, repr=False)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, largest_answer: int, not_after: float | None = None
    ) -> HttpAnswer:
        """Send one request and read its answer, at most `largest_answer` bytes.

        not_after: on the monotonic clock; when connecting took longer, nothing is sent: a permit to send has run out.
        Raises NothingSent or NoAnswer.
        """
        parts = urlsplit(url)
        deadline = time.monotonic() + self.total_timeout_s
        connection = self._connected(parts)
        if not_after is not None and time.monotonic() > not_after:
            connection.close()
            self._drop(parts)
            raise NothingSent(f"{parts.netloc} was reached too late: what may be sent only for a moment is not sent afterwards")
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, args=[connection.sock])
        watchdog.daemon = True
        watchdog.start()
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            at = crash_point if method != "GET" else _nowhere
            at("connected")
            _write(connection, method, target, body=body, headers={"Accept-Encoding": "identity", **headers})
            at("request written")
            response = connection.getresponse()
            at("headers read")
            content = _read(response, largest=largest_answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop(parts)
            took = " in time" if time.monotonic() >= deadline else ""
            raise NoAnswer(f"{parts.netloc} did not answer {method} {parts.path}{took}: {error or type(error).__name__}") from error
        finally:
            watchdog.cancel()
        if response.will_close:
            self._drop(parts)
        else:
            self._connections()[parts.netloc] = (connection, time.monotonic())
        return HttpAnswer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connected(self, parts: SplitResult) -> http.client.HTTPConnection:
        """The kept connection when it is surely alive, else a new one."""
        kept, used_at = self._connections().get(parts.netloc, (None, 0.0))
        if kept is not None and time.monotonic() - used_at < LONGEST_IDLE_S and _is_quiet(kept.sock):
            return kept
        self._drop(parts)
        connection = self._new(parts)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise NothingSent(f"{parts.netloc} cannot be reached: {error or type(error).__name__}") from error
        connection.auto_open = 0  # a lost connection is an error to be told, never a reason to send again
        connection.sock.settimeout(self.total_timeout_s)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        return connection

    def _new(self, parts: SplitResult) -> http.client.HTTPConnection:
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=self.connect_timeout_s, context=_tls())
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self.connect_timeout_s)

    def _connections(self) -> dict[str, tuple[http.client.HTTPConnection, float]]:
        if not hasattr(self._kept, "connections"):
            self._kept.connections = {}
        return self._kept.connections

    def _drop(self, parts: SplitResult) -> None:
        connection, _ = self._connections().pop(parts.netloc, (None, 0.0))
        if connection is not None:
            connection.close()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """The machine's trusted authorities and certifi's: slim containers have none of their own. Made once, it takes 20 ms."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _nowhere(_point: str) -> None:
    """A question may be asked again, so nothing is learned by dying over it."""


def _write(connection: http.client.HTTPConnection, method: str, target: str, *, body: bytes | None, headers: Mapping[str, str]) -> None:
    if body is None or not is_armed():
        connection.request(method, target, body=body, headers=dict(headers))
        return
    connection.request(method, target, body=_in_halves(body), headers={**headers, "Content-Length": str(len(body))})


def _in_halves(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    crash_point("request half written")
    yield body[len(body) // 2 :]


def _read(response: http.client.HTTPResponse, *, largest: int) -> bytes:
    declared = response.length
    if declared is not None and declared > largest:
        raise ValueError(f"the answer has {declared} bytes, more than the {largest} that are read")
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise ValueError("the answer is compressed although plain text was asked for")
    content = bytearray()
    while chunk := response.read1(CHUNK):
        content += chunk
        if len(content) > largest:
            raise ValueError(f"the answer is longer than the {largest} bytes that are read")
    if declared is not None and len(content) < declared:
        raise ValueError(f"the answer ended after {len(content)} of {declared} bytes")
    response.close()  # lets the connection be used again; `read1` does not say that it has come to the end
    return bytes(content)


def _is_quiet(connected: socket.socket | None) -> bool:
    """Whether nothing waits on an idle socket: what waits there is the other side's goodbye."""
    if connected is None or connected.fileno() < 0:
        return False
    readable, _, _ = select.select([connected], [], [], 0)
    return not readable


def _cut(connected: socket.socket | None) -> None:
    """Wake whoever waits on this socket: its time is over."""
    if connected is None:
        return
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended by itself in this very moment
