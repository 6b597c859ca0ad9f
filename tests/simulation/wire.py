"""What lies between a gateway and the exchange: answers are lost, requests are held, doubled and delivered late."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dgbot.core.errors import ExchangeUnavailable, OutcomeUnknown, RateLimited
from dgbot.core.types import OrderRequest, TradingRules, VenueFill, VenueOrder

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

WRITE_FAULTS = (
    "not_sent",
    "lost_before",
    "lost_after",
    "broken_after",
    "doubled",
    "held",
    "held_long",
    "held_long",  # the only way to an order that comes back
    "garbage",
    "wrong_echo",
    "key_refused",
)
READ_FAULTS = ("unavailable", "limited", "nonsense", "flapping")


class Wire:
    """One process's connection. Implements the order path's `Market`."""

    def __init__(self, world: "World", process: "Process") -> None:
        self.world, self.process = world, process
        self.asked: str | None = None  # client id of a round that has found nothing so far
        self.answered: set[str] = set()

    # --- Writes ---
    def place(self, request: OrderRequest) -> VenueOrder:
        """One request, unless its time is over before the first byte."""
        world, began = self.world, self.world.seconds
        self.process.touch("place")
        if world.seconds - began > world.permit_s(request):
            raise ExchangeUnavailable("too late to write")  # the adapter measures too
        fault = world.write_fault(request)
        if fault == "not_sent":
            raise ExchangeUnavailable("no route")
        world.saw_bytes(request, self.process)
        deliver = self._delivery(request)
        if fault in ("held", "held_long"):
            world.hold(deliver, seconds=world.hold_s(request, is_long=fault == "held_long"))
            raise OutcomeUnknown("timeout")
        if fault == "lost_before":
            raise OutcomeUnknown("timeout")
        if fault == "key_refused":
            raise world.key_refusal()
        answer = deliver()
        self.process.touch("placed")
        if fault == "doubled":
            if world.rng.random() < 0.3:
                world.advance(35.0)  # whatever made the copy took its time, and we were stopped meanwhile
            answer = deliver()
        return self._spoiled(answer, fault, request)

    def cancel(self, *, symbol: str, exchange_order_id: str | None = None, client_id: str | None = None) -> VenueOrder:
        """One request to cancel."""
        began = self.world.seconds
        self.process.touch("cancel")
        if self.world.seconds - began > self.world.waits.exit_permit_s:
            raise ExchangeUnavailable("too late to write")
        fault = self.world.write_fault()
        if fault == "not_sent":
            raise ExchangeUnavailable("no route")
        self.world.watch.cancel_left(client_id or "")
        if fault in ("held", "held_long", "lost_before", "key_refused"):
            raise OutcomeUnknown("timeout")
        answer = self.world.exchange.cancel(exchange_order_id=exchange_order_id, client_id=client_id)
        if fault:
            raise OutcomeUnknown("timeout")
        return answer

    # --- Reads ---
    def order(self, *, symbol: str, client_id: str | None = None, exchange_order_id: str | None = None) -> VenueOrder | None:
        """By either id."""
        self.asked, self.answered = None, set()
        fault = self._read("order")
        if fault == "nonsense":
            return {}  # type: ignore[return-value]
        told = self.world.exchange.order(client_id=client_id, exchange_order_id=exchange_order_id)
        if told is None or fault == "flapping":  # seen at Bitget for orders that exist
            self.asked = client_id
            return None
        return told

    def open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """Those that rest."""
        self._read("open")
        self._note_answer("open")
        return self.world.exchange.open_orders(symbol)

    def closed_orders(self, *, symbol: str | None, start: datetime, end: datetime) -> Sequence[VenueOrder]:
        """Those that ended."""
        self._read("closed")
        self._note_answer("closed")
        return self.world.exchange.closed_orders(symbol, start, end)

    def fills(self, *, symbol: str | None, since: datetime) -> Sequence[VenueFill]:
        """Executions."""
        self._read("fills")
        self._note_answer("fills")
        return self.world.exchange.fills(symbol, since)

    def trading_rules(self, symbol: str, *, at: datetime) -> TradingRules:
        """Answered from memory."""
        return self.world.exchange.rules(symbol)

    def _delivery(self, request: OrderRequest) -> Any:
        world, signed_at = self.world, self.world.now()
        world.nonce += 1
        nonce = world.nonce
        return lambda: world.exchange.place(request, signed_at=signed_at, nonce=nonce)

    def _spoiled(self, answer: VenueOrder, fault: str, request: OrderRequest) -> VenueOrder:
        if fault in ("lost_after", "broken_after"):
            raise OutcomeUnknown("timeout") if fault == "lost_after" else ConnectionError("reset by peer")
        if fault == "garbage":
            return self.world.rng.choice((None, {}, "<html>", 5))  # type: ignore[return-value]
        if fault == "wrong_echo":  # somebody else's order, or a name that is not ours
            others = [order for order in self.world.exchange.orders.values() if order.request.client_id != request.client_id]
            return self.world.rng.choice(others).history[-1][1] if others else replace(answer, client_id="P" + "A" * 30)
        if self.world.exchange.dialect.may_leave_out_id and self.world.rng.random() < 0.2:
            return self._told_without_id(request)
        return answer

    def _told_without_id(self, request: OrderRequest) -> VenueOrder:
        """As the adapter does: the id is asked for, and a failed question makes the outcome unknown, not unsent."""
        try:
            found = self.order(symbol=request.symbol, client_id=request.client_id)
        except (ExchangeUnavailable, ValueError) as error:
            raise OutcomeUnknown("accepted without an order id") from error
        if not isinstance(found, VenueOrder):
            raise OutcomeUnknown("accepted without an order id")
        return found

    def _note_answer(self, endpoint: str) -> None:
        """Count whole rounds from outside, so that the order path's own counting can be checked."""
        self.answered.add(endpoint)
        if self.asked is not None and len(self.answered) == 3:
            self.world.rounds[self.asked] += 1
            self.asked = None

    def _read(self, endpoint: str) -> str:
        self.process.touch(endpoint)
        fault = self.world.read_fault()
        if fault == "unavailable":
            raise ExchangeUnavailable("503")
        if fault == "limited":
            raise RateLimited("429", retry_after_s=1)
        if fault == "nonsense" and endpoint != "order":
            raise ValueError("no JSON")
        return fault
