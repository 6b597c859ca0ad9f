"""Chat completions and responses over a real socket: scripted answers, errors, refusals, silence, and a meter of what it charges.

Tokens are counted as characters by four, rounded up; whatever is answered with a usage is charged, and nothing else.
"""

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
KEY = "sk-fake"


def decision(symbol: str = "KRW-BTC", **changes: Any) -> str:
    """A legal answer; `changes` replace its fields."""
    names = ("overall", "trend", "momentum", "volatility_and_volume", "market_structure", "weighing")
    answer = {
        "symbol": symbol,
        "decision": "buy",
        "outcome": "higher",
        "probability": 0.72,
        "horizon_hours": 24,
        "invalidation_price": 95_000_000,
        "reasons": {name: f"About the {name}." for name in names},
    }
    return json.dumps({**answer, **changes})


@dataclass(frozen=True)
class Said:
    """An ordinary answer with this text."""

    text: str


@dataclass(frozen=True)
class Refused:
    """The model will not answer."""

    text: str = "I cannot help with that."


@dataclass(frozen=True)
class Cut:
    """The answer ran into the token limit."""

    text: str = '{"symbol": "KRW'


@dataclass(frozen=True)
class Status:
    """An HTTP error."""

    code: int
    message: str = "no"


@dataclass(frozen=True)
class Html:
    """200 with a page instead of JSON, as a captive portal sends."""

    text: str = "<html><body>Welcome</body></html>"


@dataclass(frozen=True)
class Slow:
    """An answer that comes too late."""

    seconds: float
    text: str = field(default_factory=decision)


Script = Said | Refused | Cut | Status | Html | Slow


@dataclass
class FakeOpenAI:
    """Use as a context manager. `script` is used up call by call; after it, `otherwise` answers."""

    script: deque[Script] = field(default_factory=deque)
    otherwise: Callable[[dict[str, Any]], Script] = lambda _body: Said(decision())
    requests: list[dict[str, Any]] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    def __enter__(self) -> "FakeOpenAI":
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fake._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL would be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if handler.headers.get("Authorization") != f"Bearer {KEY}":
            return _send(handler, 401, _error("Incorrect API key provided"))
        with self._lock:
            self.requests.append({"path": handler.path, **body})
            step = self.script.popleft() if self.script else self.otherwise(body)
        if isinstance(step, Status):
            return _send(handler, step.code, _error(step.message))
        if isinstance(step, Html):
            return _send(handler, 200, step.text.encode(), kind="text/html")
        if isinstance(step, Slow):
            time.sleep(step.seconds)
        return _send(handler, 200, json.dumps(self._answer(handler.path, body, step)).encode())

    def _answer(self, path: str, body: dict[str, Any], step: Any) -> dict[str, Any]:
        asked = body["messages"] if path == CHAT else [body["instructions"], body["input"]]
        spent = math.ceil(len(json.dumps(asked)) / 4), math.ceil(len(step.text) / 4)
        with self._lock:
            self.input_tokens += spent[0]
            self.output_tokens += spent[1]
        return (_chat if path == CHAT else _response)(body["model"], step, spent)


def _chat(model: str, step: Any, spent: tuple[int, int]) -> dict[str, Any]:
    is_refused = isinstance(step, Refused)
    message = {"role": "assistant", "content": None if is_refused else step.text, "refusal": step.text if is_refused else None}
    reason = "length" if isinstance(step, Cut) else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)},
    }


def _response(model: str, step: Any, spent: tuple[int, int]) -> dict[str, Any]:
    part = (
        {"type": "refusal", "refusal": step.text}
        if isinstance(step, Refused)
        else {"type": "output_text", "text": step.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_767_225_600,
        "model": model,
        "status": "incomplete" if isinstance(step, Cut) else "completed",
        "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": spent[0],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spent[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(spent),
        },
    }


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}).encode()


def _send(handler: BaseHTTPRequestHandler, code: int, body: bytes, *, kind: str = "application/json") -> None:
    try:
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("x-request-id", "req_fake")
        handler.end_headers()
        handler.wfile.write(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # whoever asked has given up
