"""Signed calls through pyupbit, which signs and sends; our guard stands where it expects the `requests` module.

pyupbit 0.2.34 alone has no time-out, sends parameters of GET and DELETE as bodies, hashes the encoded query, throws a
success away when `Remaining-Req` is missing and turns every failure into None. Its order functions are never called.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jwt
import pyupbit
from pyupbit import request_api

from dgbot.core.errors import CredentialsRefused
from trading.exchanges.upbit_http import BASE_URL, Call, Parameters, Told, UpbitHttp, pairs

ALGORITHM = "HS256"  # as pyupbit and the reference samples; a secret of 40 characters is too short for HS512


@dataclass(frozen=True)
class _Turn:
    """Whose request pyupbit is about to send."""

    http: UpbitHttp
    call: Call


_TURN: ContextVar[_Turn] = ContextVar("upbit_turn")


@dataclass(frozen=True)
class _Answer:
    """What pyupbit needs of a response. Failures never get this far: the guard raises them."""

    told: Told
    ok: bool = True

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Remaining-Req": self.told.remaining_req}

    def json(self) -> object:
        return self.told.body


class RequestGuard:
    """Stands in for the module `requests` inside pyupbit: bounded, counted, to the configured address."""

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, data: Parameters | None = None, **_ignored: Any) -> _Answer:
        """Parameters that pyupbit would send as a body go into the query."""
        return self._send(url, headers=headers, parameters=data)

    def delete(self, url: str, *, headers: Mapping[str, str] | None = None, data: str | None = None, **_ignored: Any) -> _Answer:
        """A body makes Upbit answer QUERY_PARAMETER_NOT_SUPPORTED; pyupbit made one of the parameters."""
        return self._send(url, headers=headers, parameters=json.loads(data) if data else None)

    def post(self, url: str, *, headers: Mapping[str, str] | None = None, data: str | None = None, **_ignored: Any) -> _Answer:
        """JSON, named so exactly once: a doubled Content-Type can give HTTP 400."""
        return self._send(url, headers={**(headers or {}), "Content-Type": "application/json; charset=utf-8"}, body=(data or "{}").encode())

    @staticmethod
    def _send(url: str, *, headers: Mapping[str, str] | None, parameters: Parameters | None = None, body: bytes | None = None) -> _Answer:
        turn = _TURN.get(None)
        if turn is None or url != BASE_URL + turn.call.path:
            # Stock functions of pyupbit have no time-out class of ours, no budget and no typed error.
            raise RuntimeError(f"pyupbit may only be called through upbit_signing.Signer, not for {url.partition('?')[0]}")
        kept = {name: value for name, value in (headers or {}).items() if body is not None or name.lower() != "content-type"}
        return _Answer(turn.http.send(turn.call, parameters=parameters, headers=kept, body=body))


request_api.requests = RequestGuard()  # once per process, at import: the attribute is global


class Signer(pyupbit.Upbit):  # type: ignore[misc]  # pyupbit has no types
    """One key. Signs with pyupbit's token, over the query as documented. Safe to share between threads."""

    def __init__(self, http: UpbitHttp, *, access_key: str, secret_key: str) -> None:
        if not access_key or not secret_key:
            raise CredentialsRefused("Upbit's access key or secret key is empty; add a key to the account")
        super().__init__(access_key, secret_key)
        self._http = http

    def __repr__(self) -> str:
        return "Signer(…)"

    def read(self, path: str, *, parameters: Parameters | None = None, group: str = "default", is_order: bool = False) -> Any:
        """A signed question. Raises Refused and what UpbitHttp.send raises."""
        return self._send(Call("GET", path, group, is_order=is_order), parameters)

    def create(self, path: str, *, body: Mapping[str, str], group: str, is_write: bool = True) -> Any:
        """A signed POST with a JSON object of texts. Raises as `read` does, and OutcomeUnknown for a write."""
        return self._send(Call("POST", path, group, is_write=is_write, is_order=True), body)

    def delete(self, path: str, *, parameters: Parameters, group: str = "default") -> Any:
        """A signed DELETE. Raises as `create` does."""
        return self._send(Call("DELETE", path, group, is_write=True, is_order=True), parameters)

    def _send(self, call: Call, parameters: Parameters | None) -> Any:
        send = {
            "GET": request_api._send_get_request,
            "POST": request_api._send_post_request,
            "DELETE": request_api._send_delete_request,
        }[call.method]
        headers = self._request_headers(dict(parameters) if parameters else None)
        turn = _TURN.set(_Turn(self._http, call))
        try:
            body, _remaining = send(BASE_URL + call.path, headers=headers, data=dict(parameters) if parameters else None)
        finally:
            _TURN.reset(turn)
        return body

    def _request_headers(self, query: Parameters | None = None) -> dict[str, str]:
        """pyupbit's token with the hash over the text that is not percent-encoded, in the order sent, lists repeated."""
        claims = {"access_key": self.access, "nonce": str(uuid.uuid4())}
        if query:
            text = "&".join(f"{name}={value}" for name, value in pairs(query))
            claims |= {"query_hash": hashlib.sha512(text.encode()).hexdigest(), "query_hash_alg": "SHA512"}
        return {"Authorization": f"Bearer {jwt.encode(claims, self.secret, algorithm=ALGORITHM)}"}

    def socket_headers(self) -> dict[str, str]:
        """For the upgrade to a private websocket: a token without a hash."""
        return self._request_headers()
