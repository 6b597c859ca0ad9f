"""Trades and the positions they add up to."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import action

from dgbot.base.admin import FactAdmin
from dgbot.base.badges import mode_badge, number, profit, quantity, state_badge
from dgbot.base.display import age, amount, money, percent
from dgbot.core.money import plain
from dgbot.core.types import Mode
from trading import steering
from trading.admin.by_hand import ActsByHand
from trading.admin.orders import TradeInline
from trading.admin.protection import protection_of
from trading.models import Position, Trade


@admin.register(Trade)
class TradeAdmin(FactAdmin):
    """Every fill; never edited, never deleted."""

    list_display = ("created_at", "bot", "mode_shown", "what", "at_price", "filled", "paid", "fee_shown")
    list_filter = ("side", "purpose", "exit_reason", "mode", ("bot", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("bot", "account")
    search_fields = ("=exchange_trade_id", "symbol__startswith")
    search_help_text = _("Exchange trade id, whole; or the beginning of a symbol.")
    ordering = ("-id",)

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
class PositionAdmin(ActsByHand, FactAdmin):
    """Stays in a market, with the exits frozen at entry; closed or reduced by hand."""

    list_display = ("id", "bot", "mode_shown", "symbol", "state", "held", "entry", "stop", "target", "realised", "exit_reason", "opened_at")
    list_filter = (OpenOrClosed, "mode", "exit_reason", ("bot", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("bot", "account")
    ordering = ("-id",)
    inlines = (type("PositionTradeInline", (TradeInline,), {"fk_name": "position"}),)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """Every column, then what the plan of its exits means, and who protects it."""
        return [*super().get_fields(request, obj), "trailing", "levels", "protected"]

    actions_detail = ("close", "reduce")

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


def _held_now(position: Position) -> list[Any]:
    """What would be sold."""
    return [
        mode_badge(position.mode, is_demo=position.account.is_demo),
        _("It holds %(amount)s of %(symbol)s.") % {"amount": amount(position.amount), "symbol": position.symbol},
    ]
