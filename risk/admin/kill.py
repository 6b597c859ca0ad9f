"""The kill switch's face: the platform's levels one click away, every other scope two, and each change that ever was."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from dgbot.accounts import second_factor
from dgbot.base.admin import FactAdmin
from dgbot.base.badges import short, state_badge
from dgbot.base.confirm import ask
from dgbot.core.errors import DgbotError
from dgbot.core.types import Mode
from risk import kill_switch
from risk.domain import kill
from risk.models import KillLevel, KillScope, KillSwitch, KillSwitchChange
from trading.models import Bot, ExchangeAccount, Order, Position
from trading.models.accounts import ExchangeName

RAISE, LOWER = "risk.add_killswitch", "risk.change_killswitch"
MEANINGS = {
    KillLevel.RUN: _("Everything may trade."),
    KillLevel.NO_OPEN: _("Nothing is opened; exits go on."),
    KillLevel.CANCEL: _("Entry orders are cancelled; stops and exits go on."),
    KillLevel.FLATTEN: _("Every position is sold, in parts the book can take; nothing is opened."),
    KillLevel.FREEZE: _("No order is sent and none cancelled; stops resting at an exchange stay there."),
}
TYPED = {KillLevel.FLATTEN: "FLATTEN", KillLevel.FREEZE: "FREEZE"}


@dataclass(frozen=True)
class Target:
    """What a change would cover."""

    scope: str
    scope_id: str
    label: str


def level_badge(level: int) -> SafeString:
    """Green while everything runs, red while something is forbidden."""
    return state_badge("good" if level == KillLevel.RUN else "bad", format_html("{} · {}", level, KillLevel(level).label))


@admin.register(KillSwitch)
class KillSwitchAdmin(FactAdmin):
    """A latched stop; the highest level that covers a bot holds."""

    list_display = ("whose", "holds", "why", "set_by_name", "set_at", "waiting", "change_level")
    list_select_related = ("set_by", "lowering_by")
    list_before_template = "risk/kill_panel.html"
    ordering = ("-level", "scope", "scope_id")

    def get_urls(self) -> list[Any]:
        """And the page that asks."""
        return [path("set/", self.admin_site.admin_view(self.set_level), name="risk_killswitch_set"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, under the panel."""
        platform = KillSwitch.objects.filter(scope=KillScope.PLATFORM).values_list("level", flat=True).first() or KillLevel.RUN
        panel = {
            "platform": level_badge(platform),
            "levels": [
                {"value": level.value, "label": level.label, "meaning": MEANINGS[level], "is_set": level == platform}
                for level in KillLevel
                if _may(request, before=platform, after=level) or level == platform
            ],
            "targets": list(_targets(request)) if request.user.has_perm(RAISE) else [],
            "all_levels": KillLevel.choices,
        }
        return super().changelist_view(request, {"kill_panel": panel, **(extra_context or {})})

    def set_level(self, request: HttpRequest) -> HttpResponse:
        """Ask, then set; a level that sells or freezes is typed out first."""
        if not (request.user.has_perm(RAISE) or request.user.has_perm(LOWER)):
            raise PermissionDenied
        asked = request.POST if request.method == "POST" else request.GET
        scope, _colon, scope_id = asked.get("target", KillScope.PLATFORM.value).partition(":")
        target = next((one for one in _targets(request) if (one.scope, one.scope_id) == (scope, scope_id)), None)
        level = asked.get("level", "")
        if target is None or level not in map(str, KillLevel.values):
            messages.error(request, _("Choose what the switch covers and a level."))
            return self._back()
        before = KillSwitch.objects.filter(scope=scope, scope_id=scope_id).values_list("level", flat=True).first() or KillLevel.RUN
        if not _may(request, before=before, after=int(level)):
            raise PermissionDenied
        reason, error = request.POST.get("reason", "").strip(), ""
        if request.method == "POST" and reason:
            error = "" if _is_typed_right(request, KillLevel(int(level))) else _now("Not changed: the word was not typed as shown.")
            if not error:
                return self._set(request, target, level=int(level), reason=reason)
        return self._question(request, target, before=before, level=KillLevel(int(level)), error=error)

    def _question(self, request: HttpRequest, target: Target, *, before: int, level: KillLevel, error: str) -> HttpResponse:
        needs_factor = kill.requires_second_factor(before=before, after=level) and _covers_real_money(target)
        question = _("%(whose)s: set the kill switch from %(before)s to %(after)s?") % {
            "whose": target.label,
            "before": before,
            "after": f"{level.value} · {level.label}",
        }
        return ask(
            self,
            request,
            question=question,
            facts=[MEANINGS[level], *_covered(target)],
            keep=[("target", f"{target.scope}:{target.scope_id}"), ("level", level.value)],
            with_reason=True,
            typed=TYPED[level] if kill.is_typed(level) else "",
            asks_code=needs_factor and not second_factor.is_proven(request),
            error=error,
        )

    def _set(self, request: HttpRequest, target: Target, *, level: int, reason: str) -> HttpResponse:
        # Judged before the change's transaction, which would forget a wrong code when it is rolled back.
        is_proven = second_factor.is_proven(request) or not _covers_real_money(target)
        try:
            switch = kill_switch.change(
                scope=target.scope,
                scope_id=target.scope_id,
                level=level,
                by=request.user,
                reason=reason,
                second_factor=lambda: is_proven,
            )
        except DgbotError as error:
            messages.error(request, str(error))
            return self._back()
        if switch.lowering_to is not None:
            messages.warning(request, _("Another person must ask for the same before the level falls."))
        else:
            messages.success(request, _("The kill switch is set: %(switch)s.") % {"switch": switch})
        return self._back()

    def _back(self) -> HttpResponse:
        return redirect(reverse("admin:risk_killswitch_changelist"))

    @admin.display(description=_("covers"), ordering="scope")
    def whose(self, switch: KillSwitch) -> str:
        """The scope and its name."""
        return f"{switch.get_scope_display()} {switch.scope_id}".strip()

    @admin.display(description=_("level"), ordering="level")
    def holds(self, switch: KillSwitch) -> SafeString:
        """Red while it forbids something."""
        return level_badge(switch.level)

    @admin.display(description=_("reason"))
    def why(self, switch: KillSwitch) -> SafeString:
        """Its beginning."""
        return short(switch.reason)

    @admin.display(description=_("waits for a second person"))
    def waiting(self, switch: KillSwitch) -> str:
        """Who asked, and to which level it would fall."""
        return "" if switch.lowering_to is None else f"{switch.lowering_by} → {switch.lowering_to}"

    @admin.display(description=_("change"))
    def change_level(self, switch: KillSwitch) -> SafeString:
        """To “run”; the other levels are in the panel."""
        query = urlencode({"target": f"{switch.scope}:{switch.scope_id}", "level": KillLevel.RUN.value})
        if switch.level == KillLevel.RUN:
            return format_html("")
        return format_html('<a href="{}?{}">{}</a>', reverse("admin:risk_killswitch_set"), query, _("set to run"))


