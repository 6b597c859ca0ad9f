"""Getting a JWT, carrying it on, and ending it."""

from typing import Any

from django.contrib.auth import authenticate
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts import logins
from dgbot.accounts.models import ApiLogin, User
from dgbot.base.rest import tokens
from dgbot.base.rest.authentication import granted_to, user_of
from dgbot.base.rest.fields import Instant
from dgbot.base.rest.needs import ANYBODY, Needs
from dgbot.base.rest.throttles import GuardedThrottle
from dgbot.base.rest.views import Face, Input
from dgbot.base.visitors import address_of


class Credentials(Input):
    """Who one is."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, style={"input_type": "password"})


class RefreshInput(Input):
    """What carries a login on."""

    refresh = serializers.CharField(max_length=4096, help_text="The newest refresh token; it is used up.")


class TokenPair(serializers.Serializer[Any]):
    """A login's two tokens."""

    access = serializers.CharField(help_text="Send it as `Authorization: Bearer …`.")
    refresh = serializers.CharField(help_text="Good for one `POST /api/v1/auth/refresh`; one that comes twice ends the login.")
    access_ends_at = Instant()
    refresh_ends_at = Instant()


class Ended(serializers.Serializer[Any]):
    """How many logins were ended."""

    ended = serializers.IntegerField(min_value=0)


EXAMPLE = OpenApiExample("A login", value={"username": "operator", "password": "correct horse battery staple"}, request_only=True)


class Strangers(Face):
    """Faces that ask nobody for a token."""

    authentication_classes = ()
    throttle_classes = (GuardedThrottle,)
    needs = {"post": ANYBODY}


class TokenFace(Strangers):
    """A new login."""

    @extend_schema(operation_id="auth_token", summary="Log in", request=Credentials, responses=TokenPair, examples=[EXAMPLE], auth=[])
    def post(self, request: Request) -> Response:
        """Name and password for an access token of 24 hours and a refresh token of 14 days.

        The login authorises the API and nothing else: bots go on when it ends.
        """
        asked = self.given(request, Credentials)
        user = authenticate(request._request, username=asked["username"], password=asked["password"])
        if getattr(request._request, "axes_locked_out", False):
            request._request.axes_locked_out = False  # type: ignore[attr-defined]  # or its middleware answers with a page
            raise Throttled(detail=_("Too many wrong passwords for this name from this address; wait, then try again."))
        if not isinstance(user, User):
            raise AuthenticationFailed(_("Name and password do not fit, or the account is switched off."), code="login_refused")
        opened = logins.begin(user, address=address_of(request._request), agent=request.headers.get("User-Agent", ""), is_verified=False)
        return Response(TokenPair(tokens.pair(opened, now=timezone.now())).data)


class RefreshFace(Strangers):
    """The next pair of tokens."""

    @extend_schema(operation_id="auth_refresh", summary="Carry a login on", request=RefreshInput, responses=TokenPair, auth=[])
    def post(self, request: Request) -> Response:
        """A new pair for the newest refresh token. One that was used before ends the login: somebody else may have a copy."""
        claims = tokens.read(self.given(request, RefreshInput)["refresh"], kind=tokens.REFRESH)
        opened = None if claims is None else logins.renew(claims.sid, refresh_id=claims.id)
        if opened is None:
            raise AuthenticationFailed(
                _("This refresh token does not hold: it has ended, was used or was revoked. Log in again."), code="token_invalid"
            )
        return Response(TokenPair(tokens.pair(opened, now=timezone.now())).data)


class LogoutFace(Face):
    """The end of one login."""

    needs = {"post": Needs(None)}

    @extend_schema(operation_id="auth_logout", summary="Log out", request=None, responses=Ended)
    def post(self, request: Request) -> Response:
        """Ends the login of the token used, at once. Bots are not touched."""
        granted = granted_to(request)
        source = None if granted is None else granted.source
        ended = isinstance(source, ApiLogin) and logins.revoke(source, by=request.user, reason="logged out")
        return Response({"ended": int(ended)})


class LogoutEverywhereFace(Face):
    """The end of all logins."""

    needs = {"post": Needs(None)}

    @extend_schema(operation_id="auth_logout_everywhere", summary="Log out everywhere", request=None, responses=Ended)
    def post(self, request: Request) -> Response:
        """Ends every JWT of your account, at once. Personal tokens stay; revoke them one by one."""
        return Response({"ended": logins.revoke_all(user_of(request), by=request.user, reason="logged out everywhere")})
