"""Orders, every send of them, every move of their lives."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dgbot.base.admin import FactAdmin, FactInline
from dgbot.base.badges import mode_badge, number, quantity, state_badge
from dgbot.base.display import amount, money
from dgbot.base.filters import by_period
from dgbot.base.history import HistoryAdmin, Totals, totals
from trading import steering, tones
from trading.admin.by_hand import ActsByHand
from trading.admin.history import BotFilter, ExitReasonFilter, ModeFilter, SymbolFilter, symbols_beginning
from trading.admin.why.pages import TellsWhy
from trading.domain.lifecycle import CLOSED, MAYBE_SENT, Status
from trading.models import Order, OrderEvent, OrderSend, Trade
from trading.models.orders import STATUSES
from trading.selectors import stories
from trading.selectors.searching import by_id


class NeedsAttention(admin.SimpleListFilter):
    """Which orders want an operator's eye."""

    title = _("question")
    parameter_name = "question"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The questions."""
        return [("doubt", _("fate unknown")), ("alive", _("on their way")), ("failed", _("failed or denied"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The orders that answer."""
        if self.value() == "doubt":
            return queryset.filter(status__in=MAYBE_SENT)
        if self.value() == "alive":
            return queryset.exclude(status__in=CLOSED)
        if self.value() == "failed":
            return queryset.filter(status__in=[Status.FAILED, Status.DENIED, Status.EXPIRED])
        return queryset


class EventInline(FactInline):
    """Every move, with its evidence."""

    model = OrderEvent
    fields = readonly_fields = ("seq", "from_status", "to_status", "actor", "evidence", "created_at", "recorded_at")
    ordering = ("seq",)


class SendInline(FactInline):
    """Every permission to send, and what came of it."""

    model = OrderSend
    fields = readonly_fields = ("send_no", "result", "gateway", "gateway_epoch", "permit_until", "answer", "claimed_at")
    ordering = ("send_no",)


class TradeInline(FactInline):
    """Every fill."""

    model = Trade
    fk_name = "order"
    fields = readonly_fields = ("exchange_trade_id", "side", "filled", "at_price", "paid", "fee_shown", "created_at")
    show_change_link = True

    @admin.display(description=_("amount"))
    def filled(self, trade: Trade) -> SafeString:
        """Base currency."""
        return quantity(trade.amount)

    @admin.display(description=_("price"))
    def at_price(self, trade: Trade) -> SafeString:
        """Quote currency."""
        return number(money(trade.price))

    @admin.display(description=_("total"))
    def paid(self, trade: Trade) -> SafeString:
        """Quote currency, without fee."""
        return number(money(trade.total))

    @admin.display(description=_("fee"))
    def fee_shown(self, trade: Trade) -> SafeString:
        """With its currency."""
        return number(f"{money(trade.fee, trade.fee_currency)} {trade.fee_currency}")


@admin.register(Order)
class OrderAdmin(TellsWhy, ActsByHand, HistoryAdmin):
    """Our intents and what became of them."""

    list_display = ("id", "at", "bot", "mode_shown", "what", "size", "filled", "state", "error_message", "why_link")
    list_filter = (by_period("created_at"), NeedsAttention, BotFilter, SymbolFilter, "side", "status", ModeFilter, ExitReasonFilter)
    list_select_related = ("bot", "account")
    search_fields = ("symbol", "client_id", "exchange_order_id")
    search_help_text = _("Client id or exchange order id, whole; or the beginning of a symbol.")
    ordering = ("-created_at", "-id")
    export_paths = (
        *("id", "created_at", "bot__name", "account__name", "mode", "symbol", "side", "order_type", "purpose", "exit_reason", "price"),
        *("amount", "quote_amount", "filled_amount", "account__quote_currency", "status", "error_message", "client_id"),
        *("exchange_order_id", "cycle_id", "position_id", "recorded_at", "updated_at"),
    )
    inlines = (EventInline, SendInline, TradeInline)

    story_of = staticmethod(stories.of_order)
    actions_detail = ("why", "cancel")

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """A symbol's beginning, or an order's id of ours or of the exchange."""
        symbols = symbols_beginning(request, term)
        return rows.filter(symbol__in=symbols) if symbols else by_id(rows, term, user=request.user, ids=("client_id", "exchange_order_id"))

    def totals_of(self, rows: QuerySet[Any]) -> Totals:
        """How many are in which state."""
        labels = dict(STATUSES)
        return totals(
            rows,
            lambda groups: ((labels.get(group["status"], group["status"]), f"{group['count']:,}") for group in groups),
            by={"status": "status"},
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """Every column, then what the book was expected to give."""
        return [*super().get_fields(request, obj), "liquidity"]

    @action(description=_("Cancel"), permissions=["operate"], icon="cancel")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the exchange to cancel it."""
        return self.act(
            request,
            object_id,
            question=_("Cancel order %(row)s?"),
            deed=lambda pk, **given: steering.cancel_order(order_pk=pk, **given),
        )

    @admin.display(description=_("liquidity"))
    def liquidity(self, order: Order) -> SafeString | str:
        """What the book was expected to take when the order was planned, and the parts it is better split into."""
        found = order.plan.get("liquidity")
        if not found:
            return "–"
        told = {
            _("expected slippage"): f"{found['expected_slippage_pct']} %" if found["expected_slippage_pct"] else "–",
            _("expected price"): found["expected_avg_price"] or "–",
            _("levels of the book"): found["required_levels"],
            _("better in parts"): " · ".join(found["parts"]) if len(found.get("parts", ())) > 1 else _("no"),
        }
        lines = format_html_join("", "<div>{}: {}</div>", told.items())
        return format_html("{}{}", lines, state_badge("warn", found["warning"]) if found["warning"] else "")

    @admin.display(description=_("mode"))
    def mode_shown(self, order: Order) -> SafeString:
        """Whether the money is real."""
        return mode_badge(order.mode, is_demo=order.account.is_demo)

    @admin.display(description=_("order"))
    def what(self, order: Order) -> SafeString:
        """Side, symbol and why."""
        return format_html(
            "{} {} <small>{} {}</small>", order.get_side_display(), order.symbol, order.get_purpose_display(), order.exit_reason
        )

    @admin.display(description=_("size"))
    def size(self, order: Order) -> SafeString:
        """In base, or in quote currency."""
        currency = order.account.quote_currency
        return number(amount(order.amount) if order.amount is not None else f"{money(order.quote_amount, currency)} {currency}")

    @admin.display(description=_("filled"))
    def filled(self, order: Order) -> SafeString:
        """Base currency."""
        return quantity(order.filled_amount)

    @admin.display(description=_("status"), ordering="status")
    def state(self, order: Order) -> SafeString:
        """Coloured."""
        return state_badge(tones.of_order(order.status), order.get_status_display())


@admin.register(OrderSend)
class OrderSendAdmin(FactAdmin):
    """Permissions to send."""

    list_display = ("claimed_at", "order", "send_no", "result", "gateway", "permit_until")
    list_filter = ("result",)
    list_select_related = ("order",)
    ordering = ("-id",)


@admin.register(OrderEvent)
class OrderEventAdmin(FactAdmin):
    """Moves of orders."""

    list_display = ("created_at", "order", "seq", "from_status", "to_status", "actor")
    list_filter = ("to_status", "actor")
    list_select_related = ("order",)
    ordering = ("-id",)
