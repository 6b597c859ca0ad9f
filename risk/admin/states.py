"""How much of the limits is used, money set aside, and limits that acted."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import mode_badge, number, profit, short, state_badge
from dgbot.base.confirm import ask
from dgbot.base.display import money, percent
from dgbot.core.errors import DgbotError
from risk import services
from risk.models import Reservation, RiskEvent, RiskState
from trading.models import Bot
from trading.services.bots import market_now


@admin.register(RiskState)
class RiskStateAdmin(FactAdmin):
    """How much of the limits is used, and who is in safe mode."""

    list_display = ("trading_day", "whose", "mode_shown", "safe", "day", "week", "fall", "equity_shown", "daily_trade_count", "loss_streak")
    list_filter = ("safe_mode", "mode")
    list_select_related = ("bot", "account")
    ordering = ("-trading_day", "-id")
    actions_detail = ("release",)

    @action(description=_("Release safe mode"), permissions=["release"], icon="lock_open")
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let entries through again, for a reason."""
        state = self.get_object(request, object_id)
        back = redirect(reverse("admin:risk_riskstate_change", args=[object_id]))
        if not state.safe_mode:
            messages.warning(request, _("Nothing to release: this state is not in safe mode."))
            return back
        reason = request.POST.get("reason", "").strip()
        if request.method != "POST" or not reason:
            question = _("Let entries of %(name)s through again?") % {"name": state.bot or state.account}
            return ask(self, request, question=question, facts=[state.safe_mode_reason], with_reason=True)
        try:
            services.release_safe_mode(state_pk=state.pk, by=request.user, reason=reason, now=_market_now(state))
            messages.success(request, _("Safe mode is released."))
        except DgbotError as error:
            messages.error(request, str(error))
        return back

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether `request.user` manages risk."""
        return request.user.has_perm("risk.change_riskstate")

    @admin.display(description=_("bot or account"))
    def whose(self, state: RiskState) -> str:
        """Whose limits these are."""
        return str(state.bot or state.account)

    @admin.display(description=_("mode"))
    def mode_shown(self, state: RiskState) -> SafeString:
        """Whether the money is real."""
        return mode_badge(state.mode, is_demo=state.account.is_demo)

    @admin.display(description=_("entries"))
    def safe(self, state: RiskState) -> SafeString:
        """Blocked or not, and why."""
        return state_badge("bad", state.safe_mode_reason) if state.safe_mode else state_badge("good", _("allowed"))

    @admin.display(description=_("profit today"), ordering="daily_pnl")
    def day(self, state: RiskState) -> SafeString:
        """Signed."""
        return profit(state.daily_pnl, state.account.quote_currency)

    @admin.display(description=_("7 trading days"), ordering="weekly_pnl")
    def week(self, state: RiskState) -> SafeString:
        """Signed."""
        return profit(state.weekly_pnl, state.account.quote_currency)

    @admin.display(description=_("below its peak"))
    def fall(self, state: RiskState) -> SafeString:
        """As a loss, of the highest equity; deposits and withdrawals left out."""
        if state.equity is None or state.peak_profit is None or state.peak_profit + state.capital <= 0:
            return number("—")
        return number(percent((state.equity - state.capital - state.peak_profit) / (state.peak_profit + state.capital)))

    @admin.display(description=_("equity"))
    def equity_shown(self, state: RiskState) -> SafeString:
        """Last known."""
        return number(money(state.equity, state.account.quote_currency))


def _market_now(state: RiskState) -> Any:
    bot = state.bot or Bot.objects.filter(account=state.account).first()
    return market_now(bot) if bot else state.updated_at


@admin.register(Reservation)
class ReservationAdmin(FactAdmin):
    """Money set aside for orders on their way."""

    list_display = ("order", "bot", "amount", "status")
    list_filter = ("status",)
    list_select_related = ("order", "bot", "account")
    ordering = ("-order",)

    @admin.display(description=_("amount"))
    def amount(self, reservation: Reservation) -> SafeString:
        """Fees included."""
        return number(money(reservation.notional, reservation.account.quote_currency))


@admin.register(RiskEvent)
class RiskEventAdmin(FactAdmin):
    """Limits that acted."""

    list_display = ("created_at", "bot", "account", "code", "what", "value", "limit", "actor")
    list_filter = ("code",)
    list_select_related = ("bot", "account")
    ordering = ("-id",)

    @admin.display(description=_("message"))
    def what(self, event: RiskEvent) -> SafeString:
        """Its beginning."""
        return short(event.message)
