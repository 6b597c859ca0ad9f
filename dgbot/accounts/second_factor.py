"""Whether somebody has just proven a second factor: the one place that everything costly asks."""

import time

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest

from dgbot.accounts import authenticators

PROVEN_AT, FIELD = "second_factor_at", "second_factor_code"


def is_available(request: HttpRequest) -> bool:
    """Whether this user has set one up."""
    return authenticators.has_one(request.user)


def is_proven(request: HttpRequest) -> bool:
    """Whether this session has proven it within DGBOT_SECOND_FACTOR_S, or the form that is being sent carries a code that does.

    A session ends with its user's second factor (see `sign_ins`), so an old proof outlives neither.
    """
    if _age_s(request) < settings.SECOND_FACTOR_S:
        return True
    code = request.POST.get(FIELD, "").strip()
    return bool(code) and prove(request, code)


def prove(request: HttpRequest, code: str) -> bool:
    """Take a code, of the authenticator or for recovery; a refused one is told on the page."""
    if not authenticators.check(request.user, code):
        messages.error(request, authenticators.REFUSED, fail_silently=True)
        return False
    remember(request)
    return True


def remember(request: HttpRequest) -> None:
    """This session has just proven it."""
    request.session[PROVEN_AT] = time.time()


def _age_s(request: HttpRequest) -> float:
    proven_at = request.session.get(PROVEN_AT) if hasattr(request, "session") else None
    age_s = time.time() - proven_at if isinstance(proven_at, float) else None
    return age_s if age_s is not None and age_s >= 0 else float("inf")
