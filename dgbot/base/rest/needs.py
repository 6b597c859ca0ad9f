"""What a request needs: a scope of its token, and a permission of its user. What names no need is refused."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from dgbot.accounts.access import Scope
from dgbot.base.rest.authentication import granted_to


@dataclass(frozen=True)
class Needs:
    """permissions: Django's names, all of them; none: whoever is logged in. scope None: any token will do."""

    scope: Scope | None
    permissions: tuple[str, ...] = ()


def reads(*permissions: str) -> Needs:
    """To look."""
    return Needs(Scope.READ, permissions)


def trades(*permissions: str) -> Needs:
    """To steer bots, orders and positions."""
    return Needs(Scope.TRADE, permissions)


def administers(*permissions: str) -> Needs:
    """To change what rules: settings, limits, schedules, tokens."""
    return Needs(Scope.ADMIN, permissions)


ANYBODY = None  # a view that answers strangers says so


class HasWhatItNeeds(BasePermission):
    """The default permission of every view."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or an exception that says what is missing."""
        needs = view.needs_of(request)
        if needs is ANYBODY:
            return True
        if not request.user.is_authenticated:
            raise NotAuthenticated
        self._check_scope(request, needs)
        missing = [name for name in needs.permissions if not request.user.has_perm(name)]
        if missing:
            raise PermissionDenied(
                _("Your account lacks the permission %(names)s; an admin can give it.") % {"names": ", ".join(missing)},
                code="permission_missing",
            )
        return True

    def _check_scope(self, request: Request, needs: Needs) -> None:
        granted = granted_to(request)
        if granted is not None and needs.scope is not None and needs.scope.value not in granted.scopes:
            raise PermissionDenied(
                _("This token has the scopes %(has)s and this needs %(needs)s; use a token that has it.")
                % {"has": ", ".join(sorted(granted.scopes)), "needs": needs.scope.value},
                code="scope_missing",
            )
