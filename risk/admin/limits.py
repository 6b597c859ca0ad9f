"""Faces of limits: profiles, hard limits of accounts, own limits of bots, and every change of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from dgbot.accounts import audit, second_factor
from dgbot.base.admin import FactAdmin, HouseAdmin
from dgbot.base.badges import number, profit, state_badge
from dgbot.base.display import percent
from dgbot.base.querysets import SEES_ALL
from dgbot.base.reasoned import ReasonedForm, judged_by
from dgbot.core.money import plain
from risk import services
from risk.domain.limits import NAMES
from risk.models import AccountLimits, BotLimits, LimitChange, LimitSubject, RiskProfile, SymbolGroup, Transfer
from trading.admin.what_if import ShowsWhatIf
from trading.models import ExchangeAccount
from trading.selectors import limits as limit_selectors
from trading.services import what_if
from trading.services.config import current


class LimitsAdmin(ShowsWhatIf, HouseAdmin):
    """Saves through the service, which keeps who, when, why and diff, and refuses what must not be."""

    form = ReasonedForm
    subject: LimitSubject
    readonly_fields = ("history",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form whose refusals are the service's."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return judged_by(form, lambda row, cleaned: services.check_limits(row, **self.circumstances(request, row, cleaned)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look gives no reason."""
        sets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return sets
        return [(title, {**told, "fields": [name for name in told["fields"] if name != "change_reason"]}) for title, told in sets]

    def what_if(self, request: HttpRequest, row: Any, form: Any) -> what_if.Told:
        """The last 30 days of the bots that hang on these limits."""
        return what_if.of_limits(row, by=request.user)

    def circumstances(self, request: HttpRequest, row: Any, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """What the service judges a change by."""
        is_proven = second_factor.is_proven(request)  # before the change's transaction, which would forget a wrong code
        return {
            "reason": cleaned.get("change_reason", ""),
            "governs_live": limit_selectors.governs_live(row),
            "second_factor": lambda: is_proven,
            "baseline": self.baseline(row),
        }

    def baseline(self, row: Any) -> Mapping[str, Any] | None:
        """What an empty limit stands for; nothing for most."""
        return None

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Through the service."""
        services.change_limits(obj, by=request.user, **self.circumstances(request, obj, form.cleaned_data))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Limits are emptied with a reason, so that the record stays."""
        return False

    @admin.display(description=_("last changes"))
    def history(self, row: Any) -> SafeString | str:
        """Who changed what, when and why; the newest ten."""
        if row.pk is None:
            return "—"
        changes = LimitChange.objects.filter(subject=self.subject.value, subject_pk=row.pk).select_related("changed_by").order_by("-pk")
        return format_html_join("", "<div>{} UTC · {} · {} · {}</div>", (_told(change) for change in changes[:10])) or "—"


def _told(change: LimitChange) -> tuple[Any, ...]:
    return (f"{change.changed_at:%Y-%m-%d %H:%M}", change.changed_by or "—", _diff(change), change.reason or _("no reason needed"))


def _diff(change: LimitChange) -> str:
    before = change.before
    if before is None:
        return str(_("made"))
    changed = [name for name in change.after if change.after[name] != before.get(name)]
    return ", ".join(f"{name} {before.get(name) or '—'} → {change.after[name] or '—'}" for name in changed)


@admin.register(RiskProfile)
class RiskProfileAdmin(LimitsAdmin):
    """Named limits. A change holds from the next decision on."""

    subject = LimitSubject.PROFILE
    list_display = ("name", "user", "sizing_mode", "stop", "target", "daily", "weekly", "position", "spacing", "entries_per_day")
    list_select_related = ("user",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "user", "change_reason")}),
        (
            _("Size of an entry"),
            {"fields": ("sizing_mode", "equity_fraction", "risk_fraction", "volatility_fraction", "buy_ratio", "position_fraction")},
        ),
        (
            _("Leaving a position"),
            {
                "fields": (
                    ("stop_fraction", "target_fraction"),
                    ("stop_atr_multiple", "target_atr_multiple"),
                    "trailing_atr_multiple",
                    "takes_partial_profit",
                    ("first_gain_fraction", "first_share", "second_gain_fraction"),
                    "sell_ratio",
                )
            },
        ),
        (_("Losses"), {"fields": ("daily_loss_fraction", "weekly_loss_fraction", "drawdown_fraction", "loss_streak")}),
        (
            _("At stake at once"),
            {
                "fields": (
                    ("account_exposure_fraction", "symbol_exposure_fraction", "group_exposure_fraction"),
                    ("leverage_limit", "liquidation_gap_fraction"),
                )
            },
        ),
        (_("Each entry"), {"fields": ("spacing", "entries_per_day", "slippage_limit")}),
        (
            _("Validator: what blocks a buy"),
            {
                "description": _("Every rule is asked of every entry, whoever proposed it. An empty limit switches its rule off."),
                "fields": (
                    ("rsi_buy_limit", "confidence_floor"),
                    ("atr_fraction_limit", "atr_expansion_limit"),
                    ("fakeout_adx", "fakeout_volume"),
                    ("adx_floor", "volume_floor", "band_width_floor"),
                    "divergence_limit",
                    ("flash_crash_fraction", "flash_crash_deviations"),
                    ("btc_fall_fraction", "btc_beta_limit", "correlation_change_limit"),
                ),
            },
        ),
        (
            _("Quick filter: two years of the bot's own strategy"),
            {
                "fields": (
                    "filter_mode",
                    ("filter_return", "filter_win_rate", "filter_profit_factor"),
                    ("filter_sharpe", "filter_drawdown", "filter_trades"),
                )
            },
        ),
        (_("History"), {"fields": ("history",)}),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A shared profile limits others, too: it takes the right to see them."""
        is_others = obj is not None and obj.user_id != request.user.pk
        return super().has_change_permission(request, obj) and (not is_others or request.user.has_perm(SEES_ALL))

    @admin.display(description=_("stop loss"), ordering="stop_fraction")
    def stop(self, profile: RiskProfile) -> SafeString:
        """As a loss."""
        return number(percent(-profile.stop_fraction))

    @admin.display(description=_("take profit"), ordering="target_fraction")
    def target(self, profile: RiskProfile) -> SafeString:
        """As a gain."""
        return number(percent(profile.target_fraction, with_sign=True))

    @admin.display(description=_("daily loss limit"))
    def daily(self, profile: RiskProfile) -> SafeString:
        """As a loss."""
        return number(percent(-profile.daily_loss_fraction))

    @admin.display(description=_("weekly loss limit"))
    def weekly(self, profile: RiskProfile) -> SafeString:
        """As a loss."""
        return number(percent(-profile.weekly_loss_fraction))

    @admin.display(description=_("largest position"))
    def position(self, profile: RiskProfile) -> SafeString:
        """Of the allocation."""
        return number(percent(profile.position_fraction))


@admin.register(AccountLimits)
class AccountLimitsAdmin(LimitsAdmin):
    """Hard limits: no bot of the account may have looser ones."""

    subject = LimitSubject.ACCOUNT
    list_display = ("account", "__str__")
    list_select_related = ("account",)
    fields = ("account", "change_reason", *NAMES, "history")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose limits they are never changes."""
        return ("account", "history") if obj else ("history",)


