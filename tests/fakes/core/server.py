"""An HTTP and websocket server on loopback, in a thread of its own; dialects plug in as one function each.

The listen backlog is 256: with the five of the standard library twenty parallel clients met connection time-outs.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.fakes.core.clock import FakeClock
from tests.fakes.core.faults import Fault, Faults

BACKLOG = 256
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    arrived_at: datetime
    peer: str = ""
    lag_s: float = 0.0  # orders younger than this are to be hidden: a fault's wish

    @property
    def endpoint(self) -> str:
        """Name for faults and counts: `POST /v1/orders`."""
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """What goes back. body: bytes as they are, anything else as JSON."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @property
    def payload(self) -> bytes:
        """The bytes on the wire."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Logged:
    """A line of the request log. status: None when no answer left."""

    request: Request
    status: int | None


Dialect = Callable[[Request], Answer]
SocketDialect = Callable[[web.WebSocketResponse, Request], Awaitable[None]]


class FakeServer:
    """Serves a dialect. Use as a context manager; `url` and `websocket_url` tell where it listens.

    handle: answers HTTP in a worker thread (so a slow test never stalls the loop). sockets: path → coroutine that owns one
    websocket; it is called after `admit`, if given, has let the request in (an Answer refuses the upgrade).
    """

    def __init__(
        self,
        handle: Dialect,
        *,
        sockets: Mapping[str, SocketDialect] | None = None,
        admit: Callable[[Request], Answer | None] | None = None,
        clock: FakeClock | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        answers_pings: bool = True,
    ) -> None:
        self.clock = clock or FakeClock()
        self.faults = Faults()
        self.log: list[Logged] = []
        self.loop = asyncio.new_event_loop()
        self._handle, self._sockets, self._admit = handle, dict(sockets or {}), admit
        self._host, self._port, self._answers_pings = host, port, answers_pings
        self._thread = Thread(target=self._serve, name="fake-exchange", daemon=True)
        self._ready, self._failure = ThreadEvent(), None
        self._open: set[web.WebSocketResponse] = set()
        self._finish: asyncio.Event | None = None
        self._late: set[asyncio.Future[None]] = set()
        self._background: list[Callable[[], Awaitable[None]]] = []

    # --- life ---
    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken."""
        self._thread.start()
        self._ready.wait(10)
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        self.faults.stopping.set()
        if self._finish is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._finish.set)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """Base of the REST interface, without a path."""
        return f"http://{self._host}:{self._port}"

    @property
    def websocket_url(self) -> str:
        """Base of the websocket interface, without a path."""
        return f"ws://{self._host}:{self._port}"

    def in_background(self, make: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine as long as the server does; call before `start`."""
        self._background.append(make)

    def requests(self, endpoint: str) -> list[Request]:
        """Requests to one endpoint so far, oldest first."""
        return [line.request for line in list(self.log) if line.request.endpoint == endpoint]

    def cut_sockets(self) -> None:
        """Drop every websocket without a goodbye."""
        self.loop.call_soon_threadsafe(lambda: [_abort(socket) for socket in list(self._open)])

    def close_sockets(self, *, code: int = 1001, reason: str = "going away") -> None:
        """Close every websocket politely."""
        for socket in list(self._open):
            asyncio.run_coroutine_threadsafe(socket.close(code=code, message=reason.encode()), self.loop)

    @property
    def socket_count(self) -> int:
        """How many websockets are open."""
        return len(self._open)

    # --- inside ---
    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    async def _run(self) -> None:
        self._finish = asyncio.Event()
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port, backlog=BACKLOG)
            await site.start()
            self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        except OSError as error:
            self._failure = error
            await runner.cleanup()
            return
        finally:
            self._ready.set()
        tasks = [asyncio.ensure_future(make()) for make in self._background]
        await self._finish.wait()
        for task in tasks:
            task.cancel()
        for socket in list(self._open):
            _abort(socket)
        await runner.cleanup()

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        request = Request(
            method=http.method,
            path=http.path,
            raw_query=_raw_query(http),
            headers=http.headers.copy(),
            body=await http.read(),
            arrived_at=self.clock.now(),
            peer=http.remote or "",
        )
        fault = self.faults.take(request.endpoint)
        if fault is not None and fault.latency_s:
            await asyncio.sleep(fault.latency_s)
        if request.path in self._sockets and http.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(http, request, fault)
        if fault is not None and fault.replaces_answer:
            return await self._misbehave(http, request, fault)
        if fault is not None and fault.lag_s:
            request = Request(**{**request.__dict__, "lag_s": fault.lag_s})
        answer = await asyncio.to_thread(self._handle, request)
        self.log.append(Logged(request, answer.status))
        if fault is not None and fault.is_doubled:
            answer = await asyncio.to_thread(self._handle, request)
        if fault is not None and fault.rewrite is not None:
            answer.body = fault.rewrite(answer.payload)
        if fault is not None and (fault.truncate_to is not None or fault.drip_s):
            return await _spoil(http, answer, fault)
        return _response(answer)

    async def _misbehave(self, http: web.Request, request: Request, fault: Fault) -> web.StreamResponse:
        if fault.late_s is not None:
            self._late.add(asyncio.ensure_future(self._deliver(request, after_s=fault.late_s)))
        elif fault.is_processed:
            await asyncio.to_thread(self._handle, request)
        self.log.append(Logged(request, fault.status))
        if fault.hangs:
            await (self._finish or asyncio.Event()).wait()
        if fault.hangs or fault.drops_connection or fault.late_s is not None:
            if http.transport is not None:
                http.transport.abort()
            return web.Response(status=444)
        return _response(Answer(status=fault.status or 500, body=fault.body, headers=fault.headers, content_type=fault.content_type))

    async def _deliver(self, request: Request, *, after_s: float) -> None:
        """What was held on the way arrives, and nobody waits for its answer."""
        await asyncio.sleep(after_s)
        await asyncio.to_thread(self._handle, request)

    async def _websocket(self, http: web.Request, request: Request, fault: Fault | None) -> web.StreamResponse:
        refusal = self._admit(request) if self._admit is not None else None
        if fault is not None and fault.replaces_answer:
            return await self._misbehave(http, request, fault)
        if refusal is not None:
            self.log.append(Logged(request, refusal.status))
            return _response(refusal)
        self.log.append(Logged(request, 101))
        socket = web.WebSocketResponse(autoping=self._answers_pings, compress=True, max_msg_size=2**20)
        await socket.prepare(http)
        self._open.add(socket)
        try:
            await self._sockets[request.path](socket, request)
        except (ConnectionError, asyncio.CancelledError, RuntimeError):
            pass  # the client went, or we are stopping
        finally:
            self._open.discard(socket)
        return socket


def _raw_query(http: web.Request) -> str:
    """The query exactly as it was sent: hashes are made over it."""
    return http.raw_path.partition("?")[2]


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.payload, headers=headers)


async def _spoil(http: web.Request, answer: Answer, fault: Fault) -> web.StreamResponse:
    payload = answer.payload
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers})
    response.content_length = len(payload)
    await response.prepare(http)
    cut = payload[: fault.truncate_to] if fault.truncate_to is not None else payload
    if fault.drip_s:
        for place in range(len(cut)):
            await response.write(cut[place : place + 1])
            await asyncio.sleep(fault.drip_s)
    else:
        await response.write(cut)
    if len(cut) < len(payload) and http.transport is not None:
        await asyncio.sleep(0.01)
        http.transport.abort()
    return response


def _abort(socket: web.WebSocketResponse) -> None:
    transport = socket._req.transport if socket._req is not None else None
    if transport is not None:
        transport.abort()


def is_text(message: Any) -> bool:
    """Whether a websocket message carries something to read."""
    return message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
