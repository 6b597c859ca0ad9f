"""What must hold under any schedule: numbers as in faults.md, section 2. Checked at every commit and arrival, and after healing.

| number | where |
|---|---|
| 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14 (in part), 15, 16, 17, 18, 20, 22, 28, 29, 31, 32, 35, 36, 37, 41 | here |
| 13, 14 (slots), 34, 39, 40 | tests/contracts: cycles, slots, paper, notifications; process tier |
| 19, 21 | guardian's tests and the process tier: stops live beside the order path |
| 23, 24, 25 | tests/contracts/test_budget, exchange contract suite: adapters |
| 26, 27 | tests/contracts/test_schema: composite keys make them impossible |
| 30, 33 | reconciliation's tests: watermarks, foreign orders |
| 38 | the canary scan over a whole run |
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from dgbot.core.types import OrderRequest, Purpose, Side
from tests.simulation.exchange import CANCELLED, LOT
from tests.simulation.memory import HELD, RELEASED, Row
from trading.domain.lifecycle import CLOSED, MAYBE_SENT, MOVES, Status
from trading.domain.order_path.requests import hash_of
from trading.domain.order_path.values import Change

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

ZERO = Decimal(0)
AT_WORK = frozenset({Status.OPEN, Status.PARTIALLY_FILLED, Status.CANCELLING})
UNSENT = frozenset({Status.DENIED, Status.LAPSED})
LIVENESS_S = 180.0
MOST_NEWS = 60


class Violation(BaseException):
    """An invariant does not hold. Not an Exception: nothing in the order path may swallow it."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"invariant {number}: {text}")
        self.number = number


def must(holds: bool, number: int, text: str) -> None:
    """Raise a Violation unless it holds."""
    if not holds:
        raise Violation(number, text)


