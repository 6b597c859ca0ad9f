"""What the order path asks of the outside world, and nothing more."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from dgbot.core.types import OrderRequest, TradingRules, VenueFill, VenueOrder
from trading.domain.order_path.values import Change, Grounds, OrderFacts, Tenure

Decide = Callable[[OrderFacts], Change | None]
DecideClaim = Callable[[OrderFacts, Grounds], Change | None]


class CannotBook(Exception):
    """The books refuse what an answer says: it proves nothing, and the exchange is asked again."""


class Store(Protocol):
    """Our books. Each method is one transaction that is committed, durably, when it returns; one that raises wrote nothing.

    `decide` is called inside the transaction with the order locked; what it returns is written whole, None writes nothing.
    `tenure`: nothing is written unless this right to send holds until the commit; None for news that is true whoever tells it.
    Returned facts are those before the change.
    """

    def read(self, order_pk: int) -> OrderFacts:
        """The order as it is now."""

    def claim(self, order_pk: int, *, tenure: Tenure, now: datetime, decide: DecideClaim) -> tuple[OrderFacts, Change] | None:
        """Change an order that may be sent, with kill switch and limits held still; None when another gateway is at it."""

    def change(self, order_pk: int, *, tenure: Tenure | None, now: datetime, decide: Decide) -> tuple[OrderFacts, Change] | None:
        """Change an order. now: market time. Raises CannotBook when the books refuse."""

    def holds(self, tenure: Tenure) -> bool:
        """Whether this right to send still holds."""

    def unsettled(self, account_id: int, *, is_hurried: bool) -> Sequence[int]:
        """Primary keys, oldest first, of orders that may still act and are due for a look; `is_hurried` ignores when they are due."""

    def release_absent(self, account_id: int, *, tenure: Tenure) -> int:
        """Give back what is reserved for entries whose absence has stood long enough. Returns how many."""


class Market(Protocol):
    """The part of an exchange that the order path speaks to. See `dgbot.core.protocols.Exchange` for the promises."""

    def place(self, request: OrderRequest) -> VenueOrder:
        """Send one order."""

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """Ask to cancel an order."""

    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """One order with its fills."""

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """Orders that may still fill."""

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """Orders created in [start, end) that will not fill any more."""

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """This account's executions."""

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """The rules of `symbol` in force at `at`."""
