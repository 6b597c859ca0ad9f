"""One's own sign-in: the second factor, its recovery codes, and where one is signed in."""

from typing import Any

import segno
from django.contrib import admin, messages
from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dgbot.accounts import authenticators, second_factor, sign_ins
from dgbot.core.errors import BadInput

MAY_SET_UP = "may_set_up_second_factor"  # in the session: the password was asked for on the way


@require_GET
@never_cache
def security(request: HttpRequest) -> HttpResponse:
    """How one is protected, and where one is signed in."""
    facts = {
        "has_one": authenticators.has_one(request.user),
        "codes_left": authenticators.codes_left(request.user),
        "sessions": sign_ins.open_ones(request.user, this=request.session.session_key),
    }
    return _page(request, "account/security.html", _("Sign-in and second factor"), **facts)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@never_cache
def set_up(request: HttpRequest) -> HttpResponse:
    """The password first, and any former second factor; then the QR code; then a code that proves it was scanned."""
    title, mine = _("Set up the second factor"), request.session
    asks_code = authenticators.has_one(request.user)
    if not mine.get(MAY_SET_UP):
        if request.method == "POST" and _is_password_right(request) and (not asks_code or second_factor.is_proven(request)):
            mine[MAY_SET_UP] = True
            return redirect("account_set_up")
        return _page(request, "account/password.html", title, asks_code=asks_code)
    if request.method == "POST":
        try:
            codes = authenticators.confirm(request.user, request.POST.get("code", ""))
        except BadInput as error:
            messages.error(request, str(error))
            return redirect("account_set_up")
        del mine[MAY_SET_UP]
        second_factor.remember(request)
        sign_ins.end_others(request.user, this=mine.session_key, reason="second factor set up")
        return _page(request, "account/codes.html", _("Your recovery codes"), codes=codes)
    begun = authenticators.begin(request.user)
    return _page(request, "account/set_up.html", title, picture=_picture(begun.uri), key=_in_fours(begun.key))


@require_POST
@never_cache
def renew_codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes for whoever has just proven the second factor."""
    if not second_factor.is_proven(request):
        return redirect("account_verify")
    return _page(request, "account/codes.html", _("Your recovery codes"), codes=authenticators.renew_codes(request.user))


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@never_cache
def verify(request: HttpRequest) -> HttpResponse:
    """Prove the second factor, and go back to where it was asked for."""
    if not authenticators.has_one(request.user):
        messages.info(request, _("Set up a second factor first."))
        return redirect("account_set_up")
    if request.method == "POST" and second_factor.is_proven(request):
        messages.success(request, _("Your second factor is verified; go on within the next minutes."))
        return redirect(_safe_next(request))
    return _page(request, "account/verify.html", _("Verify your second factor"), next=_safe_next(request))


@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere else."""
    ended = sign_ins.end_others(request.user, this=request.session.session_key)
    messages.success(request, ngettext("%(count)d other session ended.", "%(count)d other sessions ended.", ended) % {"count": ended})
    return redirect("account_security")


def _page(request: HttpRequest, template: str, title: str, **facts: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), "title": title, **facts})


def _is_password_right(request: HttpRequest) -> bool:
    """Through the same backends as a login, so that guesses are counted here, too."""
    person = authenticate(request, username=request.user.get_username(), password=request.POST.get("password", ""))
    if person is None:
        messages.error(request, _("The password is wrong, or too many were: wait and try again."))
    return person is not None and person.pk == request.user.pk


def _picture(uri: str) -> SafeString:
    """The QR code as a drawing within the page, dark on white in any theme: cameras need that."""
    drawn = segno.make(uri, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff", title="QR")
    return mark_safe(drawn)  # noqa: S308 - made here of squares; the address is only drawn


def _in_fours(key: str) -> str:
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


def _safe_next(request: HttpRequest) -> str:
    """Only within this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()) else "/account/"
