"""The page on which a job is asked for: its form, one sentence where it cannot be, and the queue once the row is committed."""

import logging
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.core.errors import DgbotError

logger = logging.getLogger(__name__)


def strategy_asked_for(request: HttpRequest) -> Strategy[Any]:
    """The one posted, else the one in the address, else the first; one that replays an analyst's answers cannot be asked for."""
    names = (request.POST.get("strategy"), request.GET.get("strategy"), next(iter(STRATEGIES)))
    return next(STRATEGIES[name] for name in names if name in STRATEGIES and not STRATEGIES[name].needs_decisions)


def page(model_admin: Any, request: HttpRequest, *, form_class: Any, title: Any, submit: Callable[[Any], Any], button: Any) -> HttpResponse:
    """GET: the form. POST: the job, or the form with what is wrong. submit: a valid form → the row; raises DgbotError."""
    chosen = strategy_asked_for(request)
    initial = {name: value for name, value in request.GET.items() if name != "strategy"}
    form = form_class(request.POST or None, user=request.user, chosen=chosen, initial=initial)
    if request.method == "POST" and not form.is_switched and form.is_valid():
        try:
            job = submit(form)
        except DgbotError as error:
            form.add_error(None, str(error))
        else:
            model_admin.queue(request, job)
            return redirect(reverse(f"admin:backtests_{model_admin.opts.model_name}_change", args=[job.pk]))
    if form.is_switched:
        for name in form.fields:
            form.errors.pop(name, None)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "form": form,
        "parts": list(form.parts()),
        "button": button,
        "media": model_admin.media,
        "switched": gettext("The parameters are those of %(strategy)s now.") % {"strategy": gettext(chosen.title)}
        if form.is_switched
        else "",
    }
    return TemplateResponse(request, "backtests/ask.html", context)


def hand_over(request: HttpRequest, task: Any, pk: int) -> None:
    """Queue a job once its row is committed, and tell the user when there is no queue."""
    send_when_committed(
        task, pk, lost=lambda: messages.warning(request, _("The task queue cannot be reached; it begins once that is back."))
    )


def send_when_committed(task: Any, pk: int, *, lost: Callable[[], Any] = lambda: None) -> None:
    """Queue a job once its row is committed. Without a queue it waits for the watch."""

    def send() -> None:
        try:
            task.delay(pk)
        except OperationalError as error:
            logger.warning("%s %s waits: the task queue cannot be reached: %s", task.name, pk, error)
            lost()

    transaction.on_commit(send)