class Watch:
    """Looks over everybody's shoulder. Uses rows, the exchange's truth and what left the processes, and nothing of the order path."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.calls: dict[str, int] = {}  # client id → requests that left
        self.left: set[tuple[int, int]] = set()  # sends of which bytes left: order, number
        self.filled: dict[int, Decimal] = {}
        self.epoch = 0

    def bytes_left(self, request: OrderRequest, process: "Process") -> None:
        """A process wrote a request to the network."""
        world = self.world
        row = world.row_of(request.client_id)
        must(row is not None, 2, f"{request.client_id} is nobody's order")
        assert row is not None
        self.calls[request.client_id] = calls = self.calls.get(request.client_id, 0) + 1
        may_have_left = [send for send in row.sends if send.may_have_left]
        must(bool(may_have_left), 11, f"order {row.pk} left without a committed send row")
        must(calls <= len(may_have_left), 28, f"order {row.pk} left {calls} times under {len(may_have_left)} send rows")
        latest = row.sends[-1].permit_until + timedelta(seconds=world.permit_s(request))
        must(world.now() <= latest, 15, f"order {row.pk} left after its permit")
        self.left.add((row.pk, row.sends[-1].send_no))
        must(hash_of(request) == row.params_hash, 29, f"order {row.pk} is not what was planned")
        must(all(value is None or isinstance(value, Decimal) for value in _sizes(request)), 35, f"order {row.pk} is sized by a float")
        if row.purpose is Purpose.ENTRY:
            since = world.entries_forbidden_since
            is_late = since is not None and world.now() > since + timedelta(seconds=world.waits.entry_permit_s)
            must(not is_late, 18, f"entry {row.pk} left after the kill switch")
        else:
            self._not_frozen(world.waits.exit_permit_s)
            must(request.reduce_only, 20, f"exit {row.pk} may increase its position")

    def cancel_left(self, client_id: str) -> None:
        """A process wrote a request to cancel."""
        row = self.world.row_of(client_id)
        is_told = row is not None and any(cancel.sent_at is not None and cancel.result is None for cancel in row.cancels)
        must(is_told, 2, f"a cancel of {client_id} left without its committed row")
        self._not_frozen(self.world.waits.exit_permit_s)

    def _not_frozen(self, permit_s: float) -> None:
        since = self.world.writes_forbidden_since
        must(since is None or self.world.now() <= since + timedelta(seconds=permit_s), 18, "a request left although all are forbidden")

    def arrived(self, request: OrderRequest, is_accepted: bool) -> None:
        """The exchange has looked at a request."""
        orders = self.world.exchange.by_client_id.get(request.client_id, ())
        must(len(orders) <= 1, 1, f"{request.client_id} is {len(orders)} orders")
        row = self.world.row_of(request.client_id)
        is_dead = row is not None and row.status in (*UNSENT, Status.FAILED)
        must(not (is_accepted and is_dead), 3, f"{request.client_id} was accepted after it had been called {row and row.status}")

    def committed(self, row: Row, before: Status, change: Change) -> None:
        """A transaction of the order path was committed."""
        store, world = self.world.store, self.world
        world.note("commit", row.pk, row.status.value, len(row.sends), row.filled)
        self._moves(row, before, change)
        self._sends(row, change)
        must(row.filled >= self.filled.get(row.pk, ZERO), 9, f"filled of order {row.pk} fell to {row.filled}")
        self.filled[row.pk] = row.filled
        must(row.filled == sum((fill.amount for fill in row.fills.values()), ZERO), 8, f"order {row.pk} says {row.filled} is filled")
        self._reservation(row)
        if change.send is not None and row.purpose is Purpose.ENTRY:
            must(world.entries_forbidden_since is None, 18, f"entry {row.pk} was claimed after the kill switch")
            at_stake = _at_stake(store.rows.values())
            must(at_stake <= store.limit, 16, f"{at_stake} is at stake after the claim of order {row.pk}")
            must(row.valid_until is None or world.now() <= row.valid_until, 14, f"entry {row.pk} was claimed after its time")
        if change.send is not None and row.purpose is not Purpose.ENTRY:
            held = row.position.amount if row.position else ZERO
            must((row.request.amount or ZERO) - row.filled <= held, 20, f"exit {row.pk} takes more than the {held} of its bot")

    def _moves(self, row: Row, before: Status, change: Change) -> None:
        status = before
        for move in change.moves:
            must((status, move.to, move.actor) in MOVES, 10, f"order {row.pk} moved from {status} to {move.to} by {move.actor}")
            self.world.transitions[status.value, move.to.value] += 1
            status = move.to
            if move.to is Status.ABSENT:
                self._absence(row)
            if move.to is Status.FAILED:
                known = self.world.exchange.by_client_id.get(row.request.client_id)
                must(not known, 3, f"order {row.pk} was called failed and the exchange has it")
            if move.to is Status.FILLED and row.request.amount is not None:
                must(row.filled == row.request.amount, 3, f"order {row.pk} is filled with {row.filled} of {row.request.amount}")
        must(status is row.status, 10, f"order {row.pk} stands as {row.status} and moved to {status}")
        if row.status in UNSENT:
            must(not any(send.may_have_left for send in row.sends), 11, f"order {row.pk} is {row.status} and may have been sent")

    def _absence(self, row: Row) -> None:
        world = self.world
        rounds = world.rounds[row.request.client_id]
        must(rounds >= 4, 31, f"order {row.pk} was called absent after {rounds} whole rounds")
        latest = max(send.permit_until for send in row.sends)
        # A byte that arrives later than D breaks assumption A3: such an order comes back, and is booked and cancelled then.
        by = latest + timedelta(seconds=world.waits.abandoned_after_s)
        known = [order for order in world.exchange.by_client_id.get(row.request.client_id, ()) if order.arrived_at <= by]
        must(not known, 32, f"order {row.pk} was called absent and the exchange has it")
        waited = (world.now() - latest).total_seconds()
        least = world.waits.abandoned_after_s + world.waits.visible_within_s
        must(waited >= least, 31, f"order {row.pk} was called absent {waited} s after its permit")

    def _sends(self, row: Row, change: Change) -> None:
        for send in row.sends:
            must(send.may_have_left or (row.pk, send.send_no) not in self.left, 28, f"send {send.send_no} of order {row.pk} did leave")
        if change.send is None:
            return
        may_have_left = [send for send in row.sends if send.may_have_left]
        most = 1 if row.purpose is Purpose.ENTRY else 5
        must(len(may_have_left) <= most, 12, f"order {row.pk} may have left {len(may_have_left)} times")
        epoch = row.sends[-1].gateway_epoch
        must(epoch >= self.epoch, 15, f"order {row.pk} was claimed under epoch {epoch} after {self.epoch}")
        self.epoch = epoch

    def _reservation(self, row: Row) -> None:
        if row.purpose is not Purpose.ENTRY:
            return
        if row.status not in CLOSED:
            must(row.reservation == HELD, 17, f"order {row.pk} is {row.status} and its reservation {row.reservation}")
        elif row.status is not Status.ABSENT:
            must(row.reservation != HELD, 17, f"order {row.pk} is {row.status} and its reservation still held")

    def everything(self) -> None:
        """After each operation: what rows, exchange and leases say together."""
        world = self.world
        for row in world.store.rows.values():
            if row.status in MAYBE_SENT:
                must(row.purpose is not Purpose.ENTRY or row.reservation == HELD, 17, f"order {row.pk} is unproven and unreserved")
            if row.status is Status.ABSENT and row.reservation == RELEASED and row.inquiry is not None and row.inquiry.last_proof_at:
                age = (world.now() - row.inquiry.last_proof_at).total_seconds()
                must(age >= world.store.absent_hold_s, 17, f"what order {row.pk} reserved was released {age} s after its absence")
        holders = world.exchange.by_client_id
        must(all(len(orders) == 1 for orders in holders.values()), 1, "a client id has two orders")

    # --- After healing ---
    def healed(self) -> None:
        """Books, exchange and rows agree to the last decimal."""
        world = self.world
        for row in world.store.rows.values():
            must(row.status not in (Status.SUBMITTING, Status.UNKNOWN), 3, f"order {row.pk} is still {row.status} after healing")
            self._image(row)
            self._events(row)
        self._fills_and_money()
        self._nothing_new_in_old_news()
        keys = [(row.bot, row.decision_key) for row in world.store.rows.values()]
        must(len(keys) == len(set(keys)), 22, "one decision made two orders")

    def _nothing_new_in_old_news(self) -> None:
        """All that was ever told, doubled and shuffled, changes nothing any more."""
        world = self.world
        news = 2 * [told for order in world.exchange.orders.values() for _at, told in order.history]
        world.rng.shuffle(news)
        before = world.state()
        for told in news[:MOST_NEWS]:
            row = world.row_of(told.client_id or "")
            if row is not None:
                world.main.path.hear(row.pk, told)
        must(world.state() == before, 36, "old news changed orders, executions or positions")

    def _image(self, row: Row) -> None:
        truth = next(iter(self.world.exchange.by_client_id.get(row.request.client_id, ())), None)
        if truth is None:
            must(
                row.status in CLOSED or row.status in (Status.PLANNED, Status.DISPUTED),
                3,
                f"order {row.pk} is {row.status}, truth has none",
            )
            must(not row.fills, 4, f"order {row.pk} has executions of its own making")
            return
        must(row.status not in (Status.PLANNED, Status.ABSENT), 3, f"order {row.pk} is {row.status} and the exchange has it")
        must(bool(row.sends), 2, f"the exchange has order {row.pk}, which was never claimed")
        must(row.exchange_order_id in (None, truth.order_id), 3, f"order {row.pk} has another exchange id")
        must(set(row.fills) == {fill.exchange_trade_id for fill in truth.fills}, 4, f"order {row.pk} ({row.status}) lacks executions")
        asked, told = row.request.amount, sum((fill.amount for fill in row.fills.values()), ZERO)
        must(asked is None or told <= asked, 8, f"order {row.pk} filled {told} of {asked}")
        if row.status is Status.FILLED and asked is not None:
            must(told == asked, 3, f"order {row.pk} is filled with {told} of {asked}")
        if row.request.quote_amount is not None and row.fills and row.status in CLOSED and truth.status is CANCELLED:
            left = row.request.quote_amount - sum((fill.price * fill.amount for fill in row.fills.values()), ZERO)
            is_spent = left < min(fill.price for fill in row.fills.values()) * LOT
            must(not is_spent or row.status is Status.FILLED, 3, f"order {row.pk} spent its money and is {row.status}")

    def _events(self, row: Row) -> None:
        seqs = [event.seq for event in row.events]
        must(seqs == list(range(1, len(seqs) + 1)), 10, f"events of order {row.pk} have gaps")
        follows = all(event.before is before.after for before, event in pairwise(row.events))
        must(follows, 10, f"events of order {row.pk} do not follow each other")
        must(row.events[-1].after is row.status, 10, f"events of order {row.pk} end elsewhere")

    def _fills_and_money(self) -> None:
        world, store = self.world, self.world.store
        truth = [fill for order in world.exchange.orders.values() for fill in order.fills]
        must(set(store.trades) == {fill.exchange_trade_id for fill in truth}, 4, "our executions are not the exchange's")
        for symbol in world.exchange.prices:
            rows = [row for row in store.rows.values() if row.request.symbol == symbol]
            must(_base(rows) == world.exchange.base.get(symbol, ZERO), 6, f"our position in {symbol} is not the exchange's")
        must(_quote(store.rows.values()) == world.exchange.quote, 5, "our money is not the exchange's")
        for held in store.positions:
            took = [(row, fill) for row in store.rows.values() for key, fill in row.fills.items() if row.folded.get(key) is held]
            entered = sum((fill.price * fill.amount for row, fill in took if row.purpose is Purpose.ENTRY), ZERO)
            left = sum((fill.price * fill.amount for row, fill in took if row.purpose is not Purpose.ENTRY), ZERO)
            must((held.entered, held.left) == (entered, left), 7, f"profit of position {held.pk} is not that of its executions")


def _sizes(request: OrderRequest) -> tuple[object, ...]:
    return request.amount, request.quote_amount, request.price


def _at_stake(rows: Iterable[Row]) -> Decimal:
    """What open positions cost and what entries on their way may cost, told from orders alone."""
    rows = list(rows)
    waiting = sum((row.notional for row in rows if row.purpose is Purpose.ENTRY and row.status in (*MAYBE_SENT, *AT_WORK)), ZERO)
    open_positions = {held.pk: held for row in rows for held in row.folded.values() if held.is_open}
    return waiting + sum((held.entered for held in open_positions.values()), ZERO)


def _sign(row: Row) -> int:
    return 1 if row.request.side is Side.BUY else -1


def _base(rows: Iterable[Row]) -> Decimal:
    return sum((_sign(row) * fill.amount for row in rows for fill in row.fills.values()), ZERO)


def _quote(rows: Iterable[Row]) -> Decimal:
    return sum((-_sign(row) * fill.price * fill.amount - fill.fee for row in rows for fill in row.fills.values()), ZERO)
