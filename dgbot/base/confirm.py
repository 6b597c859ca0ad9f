"""The page between an operator's click and what it does. Without a POST nothing happens."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse


def ask(
    model_admin: Any,
    request: HttpRequest,
    *,
    question: Any,
    facts: Iterable[Any] = (),
    keep: Any = (),
    choices: Any = (),
    with_reason: bool = False,
    inputs: Iterable[tuple[str, Any, str]] = (),
    typed: str = "",
    asks_code: bool = False,
    error: str = "",
) -> HttpResponse:
    """Ask `question`, listing `facts`. `keep`: pairs of name and value that the answer sends along with `confirmed`.

    choices: pairs of value and label, of which the answer carries one as `choice`; the first is chosen beforehand.
    inputs: name, label and first value of every number or text the answer carries.
    typed: a word to be typed as `typed`; the caller compares it. asks_code: whether a code of the second factor comes along.
    error: why the last answer was not taken.
    """
    context = {
        **model_admin.admin_site.each_context(request),
        "title": question,
        "facts": list(facts),
        "keep": list(keep),
        "choices": list(choices),
        "with_reason": with_reason,
        "inputs": [(name, label, request.POST.get(name, value)) for name, label, value in inputs],
        "typed": typed,
        "asks_code": asks_code,
        "error": error,
        "opts": model_admin.model._meta,
    }
    return TemplateResponse(request, "admin/confirm.html", context)
