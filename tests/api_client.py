"""A program at the API's door: Django's test client with a token, JSON in and out."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from dgbot.accounts import logins, personal_tokens
from dgbot.accounts.models import Scope, User
from dgbot.base.rest import tokens

V1 = "/api/v1/"


class Api:
    """`api.get("bots")` answers (status, data); the last response is kept."""

    def __init__(self, user: User | None = None, *, scopes: tuple[str, ...] | None = None, token: str = "") -> None:
        cache.clear()
        self.user, self.token = user, token
        if user is not None and not token:
            self.token = personal_token(user, scopes) if scopes is not None else access_token(user)
        self.client = Client(raise_request_exception=False)
        self.response: Any = None

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        """Read."""
        return self._told(self.client.get(_address(path), query, headers=self._headers()))

    def post(self, path: str, data: Any = None, *, key: str = "") -> tuple[int, Any]:
        """Write."""
        return self.send("post", path, data, key=key)

    def send(self, method: str, path: str, data: Any = None, *, key: str = "") -> tuple[int, Any]:
        """Write by any method."""
        body = "" if data is None else json.dumps(data)
        return self._told(
            self.client.generic(method.upper(), _address(path), body, content_type="application/json", headers=self._headers(key))
        )

    def _headers(self, key: str = "") -> dict[str, str]:
        return {**({"Authorization": f"Bearer {self.token}"} if self.token else {}), **({"Idempotency-Key": key} if key else {})}

    def _told(self, response: Any) -> tuple[int, Any]:
        self.response = response
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status_code, json.loads(response.content) if is_json and response.content else None


def access_token(user: User, *, is_verified: bool = False) -> str:
    """Of a new login."""
    opened = logins.begin(user, address="127.0.0.1", agent="tests", is_verified=is_verified)
    return str(tokens.pair(opened, now=timezone.now())["access"])


def personal_token(user: User, scopes: tuple[str, ...] = tuple(Scope.values)) -> str:
    """With those scopes, for a day."""
    ends = timezone.now() + timedelta(days=1)
    return personal_tokens.make(user, name=f"test {uuid4().hex[:6]}", scopes=scopes, expires_at=ends, by=user)[1]


def _address(path: str) -> str:
    return path if path.startswith("/") else V1 + path
