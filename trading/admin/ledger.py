"""The ledger, an operator's adjustments to it, and what profit it adds up to."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import mode_badge, number, profit, quantity
from dgbot.base.display import money
from dgbot.core.errors import BadInput
from dgbot.core.money import DECIMAL_PLACES, MAX_DIGITS, plain
from dgbot.core.types import Mode
from trading.domain.ledger import Book
from trading.models import Bot, ExchangeAccount, LedgerEntry, Trade
from trading.selectors import ledger as selectors
from trading.selectors.ledger import Summary
from trading.services import ledger

PERIODS = ((_("24 hours"), timedelta(hours=24)), (_("7 days"), timedelta(days=7)), (_("30 days"), timedelta(days=30)), (_("all"), None))


class AdjustmentForm(forms.ModelForm):
    """What came in or went out without a fill or a payment of the exchange to tell of it."""

    for_account = forms.ModelChoiceField(ExchangeAccount.objects.none(), label=_("account"), widget=UnfoldAdminSelectWidget)
    asset_name = forms.CharField(
        max_length=20, label=_("asset"), widget=UnfoldAdminTextInputWidget, help_text=_("As the exchange names it.")
    )
    change = forms.DecimalField(
        max_digits=MAX_DIGITS,
        decimal_places=DECIMAL_PLACES,
        label=_("amount"),
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("Units of the asset that came in; negative when they went out."),
    )
    reason = forms.CharField(
        max_length=255, label=_("reason"), widget=UnfoldAdminTextInputWidget, help_text=_("Kept with the entry; it can never be changed.")
    )

    class Meta:
        model = LedgerEntry
        fields: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        """Refused here, so that the form can say it."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("change") == 0:
            raise forms.ValidationError(_("An adjustment of zero changes nothing; enter what came in or went out."))
        return cleaned


@admin.register(LedgerEntry)
class LedgerEntryAdmin(FactAdmin):
    """Every leg of every booking. Adding one is an adjustment, with its reason."""

    form = AdjustmentForm
    list_display = ("created_at", "account", "mode_shown", "source_kind", "book", "moved", "asset", "symbol", "bot", "note")
    list_filter = ("source_kind", "book", "mode", ("account", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("account", "bot")
    search_fields = ("=source_id", "=asset")
    search_help_text = _("The exchange's id of a fill or payment, or an asset, whole.")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:  # type: ignore[override]  # everything else of it stays a fact
        """Adjustments are an operator's."""
        return bool(request.user.has_perm("trading.add_ledgerentry"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """The form of an adjustment, or the facts."""
        return super().get_fields(request, obj) if obj else list(AdjustmentForm.declared_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]
        """All of an entry's."""
        return super().get_readonly_fields(request, obj) if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """With the accounts this operator may see."""
        form = super().get_form(request, obj, change, **options)
        if obj is None:
            form.base_fields["for_account"].queryset = ExchangeAccount.objects.for_user(request.user).filter(is_hidden=False)
        return form

    def save_model(self, request: HttpRequest, obj: LedgerEntry, form: Any, change: bool) -> None:
        """Book it, both legs."""
        given = form.cleaned_data
        account = given["for_account"]
        try:
            source_id = ledger.adjust(
                account=account,
                asset=given["asset_name"],
                amount=given["change"],
                by=request.user,
                reason=given["reason"],
                at=timezone.now(),
            )
        except BadInput as error:
            messages.error(request, str(error))
            return
        obj.pk = LedgerEntry.objects.get(account=account, source_id=source_id, book=Book.HELD).pk
        obj.account, obj.asset, obj.amount, obj.book = account, given["asset_name"], given["change"], Book.HELD.value

    @admin.display(description=_("mode"))
    def mode_shown(self, entry: LedgerEntry) -> SafeString:
        """Whether the money is real."""
        return mode_badge(entry.mode, is_demo=entry.account.is_demo)

    @admin.display(description=_("amount"))
    def moved(self, entry: LedgerEntry) -> SafeString:
        """Units of the asset."""
        return quantity(entry.amount)


def profit_of(account: ExchangeAccount) -> SafeString:
    """Realised profit, fees and funding of an account by period, then of each bot in all, and what is open now."""
    now = _market_now(account)
    prices = selectors.last_prices(account_id=account.pk)
    lines: list[tuple[Any, Summary]] = [
        (label, _summed(account, start=None if length is None else now - length, prices=prices)) for label, length in PERIODS
    ]
    names = dict(Bot.objects.filter(account=account).values_list("pk", "name"))
    by_bot = selectors.summaries(accounts=[account.pk], prices=prices)
    lines += [(names.get(one.bot_id or 0, _("nobody's")), one) for one in by_bot]
    heads = (_("period or bot"), _("realised"), _("fees"), _("funding"), _("net"), _("open now"), _("sales"))
    return format_html(
        '<table class="w-full"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
        format_html_join("", '<th class="pr-4 text-left">{}</th>', ((head,) for head in heads)),
        format_html_join("", "<tr>{}</tr>", ((_cells(label, line, quote=account.quote_currency),) for label, line in lines)),
    )


def _cells(label: Any, line: Summary, *, quote: str) -> SafeString:
    cells = (
        label,
        profit(line.realised, quote),
        number(_by_currency(line.fees)),
        number(_by_currency(line.funding)),
        profit(line.net(quote), quote),
        _now("unknown") if line.unrealised is None else profit(line.unrealised, quote),
        number(line.sales),
    )
    return format_html_join("", '<td class="pr-4">{}</td>', ((cell,) for cell in cells))


def _summed(account: ExchangeAccount, *, start: datetime | None, prices: dict[str, Decimal]) -> Summary:
    total = Summary(account.pk, None)
    for one in selectors.summaries(accounts=[account.pk], start=start, prices=prices):
        total.realised += one.realised
        total.sales += one.sales
        total.unrealised = None if total.unrealised is None or one.unrealised is None else total.unrealised + one.unrealised
        _add(total.fees, one.fees.items())
        _add(total.funding, one.funding.items())
    return total


def _add(into: dict[str, Decimal], amounts: Iterable[tuple[str, Decimal]]) -> None:
    for asset, amount in amounts:
        into[asset] = into.get(asset, Decimal(0)) + amount


def _by_currency(amounts: dict[str, Decimal]) -> str:
    return ", ".join(f"{money(amount, asset)} {asset}" for asset, amount in sorted(amounts.items())) or plain(Decimal(0))


def _market_now(account: ExchangeAccount) -> datetime:
    """Recorded markets have their own time, which their newest trade tells."""
    if not Mode(account.mode).is_recorded:
        return timezone.now()
    newest = Trade.objects.filter(account=account).order_by("-created_at").values_list("created_at", flat=True).first()
    return timezone.now() if newest is None else newest
