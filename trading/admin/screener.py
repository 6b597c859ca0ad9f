"""The screener's page beside the settings: conditions in, markets out, and what is chosen goes into target_symbols for a reason."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _

from dgbot.core.errors import DgbotError
from trading.domain import screening
from trading.domain.screening import Reading
from trading.services import screener

CHANGES = "trading.change_botconfig"
EXAMPLES = ("change_rate[1W] > 5", "trade_amount[1D] > 1e10", "ma_alignment == bullish")


class HasScreener:
    """For the settings' admin: the page's address."""

    def get_urls(self) -> list[Any]:
        """With the screener's own."""
        own: Any = self
        view = own.admin_site.admin_view(self.screener_view)
        return [path("screener/", view, name="trading_botconfig_screener"), *super().get_urls()]  # type: ignore[misc]

    def screener_view(self, request: HttpRequest) -> HttpResponse:
        """GET screens, POST applies."""
        own: Any = self
        if not request.user.has_perm(CHANGES):  # type: ignore[union-attr]  # nobody comes here without signing in
            raise PermissionDenied
        if request.method == "POST":
            return _applied(request)
        texts = [text.strip() for text in request.GET.getlist("condition") if text.strip()]
        context = {
            **own.admin_site.each_context(request),
            "title": _("Screener"),
            "opts": own.opts,
            "conditions": [*texts, *[""] * (screening.MOST_CONDITIONS - len(texts))][: max(screening.MOST_CONDITIONS, len(texts))],
            "is_any": request.GET.get("join") == "or",
            "examples": EXAMPLES,
            "readings": [(reading.value, screening.OVER[reading]) for reading in Reading],
            **(_screened(texts, is_any=request.GET.get("join") == "or") if texts else {}),
        }
        return TemplateResponse(request, "admin/screener.html", context)


def _screened(texts: list[str], *, is_any: bool) -> dict[str, Any]:
    try:
        found = screener.screen(texts, is_any=is_any, now=datetime.now(tz=UTC))
    except DgbotError as error:
        return {"trouble": str(error)}
    names = list(dict.fromkeys([*(condition.name for condition in found.conditions), "trade_amount[1D]"]))
    rows = [(one, [one.readings.get(name) for name in names]) for one in found.matches]
    return {"found": found, "names": names, "rows": rows}


def _applied(request: HttpRequest) -> HttpResponse:
    chosen, reason = request.POST.getlist("symbol"), request.POST.get("reason", "")
    try:
        wanted = screener.apply(chosen, is_replacing=request.POST.get("how") == "replace", by=request.user, reason=reason)
    except DgbotError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("target_symbols is %(symbols)s now.") % {"symbols": ", ".join(wanted)})
    query = request.GET.urlencode()
    return redirect(reverse("admin:trading_botconfig_screener") + (f"?{query}" if query else ""))
