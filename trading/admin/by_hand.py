"""Buttons that act on one position, order or bot: a question with a reason, one call, one sentence."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from dgbot.base.confirm import ask
from dgbot.core.errors import DgbotError

OPERATE = "trading.change_bot"


class ActsByHand:
    """For an admin whose buttons do something to the row that is open."""

    def has_operate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether `request.user` steers bots."""
        return bool(request.user.has_perm(OPERATE))

    def act(
        self: Any,
        request: HttpRequest,
        object_id: str,
        *,
        question: Any,
        deed: Callable[..., str],
        facts: Callable[[Any], Iterable[Any]] = lambda _row: (),
        inputs: Callable[[Any], Iterable[tuple[str, Any, str]]] = lambda _row: (),
    ) -> HttpResponse:
        """Ask for a reason and for `inputs`, then do it. A refusal is shown above the same question, and nothing typed is lost.

        deed: called with the row's primary key, `reason`, `by` and each input by name.
        """
        row = self.get_object(request, object_id)
        opts = self.model._meta
        wanted, error = list(inputs(row)), ""
        if request.method == "POST":
            given = {name: request.POST.get(name, "") for name in ("reason", *(name for name, _label, _value in wanted))}
            try:
                messages.success(request, deed(row.pk, by=request.user, **given))
                return redirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[object_id]))
            except DgbotError as problem:
                error = str(problem)
        return ask(self, request, question=question % {"row": row}, facts=facts(row), inputs=wanted, with_reason=True, error=error)
