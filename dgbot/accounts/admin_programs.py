"""What lets programs in, in the admin: personal tokens, shown once when made, and logins."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSplitDateTimeWidget

from dgbot.accounts import logins, personal_tokens
from dgbot.accounts.access import LONGEST_TOKEN
from dgbot.accounts.models import ApiLogin, PersonalToken, Scope, User
from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import state_badge

DEFAULT_LIFE = timedelta(days=90)


class TokenForm(forms.ModelForm):
    """A new token: what it is for, what it may do, until when."""

    scopes = forms.MultipleChoiceField(
        label=_("scopes"),
        choices=Scope.choices,
        initial=[Scope.READ],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None includes another: a program that trades and looks needs both."),
    )
    expires_at = forms.SplitDateTimeField(
        label=_("ends at"),
        widget=UnfoldAdminSplitDateTimeWidget,
        initial=lambda: timezone.now() + DEFAULT_LIFE,
        help_text=_("At most a year from now."),
    )

    class Meta:
        model = PersonalToken
        fields = ("name", "scopes", "expires_at")

    def clean_expires_at(self) -> datetime:
        """Within a year."""
        ends: datetime = self.cleaned_data["expires_at"]
        if not timezone.now() < ends <= timezone.now() + LONGEST_TOKEN:
            raise forms.ValidationError(_("It must lie in the future and within a year from now."))
        return ends


@admin.register(PersonalToken)
class PersonalTokenAdmin(HouseAdmin):
    """Keys of one's own programs. Everybody may make some for himself; whoever sees all owners may revoke any."""

    list_display = ("name", "prefix", "scopes_shown", "user", "state", "last_used_at", "expires_at")
    list_select_related = ("user",)
    ordering = ("-id",)
    actions = ("revoke_selected",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A new one is described; an old one is only shown."""
        return super().get_form(request, obj, change=change, **kwargs) if obj else TokenForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one's three; an old one's all but its hash."""
        told = ("name", "prefix", "scopes_shown", "user", "state", "created_at", "expires_at", "last_used_at", "revoked_at")
        return told if obj else ("name", "scopes", "expires_at")

    def save_model(self, request: HttpRequest, obj: PersonalToken, form: Any, change: bool) -> None:
        """Through the service; the text appears in the next page's message and nowhere else."""
        asked, user = form.cleaned_data, cast(User, request.user)
        token, text = personal_tokens.make(user, name=asked["name"], scopes=asked["scopes"], expires_at=asked["expires_at"], by=user)
        obj.pk = token.pk
        told = format_html("{} <code>{}</code>", _("Copy your token now; it is shown only this once:"), text)
        messages.warning(request, told)

    @action(description=_("Revoke selected tokens"), permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[PersonalToken]) -> None:
        """They end at once; their rows stay."""
        done = sum(personal_tokens.revoke(token, by=request.user) for token in queryset)
        self.message_user(request, _("%(done)d tokens revoked.") % {"done": done})

    @admin.display(description=_("scopes"))
    def scopes_shown(self, token: PersonalToken) -> str:
        """In one line."""
        return ", ".join(str(Scope(scope).label) for scope in token.scopes)

    @admin.display(description=_("state"))
    def state(self, token: PersonalToken) -> SafeString:
        """Whether it opens anything."""
        if token.revoked_at:
            return state_badge("bad", _("revoked"))
        return state_badge("quiet", _("ended")) if token.expires_at <= timezone.now() else state_badge("good", _("valid"))

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The list shows only what one may revoke."""
        return True

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Everybody in the admin."""
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One's own; the list sees to it."""
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """For oneself."""
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A token is made anew instead."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It is revoked, so that the record stays."""
        return False


@admin.register(ApiLogin)
class ApiLoginAdmin(FactAdmin):
    """Programs that logged in with name and password."""

    list_display = ("created_at", "user", "agent", "address", "state", "refreshed_at", "expires_at")
    list_select_related = ("user",)
    ordering = ("-id",)
    actions = ("revoke_selected",)  # type: ignore[assignment]  # facts have none, these may be ended

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Nothing that tokens are checked by."""
        return [name for name in super().get_fields(request, obj) if name not in ("refresh_digest", "password_stamp", "sid")]

    @action(description=_("End selected logins"), permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiLogin]) -> None:
        """Their tokens end at once."""
        done = sum(logins.revoke(login, by=request.user, reason=f"ended by {request.user.get_username()}") for login in queryset)
        self.message_user(request, _("%(done)d logins ended.") % {"done": done})

    @admin.display(description=_("state"))
    def state(self, login: ApiLogin) -> SafeString:
        """Whether its tokens open anything."""
        if login.revoked_at:
            return state_badge("bad", login.revoked_reason)
        return state_badge("quiet", _("ended")) if login.expires_at <= timezone.now() else state_badge("good", _("valid"))

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The list shows only what one may end."""
        return True

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Everybody in the admin."""
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One's own; the list sees to it."""
        return True
