"""JWT and query hash, verified as Upbit documents it: over the query as sent but decoded, or over the JSON body's pairs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import jwt

from tests.fakes.core.server import Request
from tests.fakes.upbit.errors import UpbitRefusal

ALL_SCOPES = frozenset({"assets", "orders_view", "orders_make"})
ALGORITHMS = ["HS256", "HS384", "HS512"]


@dataclass
class Key:
    """One API key. account is the pocket it belongs to; allowed_ips None: any."""

    access: str
    secret: str
    account: str = "main"
    scopes: frozenset[str] = ALL_SCOPES
    expires_at: datetime | None = None
    allowed_ips: frozenset[str] | None = None


@dataclass
class Gatekeeper:
    """Knows keys and spent nonces. is_strict: bodies on GET and DELETE are refused, as the documentation says."""

    keys: dict[str, Key] = field(default_factory=dict)
    is_strict: bool = True

    def __post_init__(self) -> None:
        self._nonces: set[tuple[str, str]] = set()

    def admit(self, request: Request, *, scope: str | None = None) -> Key:
        """The key of a well-signed request. Raises UpbitRefusal."""
        key, claims = self._read(request.headers)
        self._check_key(key, request)
        if (key.access, claims.get("nonce", "")) in self._nonces:
            raise UpbitRefusal(401, "nonce_used")
        if not claims.get("nonce"):
            raise UpbitRefusal(401, "invalid_query_payload")
        self._nonces.add((key.access, claims["nonce"]))
        self._check_hash(request, claims)
        if scope is not None and scope not in key.scopes:
            raise UpbitRefusal(401, "out_of_scope")
        return key

    def owner_of(self, request: Request) -> str | None:
        """The pocket a request claims to come from: limits are counted before anything is verified."""
        token = request.headers.get("Authorization", "").partition(" ")[2]
        try:
            told = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        key = self.keys.get(str(told.get("access_key")))
        return f"pocket {key.account}" if key is not None else None

    def _read(self, headers: Mapping[str, str]) -> tuple[Key, dict[str, Any]]:
        word, _, token = headers.get("Authorization", "").partition(" ")
        if word != "Bearer" or not token:
            raise UpbitRefusal(401, "no_authorization_token")
        try:
            told = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise UpbitRefusal(401, "jwt_verification") from None
        key = self.keys.get(str(told.get("access_key")))
        if key is None:
            raise UpbitRefusal(401, "invalid_access_key")
        try:
            return key, jwt.decode(token, key.secret, algorithms=ALGORITHMS)
        except jwt.PyJWTError:
            raise UpbitRefusal(401, "jwt_verification") from None

    @staticmethod
    def _check_key(key: Key, request: Request) -> None:
        if key.expires_at is not None and key.expires_at <= request.arrived_at:
            raise UpbitRefusal(401, "expired_access_key")
        if key.allowed_ips is not None and request.peer not in key.allowed_ips:
            raise UpbitRefusal(401, "no_authorization_ip")

    def _check_hash(self, request: Request, claims: dict[str, Any]) -> None:
        canonical = canonical_of(request, is_strict=self.is_strict)
        if not canonical:
            if "query_hash" in claims:
                raise UpbitRefusal(401, "invalid_query_payload")
            return
        expected = hashlib.sha512(canonical.encode()).hexdigest()
        if claims.get("query_hash") != expected or claims.get("query_hash_alg", "SHA512") != "SHA512":
            raise UpbitRefusal(401, "invalid_query_payload")


def canonical_of(request: Request, *, is_strict: bool) -> str:
    """The text whose hash the token must carry; empty when the request has no parameters. Raises UpbitRefusal."""
    if request.method == "POST":
        return "&".join(f"{name}={_plain(value)}" for name, value in json_body(request).items())
    if request.body and is_strict:
        # Documented for the order endpoints; elsewhere a body is simply not what was hashed.
        name = "QUERY_PARAMETER_NOT_SUPPORTED" if request.method == "DELETE" else "invalid_query_payload"
        raise UpbitRefusal(400 if request.method == "DELETE" else 401, name)
    if request.body:
        return unquote(request.body.decode())
    return unquote(request.raw_query)


def json_body(request: Request) -> dict[str, Any]:
    """The JSON object of a POST. Raises UpbitRefusal: forms have not been taken since 2022."""
    if not request.headers.get("Content-Type", "").lower().startswith("application/json"):
        raise UpbitRefusal(400, "validation_error")
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        raise UpbitRefusal(400, "validation_error") from None
    if not isinstance(body, dict):
        raise UpbitRefusal(400, "validation_error")
    return body


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
