"""Accounts at exchanges, what they hold, and the clocks of simulated markets."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from unfold.decorators import action

from dgbot.accounts import audit, second_factor
from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import mode_badge, number, quantity, state_badge
from dgbot.base.confirm import ask
from dgbot.base.display import age, money
from dgbot.core.types import Mode
from trading import doorbell
from trading.admin.keys import PARTS, TONES, AccountForm, describe
from trading.admin.ledger import profit_of
from trading.models import (
    AccountBalance,
    CommandKind,
    Credential,
    ExchangeAccount,
    KeyStatus,
    KrwRate,
    PortfolioSnapshot,
    SimulatedMarket,
)
from trading.services import commands, krw_rates


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(HouseAdmin):
    """Where bots trade. Owner, exchange and mode are chosen once."""

    form = AccountForm
    list_display = ("name", "mode_shown", "exchange", "key_shown", "quote_currency", "user", "is_hidden")
    list_filter = ("mode", "exchange", "is_hidden")
    list_select_related = ("user", "credential")
    search_fields = ("name",)
    actions_detail = ("check_key",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What it is, then its key or its pretended money."""
        about = ("name", "user", "exchange", "mode", "is_demo", "quote_currency", "simulated_market", "is_hidden")
        parts = () if obj and obj.mode != Mode.LIVE else PARTS
        known = ("key_known",) if obj and obj.mode == Mode.LIVE else ()
        cash = () if obj else ("paper_cash",)
        return (
            (None, {"fields": about}),
            *([(_("Key"), {"fields": (*known, *parts)})] if parts else []),
            *([(_("Pretended money"), {"fields": cash})] if cash else []),
            *([(_("Profit"), {"fields": ("profit_shown",)})] if obj else []),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form that asks for the second factor where a key opens real money."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"has_second_factor": staticmethod(lambda: second_factor.is_proven(request))})

    @sensitive_variables("form")
    def save_model(self, request: HttpRequest, obj: ExchangeAccount, form: Any, change: bool) -> None:
        """Keep the account, seal its key, ask the gateway to check it. The audit log names what changed, without any part of a key."""
        super().save_model(request, obj, form, change)
        plain = [name for name in form.changed_data if name not in PARTS]
        diff = {name: [str(form.initial.get(name, "")), str(form.cleaned_data[name])] for name in plain}
        audit.record(actor=request.user, action="change account" if change else "create account", target=f"account:{obj.pk}", diff=diff)
        form.open_paper()
        if form.keep_key(by=request.user) is not None:
            self._ask_for_check(request, obj)

    @action(description=_("Check key"), permissions=["change"], icon="key")
    def check_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have the gateway ask the exchange what the key may do."""
        account = self.get_object(request, object_id)
        if request.method != "POST":
            return ask(self, request, question=_("Ask the exchange what the key of %(name)s may do?") % {"name": account.name})
        if Credential.objects.filter(account=account).exists():
            self._ask_for_check(request, account)
        else:
            messages.error(request, _("%(name)s has no key to check.") % {"name": account.name})
        return redirect(reverse("admin:trading_exchangeaccount_change", args=[object_id]))

    def _ask_for_check(self, request: HttpRequest, account: ExchangeAccount) -> None:
        commands.ask(kind=CommandKind.CHECK_KEY, account=account, by=request.user)
        transaction.on_commit(doorbell.ring)
        messages.info(request, _("The gateway has been asked to check the key; its answer appears on the account's page."))

    @admin.display(description=_("key"))
    def key_shown(self, account: Any) -> SafeString:
        """Its last characters and the verdict."""
        credential = getattr(account, "credential", None)
        if credential is None:
            return format_html("{}", "–" if account.mode != Mode.LIVE else _("none"))
        return state_badge(TONES[KeyStatus(credential.status)], f"{credential.shown} {credential.get_status_display()}")

    @admin.display(description=_("what is known of it"))
    def key_known(self, account: ExchangeAccount) -> SafeString:
        """Rights, expiry, the last check."""
        return describe(account)

    @admin.display(description=_("profit"))
    def profit_shown(self, account: ExchangeAccount) -> SafeString:
        """By period and by bot."""
        return profit_of(account)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """PostgreSQL refuses a change of these."""
        return ("key_known", "profit_shown", *(("user", "exchange", "mode", "is_demo", "simulated_market") if obj else ()))

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


@admin.register(KrwRate)
class KrwRateAdmin(FactAdmin):
    """What other currencies are worth in KRW; caps of entries and values of accounts are told by it."""

    list_display = ("currency", "krw_shown", "source", "told")
    ordering = ("currency",)

    @admin.display(description=_("KRW for one unit"))
    def krw_shown(self, rate: KrwRate) -> SafeString:
        """As its market told it."""
        return number(money(rate.krw_per_unit))

    @admin.display(description=_("age"), ordering="recorded_at")
    def told(self, rate: KrwRate) -> SafeString:
        """An old one is not relied on."""
        since = timezone.now() - rate.recorded_at
        is_old = since.total_seconds() > krw_rates.GOOD_FOR_S
        return state_badge("bad", _("too old: %(age)s") % {"age": age(since)}) if is_old else number(age(since))


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
