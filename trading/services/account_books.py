"""Our books of one account as a reconciliation reads them. See `trading.domain.reconcile.Books`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Max, Q, QuerySet, Sum

from dgbot.core.protocols import Clock
from dgbot.core.types import VenueOrder
from trading.domain.ledger import assets_of
from trading.domain.reconcile import Facts, Watched
from trading.models import ExternalOrder, Order, Position, Stream, Trade, Watermark


@dataclass(frozen=True)
class AccountBooks:
    """Fulfils Books."""

    account_id: int
    clock: Clock

    def facts(self) -> Facts:
        """See Books."""
        marks = dict(Watermark.objects.filter(account_id=self.account_id).values_list("stream", "read_until"))
        resting = ExternalOrder.objects.filter(account_id=self.account_id, is_resting=True)
        newest = Trade.objects.filter(account_id=self.account_id).aggregate(newest=Max("pk"))["newest"]
        return Facts(
            revision=newest or 0,
            watched=tuple(_watched(Order.objects.unsettled().exclude(status="planned").filter(account_id=self.account_id))),
            foreign_resting=dict(resting.values_list("exchange_order_id", "symbol")),
            fills_since=marks.get(Stream.FILLS),
            flows_since=marks.get(Stream.FLOWS),
        )

    def booked(self, exchange_order_ids: Iterable[str]) -> Mapping[str, Decimal]:
        """See Books."""
        wanted = Q(account_id=self.account_id, exchange_order_id__in=list(exchange_order_ids))
        others = ExternalOrder.objects.filter(wanted).values_list("exchange_order_id", "filled_amount")
        ours = Order.objects.filter(wanted).values_list("exchange_order_id", "filled_amount")
        return {order_id: amount for order_id, amount in (*others, *ours) if order_id is not None}

    def ours(self, told: Sequence[VenueOrder]) -> dict[str, Watched]:
        """Orders of ours among the told by client id and by the exchange's, ended ones too."""
        by_name = Q(client_id__in=[order.client_id for order in told if order.client_id])
        by_exchange = Q(exchange_order_id__in=[order.exchange_order_id for order in told])
        found = _watched(Order.objects.filter(by_name | by_exchange, account_id=self.account_id))
        return {watched.exchange_order_id: watched for watched in found if watched.exchange_order_id} | {
            watched.client_id: watched for watched in found
        }

    def inventory(self) -> dict[str, Decimal]:
        """What bots hold, by base currency: the sum of their open positions."""
        held = Position.objects.open().filter(account_id=self.account_id).values_list("symbol").annotate(Sum("amount")).order_by()
        found: dict[str, Decimal] = {}
        for symbol, amount in held:
            base, _quote = assets_of(symbol)
            found[base] = found.get(base, Decimal(0)) + amount
        return found

    def now(self) -> datetime:
        """See Books."""
        return self.clock.now()


def _watched(rows: QuerySet[Order]) -> list[Watched]:
    columns = ("pk", "symbol", "client_id", "exchange_order_id", "status", "filled_amount")
    return [Watched(*row) for row in rows.order_by("pk").values_list(*columns)]
