"""How bots compare with the engine: each run with its verdict, every difference with cause and evidence."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import mode_badge, number, profit, short, state_badge
from trading.domain.parity import Kind
from trading.models import ParityRun, ParityVerdict

TONES = {ParityVerdict.EQUAL: "good", ParityVerdict.DIFFERS: "warn", ParityVerdict.IMPOSSIBLE: "quiet"}
KINDS = {
    Kind.DATA: _("data"),
    Kind.FEE: _("fee"),
    Kind.SLIPPAGE: _("slippage"),
    Kind.LATENCY: _("latency"),
    Kind.FILL: _("fill"),
    Kind.SETTINGS: _("settings"),
    Kind.MANUAL: _("by hand"),
    Kind.DEFECT: _("defect"),
}
MEANINGS = {
    Kind.DATA: _("Other candles than those at hand now, or a price that no candle holds."),
    Kind.FEE: _("Another rate than the engine was told."),
    Kind.SLIPPAGE: _("The book gave another price than the assumed one."),
    Kind.LATENCY: _("It came later, and the market had moved; or too late to be done."),
    Kind.FILL: _("The exchange filled a part or nothing, or prices inside the candle came in another order."),
    Kind.SETTINGS: _("It was traded under other settings or limits than those of today."),
    Kind.MANUAL: _("A person acted, or the bot was not running."),
    Kind.DEFECT: _("Nothing that is stored explains it: please report it."),
}


@admin.register(ParityRun)
class ParityRunAdmin(FactAdmin):
    """The newest run of a bot answers whether what is backtested is what trades."""

    list_display = ("recorded_at", "bot", "mode_shown", "verdict_shown", "share", "causes", "span", "why")
    list_filter = ("verdict", "mode", ("bot", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("bot", "account")
    ordering = ("-id",)
    readonly_fields = ("mode_shown", "verdict_shown", "share", "span", "differences_shown", "notes_shown")

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """The answer first, then each difference."""
        return (
            (None, {"fields": ("bot", "mode_shown", "verdict_shown", "share", "span", "reason", "recorded_at")}),
            (_("Differences"), {"fields": ("differences_shown",)}),
            (_("Behind it"), {"fields": ("notes_shown", "bars", "candles_hash", "duration_ms"), "classes": ("collapse",)}),
        )

    @admin.display(description=_("mode"), ordering="mode")
    def mode_shown(self, run: ParityRun) -> SafeString:
        """Whether the money is real."""
        return mode_badge(run.mode, is_demo=run.account.is_demo)

    @admin.display(description=_("verdict"), ordering="verdict")
    def verdict_shown(self, run: ParityRun) -> SafeString:
        """Red when a difference is a defect of ours."""
        tone = "bad" if Kind.DEFECT in run.kinds else TONES[ParityVerdict(run.verdict)]
        return state_badge(tone, run.get_verdict_display())

    @admin.display(description=_("equal trades"))
    def share(self, run: ParityRun) -> SafeString:
        """Of all."""
        return number(f"{run.equal} / {run.fills}")

    @admin.display(description=_("causes"))
    def causes(self, run: ParityRun) -> SafeString:
        """Of the differences, each with its count."""
        return format_html_join(
            " ", "{}", ((_badge(kind, f"{KINDS[Kind(kind)]} {count}"),) for kind, count in run.kinds.items())
        ) or mark_safe("–")

    @admin.display(description=_("span"))
    def span(self, run: ParityRun) -> SafeString:
        """Market time."""
        if run.start_at is None or run.end_at is None:
            return number("–")
        return number(f"{run.start_at:%Y-%m-%d %H:%M} – {run.end_at:%Y-%m-%d %H:%M}")

    @admin.display(description=_("why not"))
    def why(self, run: ParityRun) -> SafeString:
        """Of a comparison that was not possible."""
        return short(run.reason or "–", limit=60)

    @admin.display(description=_("trade by trade"))
    def differences_shown(self, run: ParityRun) -> SafeString | str:
        """Engine and bot side by side, the cause, and what shows it."""
        if not run.differences:
            return "–"
        head = format_html_join(
            "", "<th>{}</th>", ((name,) for name in ("#", _("time (UTC)"), _("engine"), _("bot"), _("cause"), _("evidence")))
        )
        rows = format_html_join(
            "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(_cells, run.differences)
        )
        return format_html('<table class="dg-effective dg-parity"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, rows)

    @admin.display(description=_("notes"))
    def notes_shown(self, run: ParityRun) -> SafeString:
        """What the engine was told, or cannot do."""
        return format_html_join("", "<div>{}</div>", ((note,) for note in run.notes)) or mark_safe("–")


def _cells(one: dict[str, Any]) -> tuple[Any, ...]:
    fill = one["bot"] or one["engine"]
    at = datetime.fromisoformat(fill["at"] or fill["opened_at"])
    money = Decimal(one["money"])
    gained = format_html("<div>{}</div>", profit(money)) if money else ""
    cause = format_html("{}{}", _badge(one["kind"], KINDS[Kind(one["kind"])]), gained)
    return one["number"], number(f"{at:%m-%d %H:%M}"), _fill(one["engine"]), _fill(one["bot"]), cause, one["why"]


def _fill(fill: dict[str, Any] | None) -> SafeString | str:
    if fill is None:
        return "–"
    total = number(f"{Decimal(fill['total']):,.2f}".rstrip("0").rstrip("."))
    return format_html("{} <small>{}</small><div>{}</div>", _SIDES[fill["side"]], fill["reason"], total)


_SIDES = {"buy": _("buy"), "sell": _("sell")}


def _badge(kind: str, label: Any) -> SafeString:
    tone = {"defect": "bad", "manual": "busy", "settings": "busy"}.get(kind, "warn")
    return format_html('<span title="{}">{}</span>', MEANINGS[Kind(kind)], state_badge(tone, label))
