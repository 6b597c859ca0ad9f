"""Trades and the positions they add up to."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import action

from dgbot.base.badges import mode_badge, number, profit, quantity, state_badge
from dgbot.base.display import age, amount, money, percent
from dgbot.base.filters import by_period
from dgbot.base.history import HistoryAdmin, Totals, totals
from dgbot.core.money import plain
from dgbot.core.types import Mode
from trading import steering
from trading.admin.by_hand import ActsByHand
from trading.admin.history import BotFilter, ExitReasonFilter, ModeFilter, SymbolFilter, symbols_beginning
from trading.admin.orders import TradeInline
from trading.admin.protection import protection_of
from trading.admin.results import TellsResults
from trading.admin.why.pages import TellsWhy
from trading.models import Position, Trade
from trading.selectors import stories
from trading.selectors.searching import by_id


@admin.register(Trade)
class TradeAdmin(TellsResults, TellsWhy, HistoryAdmin):
    """Every fill; never edited, never deleted."""

    list_display = ("at", "bot", "mode_shown", "what", "at_price", "filled", "paid", "fee_shown", "why_link")
    list_filter = (by_period("created_at"), BotFilter, SymbolFilter, "side", ModeFilter, ExitReasonFilter)
    list_select_related = ("bot", "account")
    search_fields = ("symbol", "exchange_trade_id")
    search_help_text = _("Exchange trade id, whole; or the beginning of a symbol.")
    ordering = ("-created_at", "-id")
    export_paths = (
        *("id", "created_at", "bot__name", "account__name", "mode", "symbol", "side", "purpose", "exit_reason"),
        *("price", "amount", "total", "account__quote_currency", "fee", "fee_currency", "status", "exchange_trade_id"),
        *("order_id", "position_id", "recorded_at"),
    )

    story_of = staticmethod(stories.of_trade)
    actions_detail = ("why",)

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """A symbol's beginning, or a trade id of the exchange."""
        symbols = symbols_beginning(request, term)
        return rows.filter(symbol__in=symbols) if symbols else by_id(rows, term, user=request.user, ids=("exchange_trade_id",))

    def links_of(self, changelist: Any) -> tuple[tuple[Any, str, str], ...]:
        """The results, and the files."""
        return ((_("Results"), reverse("admin:trading_trade_results"), "insights"), *super().links_of(changelist))

    def totals_of(self, rows: QuerySet[Any]) -> Totals:
        """Turnover by side, and the fees."""
        by = {"side": "side", "currency": "account__quote_currency", "fee_currency": "fee_currency"}
        return totals(rows, _turnover, by=by, sums={"total": "total", "fee": "fee"})

    @admin.display(description=_("mode"))
    def mode_shown(self, trade: Trade) -> SafeString:
        """Whether the money is real."""
        return mode_badge(trade.mode, is_demo=trade.account.is_demo)

    @admin.display(description=_("trade"))
    def what(self, trade: Trade) -> SafeString:
        """Side, symbol and why."""
        kind = "gain" if trade.side == "buy" else "loss"
        return format_html(
            '<span class="dg-{}">{}</span> {} <small>{} {}</small>',
            kind,
            trade.get_side_display(),
            trade.symbol,
            trade.get_purpose_display(),
            trade.exit_reason,
        )

    @admin.display(description=_("price"))
    def at_price(self, trade: Trade) -> SafeString:
        """Quote currency."""
        return number(money(trade.price, trade.account.quote_currency))

    @admin.display(description=_("amount"))
    def filled(self, trade: Trade) -> SafeString:
        """Base currency."""
        return quantity(trade.amount)

    @admin.display(description=_("total"))
    def paid(self, trade: Trade) -> SafeString:
        """Quote currency, without fee."""
        return number(f"{money(trade.total, trade.account.quote_currency)} {trade.account.quote_currency}")

    @admin.display(description=_("fee"))
    def fee_shown(self, trade: Trade) -> SafeString:
        """With its currency."""
        return number(f"{money(trade.fee, trade.fee_currency)} {trade.fee_currency}")


class OpenOrClosed(admin.SimpleListFilter):
    """Whether a position still holds something."""

    title = _("question")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two answers."""
        return [("yes", _("open")), ("no", _("closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The positions that answer."""
        return queryset if self.value() is None else queryset.filter(closed_at__isnull=self.value() == "yes")


