"""The dashboard's page and the few things it asks for over HTTP."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from dgbot.accounts import second_factor
from dgbot.core.errors import DgbotError
from monitoring import selectors
from monitoring.words import WORDS
from trading import steering
from trading.models import Bot

OPERATE = "trading.change_bot"


@require_GET
@never_cache
@ensure_csrf_cookie
def dashboard(request: HttpRequest) -> HttpResponse:
    """The live dashboard, complete at its first byte; the script keeps it moving."""
    viewer = {"may_operate": request.user.has_perm(OPERATE), "language": get_language()}
    told = selectors.snapshot(request.user)
    is_new = all(bot["badge"] == "SIMULATED" for bot in told["bots"])
    context = {"snapshot": told, "words": WORDS, "viewer": viewer, "is_new": is_new}
    return render(request, "monitoring/dashboard.html", context)


@require_GET
@never_cache
def snapshot(request: HttpRequest) -> JsonResponse:
    """What a new page shows, for a page without a websocket."""
    return JsonResponse(dict(selectors.snapshot(request.user)))


Steer = Callable[..., str]


def _steered(act: Steer, *, asks_factor: bool = False) -> Callable[..., JsonResponse]:
    """A POST view that does `act` on one of the user's bots and answers with one sentence.

    asks_factor: whether `act` wants to know if the second factor has just been proven.
    """

    @require_POST
    @permission_required(OPERATE, raise_exception=True)
    @wraps(act)
    def view(request: HttpRequest, bot_pk: int) -> JsonResponse:
        if not Bot.objects.for_user(request.user).filter(pk=bot_pk).exists():
            raise Http404
        is_proven = asks_factor and second_factor.is_proven(request)
        more = {"second_factor": lambda: is_proven} if asks_factor else {}
        try:
            return JsonResponse({"message": act(bot_pk=bot_pk, by=request.user, **more)})
        except DgbotError as error:
            return JsonResponse({"message": str(error)}, status=409)

    return view


start_bot: Any = _steered(steering.start, asks_factor=True)
stop_bot: Any = _steered(steering.stop)
run_now: Any = _steered(steering.run_now)
pause_bot: Any = _steered(steering.pause)
resume_bot: Any = _steered(steering.resume)
