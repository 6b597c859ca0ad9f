"""Logging out. It never touches a bot by itself: whoever has bots running is shown which, and chooses."""

from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from trading import steering
from trading.models import Bot, Position

OPERATE = "trading.change_bot"
KEEP, STOP = "keep", "stop"


@never_cache
@require_http_methods(["GET", "POST"])
def leave(request: HttpRequest) -> HttpResponse:
    """Log out; while own bots run, ask first whether to keep or stop them. A GET changes nothing."""
    if not request.user.is_authenticated:
        return redirect_to_login("/")
    running = list(_running(request.user))
    choice = request.POST.get("choice", "")
    if running and choice not in (KEEP, STOP):
        return _ask(request, running)
    if request.method == "GET":
        return _ask(request, running) if running else redirect("/")
    if choice == STOP and request.user.has_perm(OPERATE):
        for bot in running:
            steering.stop(bot_pk=bot.pk, by=request.user, reason="logged out")
    logout(request)
    return redirect("login")


def _running(user: Any) -> QuerySet[Any]:
    holding = Position.objects.open().filter(bot=OuterRef("pk"), amount__gt=0)
    running = Bot.objects.filter(user=user, is_running=True, is_hidden=False).select_related("account")
    return running.annotate(is_holding=Exists(holding)).order_by("name", "pk")


def _ask(request: HttpRequest, running: list[Any]) -> HttpResponse:
    context = {"bots": running, "may_stop": request.user.has_perm(OPERATE)}
    return render(request, "registration/leave.html", context)