@admin.register(BotLimits)
class BotLimitsAdmin(LimitsAdmin):
    """A bot's own numbers instead of its profile's, within the hard limits of its account."""

    subject = LimitSubject.BOT
    list_display = ("bot", "__str__")
    list_select_related = ("bot",)
    fields = ("bot", "change_reason", *NAMES, "history")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose limits they are never changes."""
        return ("bot", "history") if obj else ("history",)

    def baseline(self, row: BotLimits) -> Mapping[str, Any]:
        """An empty limit stands for the profile's."""
        profile = limit_selectors.profile_of(row.bot, settings=current())
        return {name: getattr(profile, name) for name in NAMES}


@admin.register(LimitChange)
class LimitChangeAdmin(FactAdmin):
    """Every change of limits."""

    list_display = ("changed_at", "subject", "name", "changed_by", "what", "direction", "reason")
    list_filter = ("subject",)
    list_select_related = ("changed_by",)
    ordering = ("-id",)

    @admin.display(description=_("what"))
    def what(self, change: LimitChange) -> str:
        """From what to what."""
        return _diff(change)

    @admin.display(description=_("direction"))
    def direction(self, change: LimitChange) -> SafeString:
        """Whether anything allows more."""
        return state_badge("warn", _("loosened")) if change.loosened else state_badge("good", _("tightened"))


