"""Whether somebody has just proven a second factor: the one place that everything costly asks."""

import time

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest

from dgbot.accounts import authenticators

PROVEN_AT, FIELD, HEADER = "second_factor_at", "second_factor_code", "X-Second-Factor"


def is_available(request: HttpRequest) -> bool:
    """Whether this user has set one up."""
    return authenticators.has_one(request.user)


def is_proven(request: HttpRequest) -> bool:
    """Whether this session has proven it within DGBOT_SECOND_FACTOR_S, or this very request carries a code that does.

    A form carries it as a field; a program, which has no session, in the header X-Second-Factor of each request. A session ends with
    its user's second factor (see `sign_ins`), so an old proof outlives neither.
    """
    if _age_s(request) < settings.SECOND_FACTOR_S:
        return True
    code = (request.POST.get(FIELD) or request.headers.get(HEADER) or "").strip()
    return bool(code) and prove(request, code)


def prove(request: HttpRequest, code: str) -> bool:
    """Take a code, of the authenticator or for recovery; a refused one is told on the page."""
    if not authenticators.check(request.user, code):
        messages.error(request, authenticators.REFUSED, fail_silently=True)
        return False
    remember(request)
    return True


def remember(request: HttpRequest) -> None:
    """This session, or the request of a program, has just proven it."""
    if _is_of_session(request):
        request.session[PROVEN_AT] = time.time()
    else:
        setattr(request, PROVEN_AT, time.time())


def _is_of_session(request: HttpRequest) -> bool:
    """Whether it is the session that says who asks; a token may come with a browser's cookie beside it."""
    return hasattr(request, "session") and request.session.get(SESSION_KEY) == str(request.user.pk)


def _age_s(request: HttpRequest) -> float:
    proven_at = request.session.get(PROVEN_AT) if _is_of_session(request) else getattr(request, PROVEN_AT, None)
    age_s = time.time() - proven_at if isinstance(proven_at, float) else None
    return age_s if age_s is not None and age_s >= 0 else float("inf")
