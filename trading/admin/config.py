"""Settings that rule while bots run, and every version they had."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.core.errors import BadInput
from trading.domain import config as rules
from trading.models import BotConfig, ConfigVersion
from trading.services import config


class SettingForm(forms.ModelForm):
    """A value and why it changes."""

    reason = forms.CharField(label=_("Reason"), widget=UnfoldAdminTextInputWidget, help_text=_("Kept with the change."))

    class Meta:
        model = BotConfig
        fields = ("value",)
        widgets = {"value": UnfoldAdminTextareaWidget(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "value" in self.fields:
            self.fields["value"].help_text = _("Allowed form: %(form)s") % {"form": config.allowed_form(self.instance.key)}

    def clean_value(self) -> Any:
        """Refused here with the same sentence as everywhere."""
        value = self.cleaned_data["value"]
        try:
            rules.check(self.instance.key, value)
        except BadInput as error:
            raise forms.ValidationError(str(error)) from None
        return value


@admin.register(BotConfig)
class BotConfigAdmin(HouseAdmin):
    """Effective from the next decision on."""

    form = SettingForm
    list_display = ("key", "value", "description", "updated_at")
    ordering = ("key",)
    actions = None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The reason only where something can change."""
        told = ("key", "description", "value", "updated_at")
        return (*told[:3], "reason", told[3]) if self.has_change_permission(request, obj) else told

    readonly_fields = ("key", "description", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The keys are fixed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Every key is needed."""
        return False

    def save_model(self, request: HttpRequest, obj: BotConfig, form: Any, change: bool) -> None:
        """Through the service, which keeps who, when, why and what it was before."""
        config.change(key=obj.key, value=form.cleaned_data["value"], by=request.user, reason=form.cleaned_data["reason"])


@admin.register(ConfigVersion)
class ConfigVersionAdmin(FactAdmin):
    """Every change of a setting."""

    list_display = ("changed_at", "key", "before", "after", "changed_by", "reason")
    list_filter = ("key",)
    list_select_related = ("changed_by",)
    ordering = ("-id",)
