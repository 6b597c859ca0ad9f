"""The memory of pretended exchanges in PostgreSQL, through the connection `venue` with commits of its own."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from dgbot.core.crash import crash_point
from dgbot.core.types import OrderType, Side, VenueOrder, VenueOrderStatus
from dgbot.core.types import VenueFill as Fill
from trading.exchanges.pretend import DuplicateClientId
from trading.models import VenueAccount, VenueFill
from trading.models import VenueOrder as OrderRow


@dataclass(frozen=True)
class DatabaseVenueStore:
    """Fulfils `VenueStore` for one account. `new_id` is given in tests that want the same ids twice."""

    account_key: str
    new_id: Callable[[], str] = lambda: secrets.token_hex(8)

    def balances(self) -> dict[str, Decimal]:
        """See VenueStore."""
        return dict(VenueAccount.objects.filter(account_key=self.account_key).values_list("asset", "free"))

    def open(self, *, asset: str, amount: Decimal) -> None:
        """Deposit the first money, once: an account that exists keeps what it has."""
        VenueAccount.objects.get_or_create(account_key=self.account_key, asset=asset, defaults={"free": amount})

    def record(self, order: VenueOrder, *, changes: dict[str, Decimal]) -> None:
        """See VenueStore."""
        try:
            with transaction.atomic(using="venue"):
                self._change(changes)
                self._insert(order)
                crash_point("venue order written")
            crash_point("venue order committed")
        except IntegrityError as error:
            if "venue_order_client_id_once" in str(error):
                raise DuplicateClientId(order.client_id) from None
            raise

    def order(self, *, client_id: str | None, exchange_order_id: str | None) -> VenueOrder | None:
        """See VenueStore."""
        wanted = {"client_id": client_id} if client_id is not None else {"exchange_order_id": exchange_order_id}
        row = OrderRow.objects.filter(account_key=self.account_key, **wanted).first()
        return self._value(row) if row else None

    def orders(self, *, start: datetime | None, end: datetime | None) -> list[VenueOrder]:
        """See VenueStore."""
        rows = OrderRow.objects.filter(account_key=self.account_key)
        rows = rows.filter(created_at__gte=start) if start else rows
        rows = rows.filter(created_at__lt=end) if end else rows
        return [self._value(row) for row in rows.order_by("created_at", "pk")]

    def next_id(self) -> str:
        """See VenueStore."""
        return self.new_id()

    def _change(self, changes: dict[str, Decimal]) -> None:
        rows = {row.asset: row for row in VenueAccount.objects.using("venue").select_for_update().filter(account_key=self.account_key)}
        for asset, change in changes.items():
            row = rows.get(asset) or VenueAccount(account_key=self.account_key, asset=asset, free=Decimal(0))
            row.free += change
            if row.free < 0:
                raise ValueError(f"the account lacks {-row.free:f} {asset}")
            row.save(using="venue")

    def _insert(self, order: VenueOrder) -> None:
        OrderRow.objects.create(
            account_key=self.account_key,
            exchange_order_id=order.exchange_order_id,
            client_id=order.client_id or "",
            symbol=order.symbol,
            side=order.side.value,
            order_type=order.order_type.value,
            amount=order.amount,
            quote_amount=order.quote_amount,
            price=order.price,
            filled_amount=order.filled_amount,
            status=order.status.value,
            created_at=order.created_at,
        )
        VenueFill.objects.bulk_create(
            VenueFill(
                account_key=self.account_key,
                exchange_trade_id=fill.exchange_trade_id,
                exchange_order_id=fill.exchange_order_id,
                price=fill.price,
                amount=fill.amount,
                fee=fill.fee,
                fee_currency=fill.fee_currency,
                executed_at=fill.executed_at,
            )
            for fill in order.fills
        )

    def _value(self, row: Any) -> VenueOrder:
        side = Side(row.side)
        fills = tuple(
            Fill(
                exchange_trade_id=fill.exchange_trade_id,
                exchange_order_id=row.exchange_order_id,
                client_id=row.client_id,
                symbol=row.symbol,
                side=side,
                price=fill.price,
                amount=fill.amount,
                fee=fill.fee,
                fee_currency=fill.fee_currency,
                executed_at=fill.executed_at,
            )
            for fill in VenueFill.objects.filter(exchange_order_id=row.exchange_order_id).order_by("pk")
        )
        return VenueOrder(
            exchange_order_id=row.exchange_order_id,
            client_id=row.client_id,
            symbol=row.symbol,
            side=side,
            order_type=OrderType(row.order_type),
            status=VenueOrderStatus(row.status),
            filled_amount=row.filled_amount,
            created_at=row.created_at,
            amount=row.amount,
            quote_amount=row.quote_amount,
            price=row.price,
            fills=fills,
        )
