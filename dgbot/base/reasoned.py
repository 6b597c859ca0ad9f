"""A form whose change may need a reason: a service judges the finished row before anything is saved."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from dgbot.core.errors import DgbotError, SecondFactorMissing


class ReasonedForm(forms.ModelForm):
    """The row's own fields and the reason of their change; what the judge refuses is shown at the reason."""

    change_reason = forms.CharField(
        label=_("reason of this change"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Needed when anything allows more than before; on live bots together with your second factor."),
    )
    judge: Callable[[Any, Mapping[str, Any]], None]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # django-stubs does not know it
        if self.errors:
            return
        try:
            self.judge(self.instance, self.cleaned_data)
        except SecondFactorMissing as error:
            told = format_html('{} <a href="{}" target="_blank">{}</a>', str(error), reverse("account_verify"), _("Verify it"))
            self.add_error("change_reason", told)
        except DgbotError as error:
            self.add_error("change_reason", str(error))


def judged_by(form: Any, judge: Callable[[Any, Mapping[str, Any]], object]) -> Any:
    """`form` with its judge, who gets the finished row and the cleaned values and raises what forbids them."""

    def ask(_form: Any, row: Any, cleaned: Mapping[str, Any]) -> None:
        judge(row, cleaned)

    return type(form.__name__, (form,), {"judge": ask})
