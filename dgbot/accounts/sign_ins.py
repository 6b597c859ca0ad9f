"""Sessions of people: where somebody is signed in, for how long, and how to end the others.

A session ends after DGBOT_SESSION_IDLE_MINUTES without a page and after DGBOT_SESSION_HOURS in any case. Both are judged at every
request, and every few seconds for open dashboards. Bots do not depend on sessions.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from dgbot.accounts import audit
from dgbot.accounts.models import SignIn
from dgbot.base.visitors import address_of

BEGAN_AT, SEEN_AT = "began_at", "seen_at"  # machine time, seconds since 1970
SEEN_EVERY_S = 60.0  # written no oftener
BROWSER_LENGTH = 200


@dataclass(frozen=True)
class Open:
    """One session that is open now."""

    sign_in: SignIn
    seen_at: datetime | None
    is_this: bool


def note(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    """Somebody signed in: a new session, whose times begin now."""
    session = getattr(request, "session", None)
    if session is None:
        return  # a token, not a browser
    session[BEGAN_AT] = session[SEEN_AT] = time.time()
    if session.session_key is None:
        session.create()
    browser = request.META.get("HTTP_USER_AGENT", "")[:BROWSER_LENGTH]
    SignIn.objects.filter(user=user).exclude(session_key__in=Session.objects.values("session_key")).delete()
    SignIn.objects.update_or_create(
        session_key=session.session_key, defaults={"user": user, "address": address_of(request), "browser": browser}
    )


user_logged_in.connect(note, dispatch_uid="sign_ins")


class TimeOut:
    """Middleware: ends a session that was idle or open for too long, and notes at most once a minute that it is alive."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        """Judge first, so that the page that comes too late is asked to sign in again."""
        session = request.session
        if SESSION_KEY in session:
            if has_ended(session, now=time.time()):
                logout(request)
            elif time.time() - session.get(SEEN_AT, 0.0) > SEEN_EVERY_S:
                session[SEEN_AT] = time.time()
        return self.get_response(request)


def has_ended(session: Any, *, now: float) -> bool:
    """Whether a session has been idle or open for too long. One without times is taken to begin now. now: seconds since 1970."""
    began_at, seen_at = session.get(BEGAN_AT), session.get(SEEN_AT)
    if not isinstance(began_at, int | float) or not isinstance(seen_at, int | float):
        session[BEGAN_AT] = session[SEEN_AT] = now
        return False
    return bool(now - began_at > settings.SESSION_HOURS * 3600 or now - seen_at > settings.SESSION_IDLE_MINUTES * 60)


def open_ones(user: Any, *, this: str | None) -> list[Open]:
    """Where `user` is signed in, newest first. this: key of the session that asks."""
    sessions = {row.session_key: row.get_decoded() for row in _alive(user)}
    found = SignIn.objects.filter(user=user, session_key__in=sessions).order_by("-at", "-pk")
    return [
        Open(row, _moment(sessions[row.session_key].get(SEEN_AT)), row.session_key == this)
        for row in found
        if not has_ended(sessions[row.session_key], now=time.time())
    ]


@transaction.atomic
def end_others(user: Any, *, this: str | None, by: Any = None, reason: str = "") -> int:
    """End every session of `user` but `this`. by: whoever asked, if it was somebody else. Returns how many were open."""
    keys = list(SignIn.objects.filter(user=user).exclude(session_key=this or "").values_list("session_key", flat=True))
    ended, _tables = Session.objects.filter(session_key__in=keys).delete()
    SignIn.objects.filter(user=user, session_key__in=keys).delete()
    if ended:
        audit.record(actor=by or user, action="end sessions", target=f"user:{user.pk}", reason=reason, diff={"ended": [0, ended]})
    return ended


def _alive(user: Any) -> Any:
    keys = SignIn.objects.filter(user=user).values("session_key")
    return Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, tz=UTC) if isinstance(seconds, int | float) else None
