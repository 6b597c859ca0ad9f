"""Accounts at exchanges, what they hold, and the clocks of simulated markets."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import mode_badge, number, quantity
from dgbot.base.display import age, money
from trading.models import AccountBalance, ExchangeAccount, PortfolioSnapshot, SimulatedMarket


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(HouseAdmin):
    """Where bots trade. Owner, exchange and mode are chosen once."""

    list_display = ("name", "mode_shown", "exchange", "quote_currency", "user", "is_hidden")
    list_filter = ("mode", "exchange", "is_hidden")
    list_select_related = ("user",)
    search_fields = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """PostgreSQL refuses a change of these."""
        return ("user", "exchange", "mode", "is_demo", "simulated_market") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An account is hidden, never deleted: its trades name it."""
        return False

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Replays stay out of the choice for a new bot."""
        rows, may_repeat = super().get_search_results(request, queryset, search_term)
        return (rows.filter(~Q(mode="replay")) if "autocomplete" in request.path else rows), may_repeat

    @admin.display(description=_("mode"), ordering="mode")
    def mode_shown(self, account: ExchangeAccount) -> SafeString:
        """Whether the money is real."""
        return mode_badge(account.mode, is_demo=account.is_demo)


@admin.register(AccountBalance)
class AccountBalanceAdmin(FactAdmin):
    """What the exchanges told."""

    owner_path = "account__user"
    list_display = ("account", "asset", "free_shown", "locked_shown", "told")
    list_filter = ("account__mode",)
    list_select_related = ("account",)
    ordering = ("account", "asset")

    @admin.display(description=_("free"))
    def free_shown(self, balance: AccountBalance) -> SafeString:
        """Units of the asset."""
        return quantity(balance.free)

    @admin.display(description=_("locked"))
    def locked_shown(self, balance: AccountBalance) -> SafeString:
        """Units of the asset."""
        return quantity(balance.locked)

    @admin.display(description=_("age"), ordering="recorded_at")
    def told(self, balance: AccountBalance) -> SafeString:
        """Since the exchange told it."""
        return number(age(timezone.now() - balance.recorded_at))


@admin.register(PortfolioSnapshot)
class PortfolioSnapshotAdmin(FactAdmin):
    """What accounts were worth."""

    list_display = ("created_at", "account", "mode_shown", "krw", "usd", "cause")
    list_filter = ("mode",)
    list_select_related = ("account",)
    ordering = ("-created_at", "-id")

    @admin.display(description=_("mode"))
    def mode_shown(self, snapshot: PortfolioSnapshot) -> SafeString:
        """Whether the money is real."""
        return mode_badge(snapshot.mode, is_demo=snapshot.account.is_demo)

    @admin.display(description=_("value in KRW"))
    def krw(self, snapshot: PortfolioSnapshot) -> SafeString:
        """Or unknown."""
        return number(money(snapshot.total_value_krw))

    @admin.display(description=_("value in USD"))
    def usd(self, snapshot: PortfolioSnapshot) -> SafeString:
        """Or unknown."""
        return number(money(snapshot.total_value_usd, "USD"))


@admin.register(SimulatedMarket)
class SimulatedMarketAdmin(HouseAdmin):
    """Seed and clock of made-up markets."""

    list_display = ("name", "seed", "origin", "speed", "elapsed", "checkpoint_at")
    fields = ("name", "seed", "origin", "speed", "elapsed", "checkpoint_at")
    readonly_fields = ("elapsed", "checkpoint_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Prices are a function of seed and origin: changing them would rewrite the past."""
        return (*self.readonly_fields, *(("seed", "origin") if obj else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Accounts live on it."""
        return False

    def save_model(self, request: HttpRequest, obj: SimulatedMarket, form: Any, change: bool) -> None:
        """A new market's clock stands at its origin; an existing one's is not turned back by a form that was open for a while."""
        if not change:
            obj.elapsed, obj.checkpoint_at = timedelta(0), timezone.now()
            super().save_model(request, obj, form, change)
            return
        obj.save(update_fields=form.changed_data)
