"""What every answer tells the browser, and which requests are refused before any view sees them."""

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, HttpResponseForbidden

Answer = Callable[[HttpRequest], HttpResponseBase]

ALWAYS = {
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
# The skin of the admin evaluates expressions (Alpine) and writes styles; so does the page of the API's documentation.
SKINNED = ("account/", "api/docs")
LOOSER = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}


class Guard:
    """Middleware: refuses what no honest browser sends, and adds the headers that hold for every page."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Refuse, or answer with the headers."""
        answer = _refusal(request) or self.get_response(request)
        for name, value in ALWAYS.items():
            answer.headers.setdefault(name, value)
        return answer


def _refusal(request: HttpRequest) -> HttpResponse | None:
    is_api = request.path_info.startswith("/api/")  # which names the parameter itself, in its own form
    if ("%00" in request.META.get("QUERY_STRING", "") and not is_api) or "\x00" in request.path_info:
        return HttpResponseBadRequest("The address holds a NUL character, which no name or number here has.")
    # Beside the token against forged forms: a browser says itself where a request comes from.
    if request.method not in SAFE and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return HttpResponseForbidden("Another site sent this request; send it from here.")
    return None


class ContentPolicy(CSPMiddleware):
    """The policy of CONTENT_SECURITY_POLICY, strict for our own pages; the admin's skin needs a looser one."""

    def get_policy_parts(self, request: Any, response: Any, report_only: bool = False) -> PolicyParts:
        """The parts of the header for this answer."""
        parts = super().get_policy_parts(request, response, report_only)
        if _is_looser(request):
            parts.replace = {**(parts.replace or {}), **LOOSER}
        return parts


def _is_looser(request: Any) -> bool:
    found = getattr(request, "resolver_match", None)
    return found is not None and ("admin" in found.namespaces or found.route.startswith(SKINNED))
