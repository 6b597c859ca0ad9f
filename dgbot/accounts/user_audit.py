"""Sign-ins in the audit log. The names of who failed are not kept: they are often mistyped passwords."""

from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out

from dgbot.accounts import audit
from dgbot.accounts.models import User
from dgbot.base.visitors import address_of


def _signed_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    audit.record(actor=user, action="sign in", target=f"user:{user.pk}", diff={"address": [None, address_of(request)]})


def _signed_out(sender: Any, request: Any, user: Any, **_: Any) -> None:
    if user is not None:
        audit.record(actor=user, action="sign out", target=f"user:{user.pk}")


def _locked(sender: Any, request: Any, username: Any, ip_address: Any, **_: Any) -> None:
    person = User.objects.filter(username=username).first()
    target = "user:unknown" if person is None else f"user:{person.pk}"
    audit.record(actor="login", action="lock sign-in", target=target, diff={"address": [None, ip_address]})


user_logged_in.connect(_signed_in, dispatch_uid="audit signed in")
user_logged_out.connect(_signed_out, dispatch_uid="audit signed out")
user_locked_out.connect(_locked, dispatch_uid="audit locked")
