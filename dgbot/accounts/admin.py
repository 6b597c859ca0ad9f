"""Users and their roles, the audit log, and which processes are alive."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from dgbot.accounts import (
    admin_programs,  # noqa: F401  registers its admins
    audit,
)
from dgbot.accounts.models import AuditEntry, Heartbeat, User
from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import short, state_badge
from dgbot.base.display import age

NEVER_TOLD = ("password", "password1", "password2", "usable_password")

admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, HouseAdmin):
    """Who may log in, and with which roles."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "roles", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the roles in one further query."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        """Names of the user's groups."""
        return ", ".join(group.name for group in user.groups.all()) or "–"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """With its trace in the audit log: who gave which rights to whom."""
        before = self.roles(form.instance) if change else ""
        super().save_related(request, form, formsets, change)
        names = [name for name in form.changed_data if name not in NEVER_TOLD and name != "groups"]
        diff = {name: [str(form.initial.get(name, "")), str(form.cleaned_data.get(name, ""))] for name in names}
        after = self.roles(User.objects.get(pk=form.instance.pk))
        diff |= {"roles": [before, after]} if before != after else {}
        deed = "change user" if change else "create user"
        audit.record(actor=request.user, action=deed, target=f"user:{form.instance.pk}", diff=diff)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Users are deactivated, never deleted: the records name them."""
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, HouseAdmin):
    """Roles and their permissions."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """With its trace in the audit log."""
        before = _rights(form.instance) if change else []
        super().save_related(request, form, formsets, change)
        audit.record(
            actor=request.user, action="change role", target=f"role:{form.instance.pk}", diff={"rights": [before, _rights(form.instance)]}
        )


def _rights(role: Group) -> list[str]:
    return sorted(role.permissions.values_list("codename", flat=True))


@admin.register(AuditEntry)
class AuditEntryAdmin(FactAdmin):
    """Who changed what, when and why."""

    list_display = ("at", "actor_name", "action", "target", "why")
    search_fields = ("target__startswith", "actor_name__startswith")
    search_help_text = _("Beginning of a target such as bot:3, or of a name.")
    ordering = ("-id",)

    @admin.display(description=_("reason"))
    def why(self, entry: AuditEntry) -> SafeString:
        """Its beginning."""
        return short(entry.reason)


@admin.register(Heartbeat)
class HeartbeatAdmin(FactAdmin):
    """The last sign of life of each process and of each running bot."""

    list_display = ("name", "life", "late_after_s", "beat_at", "started_at", "pid", "alarmed_at")
    list_filter = ("process",)
    ordering = ("process", "name")

    @admin.display(description=_("last sign of life"))
    def life(self, heartbeat: Heartbeat) -> SafeString:
        """Its age, red and named when late."""
        silence = timezone.now() - heartbeat.beat_at
        is_late = silence.total_seconds() > heartbeat.late_after_s
        return state_badge("bad" if is_late else "good", _("late: %(age)s") % {"age": age(silence)} if is_late else age(silence))