@admin.register(SymbolGroup)
class SymbolGroupAdmin(HouseAdmin):
    """Symbols that move together."""

    list_display = ("name", "members")
    search_fields = ("name",)

    @admin.display(description=_("symbols"))
    def members(self, group: SymbolGroup) -> str:
        """In one line."""
        return ", ".join(group.symbols)


class TransferForm(forms.ModelForm):
    """One deposit or withdrawal told by hand; the columns themselves are never edited."""

    account = forms.ModelChoiceField(label=_("account"), queryset=ExchangeAccount.objects.none(), widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        label=_("amount"), widget=UnfoldAdminDecimalFieldWidget, help_text=_("Quote currency of the account; negative when withdrawn.")
    )
    at = forms.SplitDateTimeField(label=_("at"), widget=UnfoldAdminSplitDateTimeWidget, help_text=_("When it was booked at the exchange."))
    reference = forms.CharField(
        label=_("reference"), max_length=100, widget=UnfoldAdminTextInputWidget, help_text=_("The exchange's id of it; booked once.")
    )
    note = forms.CharField(label=_("reason"), max_length=255, widget=UnfoldAdminTextInputWidget)

    accounts: QuerySet[ExchangeAccount]  # those the user may see

    class Meta:
        model = Transfer
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account: Any = self.fields["account"]
        account.queryset = self.accounts

    def clean_at(self) -> datetime:
        """Nothing was paid in the future."""
        at: datetime = self.cleaned_data["at"]
        if at > timezone.now():
            raise forms.ValidationError(_("It lies in the future; enter when the exchange booked it."))
        return at

    def clean(self) -> Any:
        """A reference is booked once, and a second booking says so instead of doing nothing."""
        cleaned: Any = super().clean()
        if Transfer.objects.filter(account=cleaned.get("account"), reference=cleaned.get("reference")).exists():
            self.add_error("reference", _("This reference is booked already."))
        if cleaned.get("amount") == 0:
            self.add_error("amount", _("Enter what was paid in, or with a minus sign what was taken out."))
        for name in ("account", "amount", "at", "reference", "note"):  # not editable, so nobody else puts them into the row
            if name in cleaned:
                setattr(self.instance, name, cleaned[name])
        return cleaned


@admin.register(Transfer)
class TransferAdmin(FactAdmin):
    """Money paid in and taken out: no profit and no loss. Told by hand here, once per reference; a mistake is undone by its opposite."""

    list_display = ("at", "account", "moved", "reference", "note")
    list_select_related = ("account",)
    ordering = ("-at", "-id")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Whoever manages risk tells of money that moved."""
        return request.user.has_perm("risk.add_transfer")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """A new one is told; an old one is a fact."""
        return super().get_fields(request, obj) if obj else list(TransferForm.base_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """A new one is told; an old one is a fact."""
        return super().get_readonly_fields(request, obj) if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Only accounts the user may see."""
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        return type("TransferForm", (TransferForm,), {"accounts": ExchangeAccount.objects.for_user(request.user).order_by("name")})

    def save_model(self, request: HttpRequest, obj: Transfer, form: Any, change: bool) -> None:
        """Through the service, which lifts the losses of its day and week along."""
        account = obj.account
        owner = services.Owner(account_id=account.pk, user_id=account.user_id, mode=account.mode)
        services.record_transfer(
            owner=owner, amount=obj.amount, reference=obj.reference, at=obj.at, zone=settings.RISK_TIMEZONE, note=obj.note
        )
        obj.pk = Transfer.objects.get(account=account, reference=obj.reference).pk
        diff = {"amount": plain(obj.amount), "reference": obj.reference, "at": obj.at.isoformat()}
        audit.record(actor=request.user, action="record transfer", target=f"account:{account.pk}", reason=obj.note, diff=diff)

    @admin.display(description=_("amount"))
    def moved(self, transfer: Transfer) -> SafeString:
        """Signed."""
        return format_html("{}", profit(transfer.amount, transfer.account.quote_currency))
