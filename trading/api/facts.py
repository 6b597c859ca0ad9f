"""What happened and what is held: accounts, balances, positions, orders, trades, cycles, decisions, snapshots."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.base.rest.fields import DecimalText, RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import NeededReason, Rows, Told
from dgbot.core.money import SMALLEST_STEP
from trading import steering
from trading.models import (
    AccountBalance,
    Cycle,
    Decision,
    ExchangeAccount,
    Order,
    OrderEvent,
    PortfolioSnapshot,
    Position,
    StageResult,
    Trade,
)

OWNED = ("id", "bot", "account", "user", "mode")


class AccountRow(RowSerializer):
    """An account, without anything of its key."""

    class Meta:
        model = ExchangeAccount
        fields = ("id", "user", "name", "exchange", "mode", "is_demo", "quote_currency", "is_hidden", "created_at")


@extend_schema_view(list=extend_schema(summary="Accounts"), retrieve=extend_schema(summary="One account"))
class AccountsFace(Rows):
    """Accounts at exchanges."""

    queryset = ExchangeAccount.objects.all()
    serializer_class = AccountRow
    filterset_class = filters(ExchangeAccount, exact=("exchange", "mode", "is_demo", "is_hidden"))
    orderings = ("id", "-id")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_exchangeaccount"))


class BalanceRow(RowSerializer):
    """One asset of an account."""

    class Meta:
        model = AccountBalance
        fields = ("id", "account", "asset", "free", "locked", "known_at", "recorded_at")


@extend_schema_view(list=extend_schema(summary="Balances"), retrieve=extend_schema(summary="One balance"))
class BalancesFace(Rows):
    """What the exchanges told that accounts hold. `recorded_at` says how old it is; what was never told is not here."""

    queryset = AccountBalance.objects.all()
    serializer_class = BalanceRow
    filterset_class = filters(AccountBalance, exact=("asset",), ids=("account",))
    orderings = ("id", "-id")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_accountbalance"))


class PositionRow(RowSerializer):
    """One stay in a market."""

    is_open = serializers.BooleanField(read_only=True)
    current_stop = DecimalText(read_only=True, allow_null=True, help_text="Quote currency; null before the first fill.")
    entry_price = DecimalText(read_only=True, allow_null=True, help_text="Mean price of the entries, quote currency, 18 decimals.")
    realised_profit = DecimalText(read_only=True, allow_null=True, help_text="Quote currency, fees included; null while open.")

    class Meta:
        model = Position
        fields = (
            *(*OWNED, "symbol", "is_open", "amount", "entry_price", "stop_price", "trailing_stop_price", "current_stop", "target_price"),
            *("bought_amount", "bought_total", "sold_total", "fees", "realised_profit", "exit_reason", "opened_at", "closed_at"),
        )


class ReduceInput(NeededReason):
    """How much of a position is sold."""

    amount = DecimalText(least=SMALLEST_STEP, help_text="Base currency; a multiple of the market's lot step.")


@extend_schema_view(list=extend_schema(summary="Positions"), retrieve=extend_schema(summary="One position"))
class PositionsFace(Rows):
    """Positions: the fold over a bot's trades."""

    queryset = Position.objects.all()
    serializer_class = PositionRow
    filterset_class = filters(Position, exact=("symbol", "mode"), ids=("bot", "account"), times=("opened_at", "closed_at"))
    orderings = ("-opened_at", "opened_at")
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("trading.view_position")),
        **dict.fromkeys(("close", "reduce"), trades("trading.change_bot")),
    }
    outside = frozenset({"close", "reduce"})  # they ask the exchange for its price

    @extend_schema(summary="Sell all of a position", request=NeededReason, responses=Told)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """Now, at the market. Asked twice it makes one order."""
        position, asked = self.get_object(), self.given(request, NeededReason)
        return Response({"message": steering.close_position(position_pk=position.pk, by=request.user, reason=asked["reason"])})

    @extend_schema(summary="Sell a part of a position", request=ReduceInput, responses=Told)
    @action(detail=True, methods=["post"])
    def reduce(self, request: Request, pk: str) -> Response:
        """Now, at the market."""
        position, asked = self.get_object(), self.given(request, ReduceInput)
        told = steering.reduce_position(position_pk=position.pk, amount=f"{asked['amount']:f}", by=request.user, reason=asked["reason"])
        return Response({"message": told})


class OrderRow(RowSerializer):
    """Our intent and what became of it."""

    class Meta:
        model = Order
        fields: tuple[str, ...] = (
            *(*OWNED, "cycle", "position", "client_id", "exchange_order_id", "symbol", "side", "order_type", "purpose", "exit_reason"),
            *("price", "amount", "quote_amount", "filled_amount", "reduce_only", "status", "error_message", "created_at", "updated_at"),
        )


class OrderEventRow(RowSerializer):
    """One move of an order."""

    class Meta:
        model = OrderEvent
        fields = ("seq", "from_status", "to_status", "actor", "evidence", "created_at", "recorded_at")


class OrderDetail(OrderRow):
    """With every move of its life."""

    events = serializers.SerializerMethodField()

    class Meta(OrderRow.Meta):
        fields = (*OrderRow.Meta.fields, "events")

    @extend_schema_field(OrderEventRow(many=True))
    def get_events(self, order: Order) -> Any:
        """Oldest first."""
        return OrderEventRow(order.events.order_by("seq"), many=True).data


