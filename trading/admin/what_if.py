"""Beside a form: the last 30 days with the change against without it. The panel asks by itself; saving never waits for it."""

import copy
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dgbot.core.errors import DgbotError
from trading.services.what_if import Told

REASONS = frozenset({"reason", "change_reason"})  # of a change: nothing is saved here, so none is asked for


class ShowsWhatIf:
    """For a model admin: `what_if` says what the form's row would have done."""

    change_form_after_template = "admin/what_if_panel.html"

    def what_if(self, request: HttpRequest, row: Any, form: Any) -> Told:
        """The answer for `row` as the form would save it."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        """With the panel's own address."""
        own: Any = self
        view = own.admin_site.admin_view(require_POST(self.what_if_view))
        return [path("<path:object_id>/what-if/", view, name=f"{own.opts.app_label}_{own.opts.model_name}_what_if"), *super().get_urls()]  # type: ignore[misc]

    def what_if_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The panel's content; nothing is saved."""
        own: Any = self
        row = own.get_object(request, object_id)
        if row is None or not own.has_change_permission(request, row):
            return HttpResponse(status=404 if row is None else 403)
        form = own.get_form(request, row, change=True)(request.POST, instance=copy.deepcopy(row))
        wrong = {name: errors for name, errors in form.errors.items() if name not in REASONS}
        if wrong:
            return render(request, "admin/what_if.html", {"wrong": _("Once the form is filled in, the answer stands here.")})
        try:
            told = self.what_if(request, form.instance, form)
        except DgbotError as error:
            return render(request, "admin/what_if.html", {"wrong": str(error)})
        return render(request, "admin/what_if.html", {"told": told, "took_ms": round(told.took_s * 1000)})