@admin.register(Position)
class PositionAdmin(TellsWhy, ActsByHand, HistoryAdmin):
    """Stays in a market, with the exits frozen at entry; closed or reduced by hand."""

    list_display = (
        "id",
        "bot",
        "mode_shown",
        "symbol",
        "state",
        "held",
        "entry",
        "stop",
        "target",
        "realised",
        "exit_reason",
        "at",
        "why_link",
    )
    list_filter = (by_period("opened_at"), OpenOrClosed, BotFilter, SymbolFilter, ModeFilter, ExitReasonFilter)
    list_select_related = ("bot", "account")
    search_fields = ("symbol",)
    search_help_text = _("The beginning of a symbol.")
    ordering = ("-opened_at", "-id")
    export_paths = (
        *("id", "opened_at", "closed_at", "bot__name", "account__name", "mode", "symbol", "bought_amount", "bought_total", "sold_total"),
        *("fees", "account__quote_currency", "amount", "stop_price", "target_price", "trailing_stop_price", "exit_reason"),
    )
    inlines = (type("PositionTradeInline", (TradeInline,), {"fk_name": "position"}),)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """Every column, then what the plan of its exits means, and who protects it."""
        return [*super().get_fields(request, obj), "trailing", "levels", "protected"]

    story_of = staticmethod(stories.of_position)
    actions_detail = ("why", "close", "reduce")

    def search(self, request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """A symbol's beginning."""
        return rows.filter(symbol__in=symbols_beginning(request, term))

    def totals_of(self, rows: QuerySet[Any]) -> Totals:
        """What the closed ones earned."""
        closed = rows.annotate(is_over=Q(closed_at__isnull=False), profit=F("sold_total") - F("bought_total") - F("fees"))
        by = {"is_over": "is_over", "currency": "account__quote_currency"}
        return totals(closed, _earned, by=by, sums={"profit": "profit", "fees": "fees"})

    @action(description=_("Close now"), permissions=["operate"], icon="exit_to_app")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Sell all of it."""
        return self.act(
            request,
            object_id,
            question=_("Sell all of position %(row)s now?"),
            facts=_held_now,
            deed=lambda pk, **given: steering.close_position(position_pk=pk, **given),
        )

    @action(description=_("Reduce"), permissions=["operate"], icon="content_cut")
    def reduce(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Sell a part of it."""
        return self.act(
            request,
            object_id,
            question=_("Sell a part of position %(row)s now?"),
            facts=_held_now,
            inputs=lambda position: [("amount", _("amount"), plain(position.amount / 2))],
            deed=lambda pk, **given: steering.reduce_position(position_pk=pk, **given),
        )

    @admin.display(description=_("mode"))
    def mode_shown(self, position: Position) -> SafeString:
        """Whether the money is real."""
        return mode_badge(position.mode, is_demo=position.account.is_demo)

    @admin.display(description=_("state"))
    def state(self, position: Position) -> SafeString:
        """Open with its age, or closed."""
        if not position.is_open:
            return state_badge("quiet", _("closed"))
        if Mode(position.mode).is_recorded:
            return state_badge("busy", _("open"))  # its market's clock is not ours
        return state_badge("busy", format_html("{} · {}", _("open"), age(timezone.now() - position.opened_at)))

    @admin.display(description=_("amount"))
    def held(self, position: Position) -> SafeString:
        """Held now, base currency."""
        return quantity(position.amount)

    @admin.display(description=_("entry"))
    def entry(self, position: Position) -> SafeString:
        """Mean price."""
        return number(money(position.entry_price, position.account.quote_currency))

    @admin.display(description=pgettext_lazy("price", "stop"))
    def stop(self, position: Position) -> SafeString:
        """Quote currency."""
        shown = number(money(position.current_stop, position.account.quote_currency))
        return shown if position.trailing_stop_price is None else format_html("{} <small>{}</small>", shown, _("trailing"))

    @admin.display(description=_("trailing stop"))
    def trailing(self, position: Position) -> str:
        """Where it started, how far the price has come, and at which distance it follows."""
        distance = position.plan.get("trail_distance")
        if distance is None:
            return str(_("off"))
        currency = position.account.quote_currency
        return str(
            _("%(distance)s under the highest price %(high)s; the stop of the entry is %(stop)s")
            % {
                "distance": money(Decimal(distance), currency),
                "high": money(position.high_water, currency),
                "stop": money(position.stop_price, currency),
            }
        )

    @admin.display(description=_("partial take profit"))
    def levels(self, position: Position) -> SafeString | str:
        """Each level, and whether it is behind."""
        rows = position.plan.get("levels") or []
        if not rows:
            return str(_("off"))
        return format_html_join(
            "",
            "<div>{} → {} · {}</div>",
            (
                (
                    percent(Decimal(row["profit_fraction"]), with_sign=True),
                    percent(Decimal(row["share"])),
                    _("taken") if number < position.levels_taken else _("waiting"),
                )
                for number, row in enumerate(rows)
            ),
        )

    @admin.display(description=_("protection"))
    def protected(self, position: Position) -> SafeString | str:
        """Who keeps its stop, since when it was seen, and how long nobody did."""
        return protection_of(position)

    @admin.display(description=pgettext_lazy("price", "target"))
    def target(self, position: Position) -> SafeString:
        """Quote currency."""
        return number(money(position.target_price, position.account.quote_currency))

    @admin.display(description=_("profit"))
    def realised(self, position: Position) -> SafeString:
        """Fees included; open positions have none yet."""
        return number("–") if position.is_open else profit(position.realised_profit, position.account.quote_currency)


def _turnover(groups: list[dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Bought and sold in each quote currency, and each currency's fees."""
    for currency in sorted({group["currency"] for group in groups}):
        for side, label in (("buy", _("Bought")), ("sell", _("Sold"))):
            paid = sum((group["total"] for group in groups if (group["currency"], group["side"]) == (currency, side)), Decimal(0))
            yield label, number(f"{money(paid, currency)} {currency}")
    for currency in sorted({group["fee_currency"] for group in groups}):
        fees = sum((group["fee"] for group in groups if group["fee_currency"] == currency), Decimal(0))
        yield _("Fees"), number(f"{money(fees, currency)} {currency}")


def _earned(groups: list[dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """How many are closed, and each currency's profit and fees of these."""
    yield _("Open"), f"{sum(group['count'] for group in groups if not group['is_over']):,}"
    for group in (group for group in groups if group["is_over"]):
        yield _("Realised profit"), format_html("{} {}", profit(group["profit"], group["currency"]), group["currency"])
        yield _("Fees"), number(f"{money(group['fees'], group['currency'])} {group['currency']}")


def _held_now(position: Position) -> list[Any]:
    """What would be sold."""
    return [
        mode_badge(position.mode, is_demo=position.account.is_demo),
        _("It holds %(amount)s of %(symbol)s.") % {"amount": amount(position.amount), "symbol": position.symbol},
    ]