@extend_schema_view(list=extend_schema(summary="Orders"), retrieve=extend_schema(summary="One order with its events"))
class OrdersFace(Rows):
    """Orders. `unknown` is a state: the exchange has not told yet what became of it."""

    queryset = Order.objects.all()
    serializer_class = OrderRow
    detail_class = OrderDetail
    filterset_class = filters(
        Order, exact=("symbol", "status", "side", "purpose", "mode", "client_id"), ids=("bot", "account", "position"), times=("created_at",)
    )
    orderings = ("-created_at", "created_at")
    needs = {**dict.fromkeys(("list", "retrieve"), reads("trading.view_order")), "cancel": trades("trading.change_bot")}

    @extend_schema(summary="Have an order cancelled", request=NeededReason, responses={202: Told})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """The gateway cancels it; a fill may come first, and is legal."""
        order, asked = self.get_object(), self.given(request, NeededReason)
        return Response({"message": steering.cancel_order(order_pk=order.pk, by=request.user, reason=asked["reason"])}, status=202)


class TradeRow(RowSerializer):
    """One fill, as the exchange reported it."""

    class Meta:
        model = Trade
        fields = (
            *(*OWNED, "order", "position", "exchange_trade_id", "symbol", "side", "purpose", "exit_reason", "price", "amount", "total"),
            *("fee", "fee_currency", "status", "reverses", "source", "created_at", "recorded_at"),
        )


@extend_schema_view(list=extend_schema(summary="Trades"), retrieve=extend_schema(summary="One trade"))
class TradesFace(Rows):
    """Trades: the money truth. A correction is a row that names the one it reverses."""

    queryset = Trade.objects.all()
    serializer_class = TradeRow
    filterset_class = filters(
        Trade, exact=("symbol", "side", "purpose", "status", "mode"), ids=("bot", "account", "order", "position"), times=("created_at",)
    )
    orderings = ("-created_at", "created_at")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_trade"))


class CycleRow(RowSerializer):
    """One run of the pipeline."""

    class Meta:
        model = Cycle
        fields: tuple[str, ...] = (*OWNED, "slot", "trigger", "status", "outcome", "config_version", "recorded_at", "finished_at")


class StageRow(RowSerializer):
    """What one stage found."""

    class Meta:
        model = StageResult
        fields = ("stage", "action", "reasons", "data", "duration_ms", "created_at")


class CycleDetail(CycleRow):
    """With its stages."""

    stages = serializers.SerializerMethodField()

    class Meta(CycleRow.Meta):
        fields = (*CycleRow.Meta.fields, "stages")

    @extend_schema_field(StageRow(many=True))
    def get_stages(self, cycle: Cycle) -> Any:
        """In the pipeline's order."""
        return StageRow(cycle.stages.order_by("pk"), many=True).data


@extend_schema_view(list=extend_schema(summary="Cycles"), retrieve=extend_schema(summary="One cycle with its stages"))
class CyclesFace(Rows):
    """Cycles: what was looked at, and why it ended as it did."""

    queryset = Cycle.objects.all()
    serializer_class = CycleRow
    detail_class = CycleDetail
    filterset_class = filters(Cycle, exact=("status", "trigger", "mode"), ids=("bot", "account"), times=("slot",))
    orderings = ("-id", "id")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_cycle"))


class DecisionRow(RowSerializer):
    """What was decided, in short."""

    class Meta:
        model = Decision
        fields: tuple[str, ...] = (*OWNED, "cycle", "symbol", "decision", "confidence", "reason", "analyst", "hash", "created_at")


class DecisionDetail(DecisionRow):
    """With all it was based on."""

    market_data = serializers.SerializerMethodField()

    class Meta(DecisionRow.Meta):
        fields = (
            *(*DecisionRow.Meta.fields, "market_data", "inputs", "proposal", "verdict", "answer"),
            *("anchor_at", "candle_count", "candles_hash", "previous_hash"),
        )

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_market_data(self, decision: Decision) -> Any:
        """What the answer was based on."""
        return decision.market_data


@extend_schema_view(list=extend_schema(summary="Decisions"), retrieve=extend_schema(summary="One decision with all it saw"))
class DecisionsFace(Rows):
    """Decisions: one per cycle, chained by hash per bot."""

    queryset = Decision.objects.all()
    serializer_class = DecisionRow
    detail_class = DecisionDetail
    filterset_class = filters(
        Decision, exact=("symbol", "decision", "mode", "analyst"), ids=("bot", "account", "cycle"), times=("created_at",)
    )
    orderings = ("-created_at", "created_at")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_decision"))


class SnapshotRow(RowSerializer):
    """Equity at an instant."""

    positions = serializers.SerializerMethodField(help_text="By symbol; decimals as text.")

    class Meta:
        model = PortfolioSnapshot
        fields = ("id", "account", "user", "mode", "total_value_krw", "total_value_usd", "positions", "cause", "created_at")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_positions(self, snapshot: PortfolioSnapshot) -> Any:
        """As they were stored."""
        return snapshot.positions


@extend_schema_view(list=extend_schema(summary="Portfolio snapshots"), retrieve=extend_schema(summary="One portfolio snapshot"))
class SnapshotsFace(Rows):
    """What accounts were worth. A value that could not be told is null, and `cause` says why."""

    queryset = PortfolioSnapshot.objects.all()
    serializer_class = SnapshotRow
    filterset_class = filters(PortfolioSnapshot, exact=("mode",), ids=("account",), times=("created_at",))
    orderings = ("-created_at", "created_at")
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_portfoliosnapshot"))
