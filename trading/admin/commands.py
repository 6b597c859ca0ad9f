"""What was asked of the gateway, and what it answered."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import state_badge
from trading.models import Command, CommandState

TONES = {CommandState.PENDING: "warn", CommandState.TAKEN: "warn", CommandState.DONE: "good", CommandState.FAILED: "bad"}


@admin.register(Command)
class CommandAdmin(FactAdmin):
    """Wishes and answers."""

    list_display = ("id", "kind", "account", "state_shown", "asked_by", "created_at", "finished_at")
    list_filter = ("state", "kind")
    list_select_related = ("account",)
    ordering = ("-id",)

    @admin.display(description=_("state"), ordering="state")
    def state_shown(self, command: Command) -> SafeString:
        """Red when it failed."""
        return state_badge(TONES[CommandState(command.state)], command.get_state_display())
