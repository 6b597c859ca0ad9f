"""JWTs: an access token for 24 hours and a refresh token that is used once. Both name a login, which decides whether they hold."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError

from dgbot.accounts.logins import ACCESS_LIFE, REFRESH_LIFE, Opened

ALGORITHM, ISSUER = "HS256", "dgbot"
ACCESS, REFRESH = "access", "refresh"


@dataclass(frozen=True)
class Claims:
    """What a token says once its signature, issuer, end and kind have been checked. id: of a refresh token, else empty."""

    sid: UUID
    id: str


def pair(opened: Opened, *, now: datetime) -> dict[str, Any]:
    """The two tokens of a login, and when they end. now: aware."""
    told = {"iat": int(now.timestamp()), "sub": str(opened.login.user_id), "sid": str(opened.login.sid)}
    ends = {ACCESS: now + ACCESS_LIFE, REFRESH: now + REFRESH_LIFE}
    signer = _signer()
    encoded = {
        kind: signer.encode({**told, "token_type": kind, "exp": int(end.timestamp())}) for kind, end in ends.items() if kind == ACCESS
    }
    refresh = {**told, "token_type": REFRESH, "exp": int(ends[REFRESH].timestamp()), "jti": opened.refresh_id}
    return {
        "access": encoded[ACCESS],
        "refresh": signer.encode(refresh),
        "access_ends_at": ends[ACCESS].replace(microsecond=0).astimezone(UTC),
        "refresh_ends_at": ends[REFRESH].replace(microsecond=0).astimezone(UTC),
    }


def read(text: str, *, kind: str) -> Claims | None:
    """What a token says; None for one that is not ours, has run out, or is of the other kind."""
    try:
        signed: Any = text  # the library calls the text a token
        told = _signer().decode(signed, verify=True)
        if told.get("token_type") != kind:
            return None
        return Claims(sid=UUID(told["sid"]), id=str(told.get("jti", "")))
    except (TokenBackendError, KeyError, ValueError, TypeError, AttributeError):
        return None


def _signer() -> TokenBackend:
    """A key of its own, made from the platform's secret: what is signed here is good for nothing else, and the other way round."""
    key = salted_hmac("dgbot.rest.tokens", "signing key", algorithm="sha256").hexdigest()
    return TokenBackend(ALGORITHM, signing_key=key, issuer=ISSUER)
