"""One form for every error: `{"code", "message", "fields"}`. Programs read the code, people the message; `fields` names wrong input."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, status
from rest_framework.response import Response

from dgbot.core.errors import BadInput, DgbotError, ExchangeUnavailable, VenueUnavailable

log = logging.getLogger(__name__)

API_PATHS = ("/api/", "/bot/", "/account/")
OVERALL = "non_field_errors"  # what no single field is to blame for
UNEXPECTED = gettext_lazy("Something went wrong here; it is in the system log. Look at what your request did before you repeat it.")


class Conflict(exceptions.APIException):
    """What is there does not allow it."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Away(exceptions.APIException):
    """Something that is needed cannot be reached; trying again later is safe."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """The REST framework's exception handler: every exception becomes the one form, and an unexpected one is logged."""
    from rest_framework.views import set_rollback  # it imports the throttles, and they this module

    known = _known(error)
    set_rollback()
    if known is None:
        view = type(context.get("view")).__name__
        log.exception("api view=%s failed: %s", view, type(error).__name__)
        return Response(body("error", str(UNEXPECTED)), status=status.HTTP_500_INTERNAL_SERVER_ERROR)
    headers: dict[str, str] = {}
    challenge = getattr(known, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    wait = getattr(known, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    return Response(_told(known), status=known.status_code, headers=headers)


def body(code: str, message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """The one form."""
    return {"code": code, "message": message, "fields": fields or {}}


def plain_error(status_code: int) -> Any:
    """A handler of Django's for errors outside the REST framework: the one form for programs, Django's own page for people."""
    from django.views import defaults

    codes = {
        400: ("bad_request", gettext_lazy("This request cannot be read.")),
        403: ("permission_denied", gettext_lazy("You may not do this.")),
        404: ("not_found", gettext_lazy("There is nothing at this address.")),
        500: ("error", UNEXPECTED),
    }
    pages: dict[int, Any] = {
        400: defaults.bad_request,
        403: defaults.permission_denied,
        404: defaults.page_not_found,
        500: defaults.server_error,
    }
    code, message = codes[status_code]

    def handle(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.path.startswith(API_PATHS):
            return JsonResponse(body(code, str(message)), status=status_code)
        shown: HttpResponse = pages[status_code](request, *args, **kwargs)
        return shown

    return handle


def _known(error: Exception) -> exceptions.APIException | None:
    """What of ours or of Django's has a meaning over HTTP; None is a mistake of ours."""
    if isinstance(error, exceptions.APIException):
        return error
    for kind, told in TRANSLATED:
        if isinstance(error, kind):
            return told(error)
    return None


def _invalid(error: Any) -> exceptions.APIException:
    if not hasattr(error, "error_dict"):
        return exceptions.ValidationError(error.messages)
    return exceptions.ValidationError({OVERALL if name == "__all__" else name: told for name, told in error.message_dict.items()})


def _refused(error: Any) -> exceptions.APIException:
    code = {BadInput: "refused", VenueUnavailable: "venue_unavailable"}.get(type(error), _code_of(error))
    return Away(str(error), code=code) if getattr(error, "is_temporary", False) else Conflict(str(error), code=code)


TRANSLATED: tuple[tuple[type[Exception], Callable[[Any], exceptions.APIException]], ...] = (
    (Http404, lambda _error: exceptions.NotFound(_("There is no such thing, or it is not yours to see."))),
    (PermissionDenied, lambda _error: exceptions.PermissionDenied()),
    (ModelError, _invalid),
    (ExchangeUnavailable, lambda error: Away(str(error), code="exchange_unavailable")),
    (DgbotError, _refused),
)


def _code_of(error: Exception) -> str:
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _told(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        fields = _fields(error.detail)
        first = next(((name, texts[0]) for name, texts in fields.items() if texts), ("", ""))
        message = first[1] if first[0] in ("", OVERALL) else f"{first[0]}: {first[1]}"
        return body("invalid", message or _("The input cannot be used."), fields)
    detail: Any = error.detail
    code = getattr(detail, "code", None) or error.default_code
    return body(str(code), str(detail))


def _fields(detail: Any, name: str = OVERALL) -> dict[str, list[str]]:
    """Flat: what is wrong inside an object or a list is named by its path, `value.symbols.0`."""
    if isinstance(detail, dict):
        inner = [(f"{name}.{key}" if name != OVERALL else str(key), one) for key, one in detail.items()]
    elif isinstance(detail, list) and any(isinstance(one, dict | list) for one in detail):
        inner = [(f"{name}.{number}", one) for number, one in enumerate(detail) if one]
    else:
        return {name: [str(one) for one in (detail if isinstance(detail, list) else [detail])]}
    found: dict[str, list[str]] = {}
    for path, one in inner:
        found.update(_fields(one, path))
    return found
