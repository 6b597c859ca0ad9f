"""Logins of programs: opened with a password, carried on by refresh tokens that are used once, ended at once for everybody's sake.

A login ends when it is revoked, when its user is deactivated or gets another password, and when a refresh token that was used
already comes back: then somebody else has a copy, and neither goes on.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from dgbot.accounts import audit
from dgbot.accounts.models import ApiLogin, User
from dgbot.base.machine import machine_now

REFRESH_LIFE = timedelta(days=14)
ACCESS_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Opened:
    """A living login and the id of the one refresh token that carries it on."""

    login: ApiLogin
    refresh_id: str


@transaction.atomic
def begin(user: User, *, address: str | None, agent: str, is_verified: bool) -> Opened:
    """A new login. is_verified: the user has just proven a second factor."""
    refresh_id, now = uuid4().hex, machine_now()
    login = ApiLogin.objects.create(
        sid=uuid4(),
        user=user,
        refresh_digest=_digest(refresh_id),
        password_stamp=_stamp(user),
        is_verified=is_verified,
        address=address,
        agent=agent[:200].replace("\x00", ""),
        expires_at=now + REFRESH_LIFE,
    )
    audit.record(actor=user, action="log in to the API", target=f"user:{user.pk}", diff={"login": [None, login.pk]})
    return Opened(login, refresh_id)


def living(sid: UUID) -> ApiLogin | None:
    """The login a token names, with its user; None once it has ended, whatever ended it. One query."""
    login = ApiLogin.objects.select_related("user").filter(sid=sid, revoked_at=None, user__is_active=True).first()
    return login if login is not None and login.password_stamp == _stamp(login.user) else None


def renew(sid: UUID, *, refresh_id: str) -> Opened | None:
    """Carry a login on with its newest refresh token, which is used up by it; None when it has ended. An older one ends it."""
    with transaction.atomic():
        login = ApiLogin.objects.select_for_update(of=("self",)).select_related("user").filter(sid=sid).first()
        if login is None or login.revoked_at or not login.user.is_active or login.password_stamp != _stamp(login.user):
            return None
        now = machine_now()
        if login.expires_at <= now:
            return None
        if login.refresh_digest == _digest(refresh_id):
            newer = uuid4().hex
            login.refresh_digest, login.refreshed_at, login.expires_at = _digest(newer), now, now + REFRESH_LIFE
            login.save(update_fields=["refresh_digest", "refreshed_at", "expires_at"])
            return Opened(login, newer)
        revoke(login, by=login.user, reason="a used refresh token came back")
    return None


@transaction.atomic
def revoke(login: ApiLogin, *, by: Any, reason: str) -> bool:
    """End one login. Returns whether it lived."""
    ended = ApiLogin.objects.filter(pk=login.pk, revoked_at=None).update(revoked_at=machine_now(), revoked_reason=reason)
    if ended:
        audit.record(actor=by, action="end API login", target=f"user:{login.user_id}", reason=reason, diff={"login": [login.pk, None]})
    return bool(ended)


@transaction.atomic
def revoke_all(user: User, *, by: Any, reason: str) -> int:
    """End every login of a user. Returns how many lived."""
    ended = ApiLogin.objects.filter(user=user, revoked_at=None).update(revoked_at=machine_now(), revoked_reason=reason)
    if ended:
        audit.record(actor=by, action="end all API logins", target=f"user:{user.pk}", reason=reason, diff={"logins": [ended, 0]})
    return ended


def remove_ended() -> int:
    """Delete logins whose last token has run out for a month. Returns how many. For the daily clean-up."""
    return ApiLogin.objects.filter(expires_at__lt=machine_now() - timedelta(days=30)).delete()[0]


def _stamp(user: User) -> str:
    return user.get_session_auth_hash()


def _digest(refresh_id: str) -> str:
    return hashlib.sha256(refresh_id.encode()).hexdigest()
