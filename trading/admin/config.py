"""Settings that rule while bots run, and every version they had."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.confirm import ask
from dgbot.base.filters import by_period, one_of
from dgbot.core.errors import BadInput
from trading.admin import setting_words
from trading.admin.screener import CHANGES, HasScreener
from trading.admin.what_if import ShowsWhatIf
from trading.domain import config as rules
from trading.models import Bot, BotConfig, ConfigVersion
from trading.selectors import effective
from trading.services import config, what_if

NEWEST_VERSIONS = 20


class SettingForm(forms.ModelForm):
    """A value in an input of its kind, and why it changes."""

    reason = forms.CharField(label=_("Reason"), widget=UnfoldAdminTextInputWidget, help_text=_("Kept with the change."))

    class Meta:
        model = BotConfig
        fields = ("value",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "value" in self.fields:
            self.fields["value"] = setting_words.field_for(self.instance.key)
            self.initial["value"] = setting_words.shown(self.instance.key, self.instance.value)

    def clean_value(self) -> Any:
        """As it is stored, refused here with the same sentence as everywhere."""
        value = setting_words.stored(self.instance.key, self.cleaned_data["value"])
        try:
            rules.check(self.instance.key, value)
        except BadInput as error:
            raise forms.ValidationError(str(error)) from None
        return value


@admin.register(BotConfig)
class BotConfigAdmin(HasScreener, ShowsWhatIf, HouseAdmin):
    """Effective from the next decision on."""

    form = SettingForm
    list_display = ("key", "value_shown", "origin", "description", "updated_at")
    ordering = ("key",)
    actions = None
    actions_list = ("open_screener",)
    readonly_fields = ("key", "description", "value_shown", "origin", "concerns", "versions", "updated_at")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row, which knows whose bots its page counts."""
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.reader = request.user
        return row

    @action(description=_("Screener"), permissions=["screen"], icon="filter_alt", url_path="open-screener")
    def open_screener(self, request: HttpRequest) -> HttpResponse:
        """To its page."""
        return redirect(reverse("admin:trading_botconfig_screener"))

    def has_screen_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Whoever may change settings."""
        return request.user.has_perm(CHANGES)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The inputs only where something can change."""
        may_change = self.has_change_permission(request, obj)
        return (
            "key",
            "description",
            *(("value", "reason") if may_change else ("value_shown",)),
            "concerns",
            "origin",
            "updated_at",
            "versions",
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The keys are fixed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Every key is needed."""
        return False

    def what_if(self, request: HttpRequest, row: BotConfig, form: Any) -> what_if.Told:
        """The last 30 days of every bot under the other value."""
        return what_if.of_setting(row.key, form.cleaned_data["value"], by=request.user)

    def save_model(self, request: HttpRequest, obj: BotConfig, form: Any, change: bool) -> None:
        """Through the service, which keeps who, when, why and what it was before."""
        before = BotConfig.objects.get(pk=obj.pk).value
        row = config.change(key=obj.key, value=form.cleaned_data["value"], by=request.user, reason=form.cleaned_data["reason"])
        obj.updated_at = row.updated_at
        if obj.key == "target_symbols":
            _tell_symbols(request, before=set(before["symbols"]), after=set(row.value["symbols"]))

    @admin.display(description=_("value"))
    def value_shown(self, row: BotConfig) -> str:
        """In words."""
        return setting_words.said(row.key, row.value)

    @admin.display(description=_("concerns now"))
    def concerns(self, row: Any) -> str:
        """Which bots it changes anything for."""
        return setting_words.concerned(row.key, row.value, user=row.reader)

    @admin.display(description=_("history"))
    def versions(self, row: BotConfig) -> SafeString:
        """Its newest versions, each with what it changed and the way back."""
        newest = ConfigVersion.objects.filter(key=row.key).select_related("changed_by").order_by("-pk")[:NEWEST_VERSIONS]
        context = {"versions": [{"row": one, "change": setting_words.change_of(one.key, one.before, one.after)} for one in newest]}
        return mark_safe(render_to_string("trading/setting_versions.html", context))  # noqa: S308 - our template, which escapes

    @admin.display(description=_("comes from"))
    def origin(self, row: BotConfig) -> str:
        """Code, environment, or who changed it here."""
        return effective.of_settings()[row.key]  # five rows, five small queries


@admin.register(ConfigVersion)
class ConfigVersionAdmin(FactAdmin):
    """Every change of a setting."""

    list_display = ("changed_at", "key", "from_what", "to_what", "changed_by", "reason")
    list_filter = (by_period("changed_at"), one_of("key", _("key"), [(key, key) for key in rules.SETTINGS]))
    list_select_related = ("changed_by",)
    ordering = ("-id",)
    actions_detail = ("revert",)

    @action(description=_("Revert this change"), permissions=["revert"], icon="undo")
    def revert(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the setting back what it was before, for a reason; as a further version."""
        version = self.get_object(request, object_id)
        reason = request.POST.get("reason", "").strip()
        if request.method != "POST" or not reason:
            change = setting_words.change_of(version.key, version.after, version.before)
            facts = [f"{version.key}: {change.before} → {change.after}"]
            return ask(self, request, question=_("Revert %(version)s?") % {"version": version}, facts=facts, with_reason=True)
        try:
            row = config.revert(version_pk=version.pk, by=request.user, reason=reason)
            messages.success(request, _("%(key)s is %(value)s again.") % {"key": row.key, "value": setting_words.said(row.key, row.value)})
        except BadInput as error:
            messages.error(request, str(error))
        return redirect(reverse("admin:trading_configversion_changelist"))

    @admin.display(description=_("before"))
    def from_what(self, version: ConfigVersion) -> str:
        """In words."""
        return setting_words.said(version.key, version.before)

    @admin.display(description=_("after"))
    def to_what(self, version: ConfigVersion) -> str:
        """In words."""
        return setting_words.said(version.key, version.after)

    def has_revert_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may change settings."""
        return request.user.has_perm("trading.change_botconfig")


def _tell_symbols(request: HttpRequest, *, before: set[str], after: set[str]) -> None:
    """What a change of the target symbols means: bots to be made, and entries that are blocked from now on."""
    for symbol in sorted(after - before):
        if not Bot.objects.for_user(request.user).filter(symbol=symbol, is_hidden=False).exists():
            url = f"{reverse('admin:trading_bot_add')}?{urlencode({'symbol': symbol})}"
            link = format_html('<a href="{}">{}</a>', url, _("Create bot"))
            messages.info(request, format_html("{} {}", _("No bot trades %(symbol)s yet.") % {"symbol": symbol}, link))
    for bot in Bot.objects.for_user(request.user).filter(symbol__in=before - after, is_running=True, is_hidden=False).order_by("name"):
        text = _("%(bot)s opens nothing more: %(symbol)s is no target symbol now. Its exits go on.")
        messages.warning(request, text % {"bot": bot.name, "symbol": bot.symbol})
