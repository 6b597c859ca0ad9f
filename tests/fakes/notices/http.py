"""What every HTTP sink shares: a socket, a script of faults, and what arrived."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """An HTTP answer instead of the usual one."""

    code: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Slow:
    """The usual answer, too late."""

    seconds: float


@dataclass(frozen=True)
class Closed:
    """The connection ends without an answer. has_arrived: the request was read and counts as arrived."""

    has_arrived: bool = False


Fault = Answer | Slow | Closed


@dataclass(frozen=True)
class Arrived:
    """One request that was taken."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class HttpSink:
    """Use as a context manager. `faults` are used up request by request; while `is_down`, every request is cut off."""

    faults: deque[Fault] = field(default_factory=deque)
    arrived: list[Arrived] = field(default_factory=list)
    is_down: bool = False
    asked: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Arrived) -> Answer:
        """The usual answer; sinks say their own."""
        return Answer(200, b"ok")

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Arrived(handler.path, dict(handler.headers.items()), body, time.monotonic())
        with self.lock:
            self.asked += 1
            fault = Closed() if self.is_down else self.faults.popleft() if self.faults and self.is_faulty(request) else None
        if isinstance(fault, Slow):
            time.sleep(fault.seconds)
        if isinstance(fault, Answer):
            return _send(handler, fault)
        if isinstance(fault, Closed) and not fault.has_arrived:
            handler.close_connection = True
            return None
        with self.lock:
            answer = self.answer(request)
            if answer.code < 300 and self.counts(request):
                self.arrived.append(request)
        if isinstance(fault, Closed):
            handler.close_connection = True
            return None
        return _send(handler, answer)

    def counts(self, request: Arrived) -> bool:
        """Whether it is a message; a Bot API has other calls, too."""
        return True

    def is_faulty(self, request: Arrived) -> bool:
        """Whether faults apply to this request."""
        return True


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    try:
        handler.send_response(answer.code)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # whoever asked has given up
