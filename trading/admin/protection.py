"""How pages tell who protects a position."""

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import number, quantity, state_badge
from dgbot.base.display import amount, money
from trading.models import Position, ProtectiveStop, StopState
from trading.services.protection import SILENT_AFTER_S

TONES = {StopState.LIVE: "good", StopState.WANTED: "warn", StopState.FAILED: "bad"}


@admin.register(ProtectiveStop)
class ProtectiveStopAdmin(FactAdmin):
    """Each version of each position's protection."""

    list_display = ("position", "version", "bot", "kept_by", "state_shown", "trigger", "covered", "naked", "covered_until")
    list_filter = ("state", "kept_by", "mode")
    list_select_related = ("position", "bot", "account")
    ordering = ("-id",)

    @admin.display(description=_lazy("state"))
    def state_shown(self, stop: ProtectiveStop) -> SafeString:
        """Coloured."""
        return state_badge(TONES.get(StopState(stop.state), "quiet"), stop.get_state_display())

    @admin.display(description=_lazy("trigger"))
    def trigger(self, stop: ProtectiveStop) -> SafeString:
        """Quote currency."""
        return number(money(stop.trigger_price, stop.account.quote_currency))

    @admin.display(description=_lazy("covered"))
    def covered(self, stop: ProtectiveStop) -> SafeString:
        """Base currency."""
        return quantity(stop.covered_amount)

    @admin.display(description=_lazy("seconds without protection"))
    def naked(self, stop: ProtectiveStop) -> SafeString:
        """Before it held, and while nobody looked."""
        return number(f"{stop.naked_ms / 1000:,.1f}")


def protection_of(position: Position) -> SafeString | str:
    """Each stop that holds now, the newest first, and the seconds that nothing did."""
    rows = list(ProtectiveStop.objects.filter(position=position).order_by("-version"))
    naked_s = sum(row.naked_ms for row in rows) / 1000
    told = _("%(seconds)s s without protection so far") % {"seconds": f"{naked_s:,.1f}"}
    if not position.is_open:
        return told if rows else _("none was recorded")
    holding = [row for row in rows if row.state in (StopState.LIVE, StopState.WANTED)]
    lines = [_line(row, currency=position.account.quote_currency) for row in holding] or [state_badge("bad", _("nothing protects it"))]
    return format_html_join("", "<div>{}</div>", ((line,) for line in (*lines, told)))


def _line(row: ProtectiveStop, *, currency: str) -> SafeString:
    silent_s = None if row.covered_until is None else (timezone.now() - row.covered_until).total_seconds()
    is_silent = silent_s is not None and silent_s > SILENT_AFTER_S and row.kept_by == "local"
    tone = "bad" if is_silent else TONES[StopState(row.state)]
    seen = _("not seen yet") if silent_s is None else _("seen %(seconds)d s ago") % {"seconds": silent_s}
    return format_html(
        "{} {} · {} @ {} <small>{}</small>",
        state_badge(tone, row.get_state_display()),
        row.get_kept_by_display(),
        amount(row.covered_amount),
        money(row.trigger_price, currency),
        seen,
    )
