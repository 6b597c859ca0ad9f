"""Roles and the first account. Added if missing, never overwritten."""

import secrets

from django.contrib.auth.models import Group

from dgbot.accounts import audit, roles
from dgbot.accounts.models import User

OPERATOR_NAME = "operator"
PASSWORD_BYTES = 12


def create_roles() -> str | None:
    """The four roles that are missing."""
    created = roles.create_missing()
    return f"Roles added: {', '.join(created)}." if created else None


def create_operator() -> str | None:
    """The first account, when there is nobody who could log in. Its password is in the answer and nowhere else."""
    if User.objects.filter(is_active=True, is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = User.objects.create_superuser(OPERATOR_NAME, password=password)
    user.groups.set(Group.objects.filter(name=roles.ADMIN))
    audit.record(actor="prepare", action="create user", target=f"user:{user.pk}", reason="first start")
    return f"Log in as {OPERATOR_NAME} with the password {password} (shown only now; change it in the admin)."
