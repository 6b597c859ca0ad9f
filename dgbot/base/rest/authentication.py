"""Who asks: a bearer with a JWT or a personal token, or a page of ours with its session."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from dgbot.accounts import logins, personal_tokens
from dgbot.accounts.models import ApiLogin, PersonalToken, Scope, User
from dgbot.base.rest import tokens

ALL_SCOPES = frozenset(Scope.values)
CHALLENGE = 'Bearer realm="dgbot"'
LONGEST = 4096  # characters of a header worth looking at


@dataclass(frozen=True)
class Granted:
    """What came with the request (`request.auth`); None of it for a session."""

    scopes: frozenset[str]
    source: ApiLogin | PersonalToken


def user_of(request: Request) -> User:
    """Who asks, where nobody else gets so far."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def granted_to(request: Request) -> Granted | None:
    """What the token grants; None for a session, which may do all its user may."""
    granted: Any = request.auth
    return granted if isinstance(granted, Granted) else None


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer …`. Whatever ended a token, the answer is the same."""

    def authenticate(self, request: Request) -> tuple[User, Granted] | None:
        """The user and what the token grants; None when no bearer token came. Raises AuthenticationFailed for one that does not hold."""
        kind, _space, rest = get_authorization_header(request).partition(b" ")
        if kind.lower() != b"bearer":
            return None
        text = rest.strip().decode("latin-1")
        found = self._personal(text) if text.startswith(personal_tokens.BEGINS) else self._login(text)
        if found is None or len(text) > LONGEST:
            raise AuthenticationFailed(
                _("This token does not hold: it is unknown, has ended or was revoked. Get another one."), code="token_invalid"
            )
        user, granted, is_verified = found
        user.is_verified = lambda: is_verified  # type: ignore[attr-defined]  # what `second_factor` asks
        return user, granted

    def authenticate_header(self, request: Request) -> str:
        """Makes the answer 401."""
        return CHALLENGE

    def _personal(self, text: str) -> tuple[User, Granted, bool] | None:
        token = personal_tokens.living(text)
        return None if token is None else (token.user, Granted(frozenset(token.scopes), token), False)

    def _login(self, text: str) -> tuple[User, Granted, bool] | None:
        claims = tokens.read(text, kind=tokens.ACCESS)
        login = None if claims is None else logins.living(claims.sid)
        return None if login is None else (login.user, Granted(ALL_SCOPES, login), login.is_verified)


class PageAuthentication(SessionAuthentication):
    """The session of a page, with CSRF as on every page."""


class BearerScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document names it."""

    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """One scheme for both kinds of token."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token of POST /api/v1/auth/token, or a personal token (dgbot_…).",
        }


class PageScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document names it."""

    target_class = PageAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The cookie of a page."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "dgbot_session",
            "description": "The session of a page; writes need its CSRF token.",
        }
