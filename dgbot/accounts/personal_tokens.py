"""Personal tokens: made once and shown once, kept as a hash, bound to scopes and an end."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from dgbot.accounts import audit
from dgbot.accounts.access import LONGEST_TOKEN
from dgbot.accounts.models import PersonalToken, Scope, User
from dgbot.base.fields import ClockTimestamp
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput

BEGINS = "dgbot_"  # secret scanners find it, and nobody takes it for a JWT
SHOWN = len(BEGINS) + 6  # characters of the prefix
SECRET_BYTES = 32
MOST_LIVING = 50  # of one user
NOTED_EVERY = timedelta(minutes=1)  # a token's last use is written at most so often


@transaction.atomic
def make(user: User, *, name: str, scopes: Sequence[str], expires_at: datetime, by: Any) -> tuple[PersonalToken, str]:
    """A new token and its text, which is nowhere afterwards. Raises BadInput for an end that is past or more than a year away."""
    now = machine_now()
    if not now < expires_at <= now + LONGEST_TOKEN:
        raise BadInput(
            f"The token was not made: it must end within {LONGEST_TOKEN.days} days from now,"
            f" was {expires_at.isoformat(timespec='seconds')}."
        )
    User.objects.select_for_update().get(pk=user.pk)  # two at once are counted one after the other
    living = PersonalToken.objects.filter(user=user, revoked_at=None, expires_at__gt=now).count()
    if living >= MOST_LIVING:
        raise BadInput(f"The token was not made: you have {living} living ones, the most is {MOST_LIVING}; revoke one first.")
    text = BEGINS + secrets.token_urlsafe(SECRET_BYTES)
    token = PersonalToken.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN],
        digest=_digest(text),
        scopes=[scope for scope in Scope.values if scope in scopes],
        created_at=now,
        expires_at=expires_at,
    )
    diff = {"name": [None, name], "scopes": [None, token.scopes], "expires_at": [None, expires_at.isoformat()]}
    audit.record(actor=by, action="make personal token", target=f"user:{user.pk}", diff=diff)
    return token, text


def living(text: str) -> PersonalToken | None:
    """The token with that text and its user; None when there is none, or it has ended, or its user is deactivated. Its use is noted."""
    alive = PersonalToken.objects.filter(revoked_at=None, user__is_active=True, expires_at__gt=ClockTimestamp())
    token = alive.select_related("user").filter(digest=_digest(text)).first()
    if token is None:
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= NOTED_EVERY:
        PersonalToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


@transaction.atomic
def revoke(token: PersonalToken, *, by: Any) -> bool:
    """End a token at once. Returns whether it lived."""
    ended = PersonalToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=machine_now())
    if ended:
        audit.record(actor=by, action="revoke personal token", target=f"user:{token.user_id}", diff={"token": [token.prefix, None]})
    return bool(ended)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