@admin.register(KillSwitchChange)
class KillSwitchChangeAdmin(FactAdmin):
    """Each change: who, when, why; for a trip its rule, value, limit and remedy."""

    list_display = ("at", "whose", "levels", "actor", "second", "code", "why", "value", "limit", "remedy_shown")
    list_filter = ("scope", "code")
    list_select_related = ("second",)
    ordering = ("-id",)

    @admin.display(description=_("covers"))
    def whose(self, change: KillSwitchChange) -> str:
        """The scope and its name."""
        return f"{change.get_scope_display()} {change.scope_id}".strip()

    @admin.display(description=_("level"))
    def levels(self, change: KillSwitchChange) -> SafeString:
        """From which to which."""
        return format_html("{} → {}", change.before, level_badge(change.after))

    @admin.display(description=_("reason"))
    def why(self, change: KillSwitchChange) -> SafeString:
        """Its beginning."""
        return short(change.reason)

    @admin.display(description=_("remedy"))
    def remedy_shown(self, change: KillSwitchChange) -> SafeString:
        """Its beginning."""
        return short(change.remedy)


def _may(request: HttpRequest, *, before: int, after: int) -> bool:
    """Raising is for operators; lowering for whoever manages risk."""
    return bool(request.user.has_perm(RAISE if after > before else LOWER))


def _covers_real_money(target: Target) -> bool:
    """Whether an account with real money lies within the scope: only then does a release ask for the second factor."""
    within: dict[str, Any] = {
        KillScope.PLATFORM: {},
        KillScope.EXCHANGE: {"exchange": target.scope_id},
        KillScope.ACCOUNT: {"pk": target.scope_id},
        KillScope.USER: {"user_id": target.scope_id},
        KillScope.BOT: {"bots__pk": target.scope_id},
        KillScope.MARKET: {"bots__symbol": target.scope_id},
    }[KillScope(target.scope)]
    return ExchangeAccount.objects.filter(mode=Mode.LIVE, is_demo=False, **within).exists()


def _is_typed_right(request: HttpRequest, level: KillLevel) -> bool:
    return not kill.is_typed(level) or request.POST.get("typed", "").strip() == TYPED[level]


def _targets(request: HttpRequest) -> Iterator[Target]:
    """Everything a switch may cover; accounts, users and bots only where the visitor may see them."""
    yield Target(KillScope.PLATFORM, "", _now("Platform"))
    for name in ExchangeName.values:
        yield Target(KillScope.EXCHANGE, name, f"{_now('Exchange')} {name}")
    bots = list(Bot.objects.for_user(request.user).filter(is_hidden=False).select_related("user").order_by("name"))
    for symbol in sorted({bot.symbol for bot in bots}):
        yield Target(KillScope.MARKET, symbol, f"{_now('Market')} {symbol}")
    for account in ExchangeAccount.objects.for_user(request.user).filter(is_hidden=False).order_by("name"):
        yield Target(KillScope.ACCOUNT, str(account.pk), f"{_now('Account')} {account.name}")
    for owner in {bot.user_id: bot.user for bot in bots}.values():
        yield Target(KillScope.USER, str(owner.pk), f"{_now('User')} {owner.get_username()}")
    for bot in bots:
        yield Target(KillScope.BOT, str(bot.pk), f"{_now('Bot')} {bot.name}")


def _covered(target: Target) -> list[str]:
    """How much a change touches."""
    where: dict[str, Any] = {
        KillScope.PLATFORM: {},
        KillScope.EXCHANGE: {"account__exchange": target.scope_id},
        KillScope.ACCOUNT: {"account_id": target.scope_id},
        KillScope.USER: {"user_id": target.scope_id},
        KillScope.BOT: {"bot_id": target.scope_id},
        KillScope.MARKET: {"symbol": target.scope_id},
    }[KillScope(target.scope)]
    positions = Position.objects.open().filter(account__is_hidden=False, **where).count()
    entries = Order.objects.unsettled().filter(account__is_hidden=False, purpose="entry", **where).count()
    return [_now("It covers %(positions)d open positions and %(entries)d entry orders now.") % {"positions": positions, "entries": entries}]
