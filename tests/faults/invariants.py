"""What must hold of an account after everything has healed, whatever was killed. Numbers are those of the fault catalogue.

`broken` compares our rows with the truth of the exchange and gives a sentence for each rule that does not hold.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.faults.truth import Rows, Truth
from trading.domain.lifecycle import CLOSED, Actor, Status, is_legal

MOST_SENDS = 5
EXACT = Decimal("1e-18")  # below it our columns hold no digit
MODES = {"simulated": "S", "replay": "R", "paper": "P", "live": "L"}
ORDERS = """
SELECT id, client_id, purpose, side, status, amount, quote_amount, filled_amount, version, order_id, symbol, mode, bot_id, user_id,
    position_id, decision_key
FROM orders WHERE account_id = %s
"""


@dataclass(frozen=True)
class OrderRow:
    """An order as we have it."""

    pk: int
    client_id: str
    purpose: str
    side: str
    status: str
    amount: Decimal | None
    quote_amount: Decimal | None
    filled: Decimal
    version: int
    exchange_order_id: str | None
    symbol: str
    mode: str
    bot: int
    user: int
    position: int | None
    decision_key: str

    @property
    def is_entry(self) -> bool:
        """Whether it opens."""
        return self.purpose == "entry"

    @property
    def is_closed(self) -> bool:
        """Whether its life is over."""
        return Status(self.status) in CLOSED


@dataclass
class Books:
    """One account: ours and theirs."""

    rows: Rows
    account: int
    truth: Truth

    def __post_init__(self) -> None:
        self.orders = [OrderRow(*row) for row in self.rows(ORDERS, self.account)]
        self.trades = self.rows(
            "SELECT trade_id, order_pk, side, price, amount, fee, fee_currency, symbol, user_id FROM trades WHERE account_id = %s",
            self.account,
        )

    def of_orders(self, query: str) -> dict[int, list[tuple[Any, ...]]]:
        """Rows that hang on our orders, by order."""
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for pk, *rest in self.rows(query, self.account):
            found[pk].append(tuple(rest))
        return found


def broken(rows: Rows, *, account: int, truth: Truth, is_quiet: bool = True) -> list[str]:
    """Every rule that does not hold for an account; empty is what every run must end with.

    is_quiet: everything has healed and had its time, so nothing may be unclear any more.
    """
    books = Books(rows, account, truth)
    rules = [_identity, _sends, _fills, _positions, _money, _moves, _cycles, _reservations, _exits]
    told = [sentence for rule in rules for sentence in rule(books)]
    return told + (list(_states(books)) if is_quiet else [])


def _identity(books: Books) -> Iterator[str]:
    """1, 2, 26, 27, 29, 33: one order per client id, each of them ours and asked for so."""
    ours = {order.client_id: order for order in books.orders}
    for client_id, count in Counter(order.client_id for order in books.truth.orders).items():
        if client_id is not None and count > 1:
            yield f"1: the exchange has {count} orders of {client_id}"
    for true in books.truth.orders:
        order = ours.get(true.client_id or "")
        if order is None:
            if true.client_id is not None:
                yield f"2: the exchange has an order of {true.client_id}, we have none"
            continue
        asked, told = (order.symbol, order.side, order.amount, order.quote_amount), (true.symbol, true.side, true.amount, true.quote_amount)
        if asked != told and not (
            true.amount is not None and order.amount is not None and asked[:2] == told[:2] and true.amount < order.amount
        ):
            yield f"29: order {order.pk} asked for {asked}, the exchange was asked for {told}"
    for order in books.orders:
        if not order.client_id.startswith(MODES[order.mode]):
            yield f"26: order {order.pk} of mode {order.mode} has the client id {order.client_id}"


def _sends(books: Books) -> Iterator[str]:
    """2, 11, 12, 28: a send row is committed before a request arrives, an entry is sent once, nothing is sent that was not claimed."""
    sends = books.of_orders(
        "SELECT o.id, s.send_no, s.result, s.claimed_at FROM order_sends s JOIN orders o ON o.id = s.order_pk"
        " WHERE o.account_id = %s ORDER BY s.send_no"
    )
    for order in books.orders:
        made = sends[order.pk]
        maybe = [one for one in made if one[1] != "not_sent"]
        most = 1 if order.is_entry else MOST_SENDS
        if len(maybe) > most:
            yield f"12: order {order.pk} ({order.purpose}) may have been sent {len(maybe)} times, allowed {most}"
        if order.status in (Status.DENIED, Status.LAPSED) and maybe:
            yield f"11: order {order.pk} is {order.status} and may have been sent"
        arrived = books.truth.arrivals.get(order.client_id, [])
        if len(arrived) > len(maybe):
            yield f"28: {len(arrived)} requests arrived for order {order.pk}, {len(maybe)} sends may have left"
        if arrived and (not made or min(arrived) < made[0][2]):
            yield f"2: a request for order {order.pk} arrived before its send row was committed"


def _fills(books: Books) -> Iterator[str]:
    """4, 8, 27: our trades are the exchange's executions, each once, and none is more than its order asked for."""
    ours = Counter((row[0], row[2], row[3], row[4], row[6]) for row in books.trades)
    theirs = Counter((one.trade_id, one.side, one.price, one.amount, one.fee_currency) for one in books.truth.fills)
    for trade, count in (theirs - ours).items():
        yield f"4: the exchange tells trade {trade[0]} ({trade[1]} {trade[3]:f} at {trade[2]:f}), we lack {count} of it"
    for trade, count in (ours - theirs).items():
        yield f"4: we have trade {trade[0]} {count} times more than the exchange"
    fees = {one.trade_id: one.fee for one in books.truth.fills}
    for row in books.trades:
        if abs(row[5] - fees.get(row[0], row[5])) > EXACT:
            yield f"4: trade {row[0]} has the fee {row[5]}, the exchange took {fees[row[0]]}"
    for order in books.orders:
        mine = [row for row in books.trades if row[1] == order.pk]
        filled, spent = sum((row[4] for row in mine), Decimal(0)), sum((row[3] * row[4] for row in mine), Decimal(0))
        if filled != order.filled:
            yield f"8: order {order.pk} says {order.filled} filled, its trades say {filled}"
        if (order.amount is not None and filled > order.amount) or (order.quote_amount is not None and spent > order.quote_amount):
            yield f"8: order {order.pk} filled {filled} for {spent}, more than was asked for"
        if any(row[8] != order.user for row in mine):
            yield f"27: a trade of order {order.pk} belongs to another user"


def _positions(books: Books) -> Iterator[str]:
    """6, 20: what we hold is what our trades make of it and what the exchange holds."""
    held = dict(books.rows("SELECT symbol, sum(amount) FROM positions WHERE account_id = %s GROUP BY symbol", books.account))
    folded: dict[str, Decimal] = defaultdict(Decimal)
    for row in books.trades:
        folded[row[7]] += row[4] if row[2] == "buy" else -row[4]
    for symbol in {*held, *folded, *books.truth.held}:
        three = (held.get(symbol, Decimal(0)), folded[symbol], books.truth.held.get(symbol, Decimal(0)))
        if len(set(three)) > 1:
            yield f"6: of {symbol} our position says {three[0]}, our trades {three[1]}, the exchange {three[2]}"
    for pk, amount in books.rows("SELECT id, amount FROM positions WHERE account_id = %s AND amount < 0", books.account):
        yield f"20: position {pk} is {amount}"


def _money(books: Books) -> Iterator[str]:
    """5: what was paid in and our trades make the exchange's balance, to the last digit. For perpetuals where nothing is half closed."""
    quote: dict[str, Decimal] = defaultdict(Decimal)
    for row in books.trades:
        sign = 1 if row[2] == "buy" else -1
        is_perpetual = row[7].endswith(":USDT")
        quote[row[6]] -= row[5] + (0 if is_perpetual else sign * row[3] * row[4])
    for symbol in {row[7] for row in books.trades if row[7].endswith(":USDT")}:
        mine = [row for row in books.trades if row[7] == symbol]
        if sum((row[4] if row[2] == "buy" else -row[4] for row in mine), Decimal(0)) == 0:
            quote["USDT"] += sum((-row[3] * row[4] if row[2] == "buy" else row[3] * row[4] for row in mine), Decimal(0))
    for asset in quote:
        if abs(quote[asset] - books.truth.gained.get(asset, Decimal(0))) > EXACT:
            yield f"5: our trades changed {asset} by {quote[asset]}, the exchange's balance changed by {books.truth.gained.get(asset)}"


def _moves(books: Books) -> Iterator[str]:
    """10: every move is legal, numbered without a gap, and together they lead to where the order is."""
    events = books.of_orders(
        "SELECT o.id, e.seq, e.from_status, e.to_status, e.actor FROM order_events e JOIN orders o ON o.id = e.order_pk"
        " WHERE o.account_id = %s ORDER BY e.seq"
    )
    for order in books.orders:
        told, at = events[order.pk], ""
        if [one[0] for one in told] != list(range(1, order.version + 1)):
            yield f"10: the events of order {order.pk} in version {order.version} are {[one[0] for one in told]}"
        for _seq, before, after, actor in told:
            if before != at or not is_legal(Status(before) if before else None, Status(after), Actor(actor)):
                yield f"10: order {order.pk} went from {before or 'nothing'} to {after} by {actor} while it was {at or 'nothing'}"
            at = after
        if at != order.status:
            yield f"10: order {order.pk} is {order.status}, its events say {at}"


def _cycles(books: Books) -> Iterator[str]:
    """13: one cycle per slot, one decision per cycle, one entry per cycle, and a finished cycle has its four stages."""
    twice = {
        "slot": "SELECT bot_id, slot FROM cycles WHERE account_id = %s GROUP BY bot_id, slot HAVING count(*) > 1",
        "decision": "SELECT cycle_id FROM ai_decisions WHERE account_id = %s GROUP BY cycle_id HAVING count(*) > 1",
        "order": "SELECT bot_id, decision_key FROM orders WHERE account_id = %s GROUP BY bot_id, decision_key HAVING count(*) > 1",
    }
    for what, query in twice.items():
        for row in books.rows(query, books.account):
            yield f"13: {what} {row} exists twice"
    short = (
        "SELECT id FROM cycles c WHERE account_id = %s AND status = 'done'"
        " AND (SELECT count(*) FROM stage_results WHERE cycle_id = c.id) <> 4"
    )
    for (pk,) in books.rows(short, books.account):
        yield f"13: cycle {pk} is done without four stages"


def _reservations(books: Books) -> Iterator[str]:
    """17: what is reserved belongs to an entry that may still cost something, and every such entry has it."""
    status = dict(
        books.rows(
            "SELECT r.order_pk, r.status FROM reservations r JOIN orders o ON o.id = r.order_pk WHERE o.account_id = %s", books.account
        )
    )
    for order in books.orders:
        if not order.is_entry:
            if order.pk in status:
                yield f"17: exit {order.pk} has a reservation"
            continue
        found = status.get(order.pk)
        may_cost = not order.is_closed
        if may_cost and found != "held":
            yield f"17: order {order.pk} is {order.status} and its reservation is {found}"
        if order.is_closed and order.filled and found != "converted":
            yield f"17: order {order.pk} is {order.status} with {order.filled} filled and its reservation is {found}"
        # An absent one may keep it for a while longer: the order might yet appear.
        if order.is_closed and not order.filled and found not in (("released", "held") if order.status == Status.ABSENT else ("released",)):
            yield f"17: order {order.pk} is {order.status} without a fill and its reservation is {found}"


def _exits(books: Books) -> Iterator[str]:
    """20, 22: of the exits of one version of a position there is one, and a closed position has no exit waiting."""
    closed = {pk for (pk,) in books.rows("SELECT id FROM positions WHERE account_id = %s AND closed_at IS NOT NULL", books.account)}
    versions = Counter(order.decision_key for order in books.orders if not order.is_entry)
    for key, count in versions.items():
        if count > 1:
            yield f"22: {key} fired {count} orders"
    for order in books.orders:
        if not order.is_entry and order.position in closed and not order.is_closed:
            yield f"20: order {order.pk} still waits to sell position {order.position}, which is closed"


def _states(books: Books) -> Iterator[str]:
    """3, 32: nothing is unclear any more, and each order is where the exchange has it."""
    theirs = {order.client_id: order for order in books.truth.orders}
    for order in books.orders:
        true = theirs.get(order.client_id)
        if order.status in (Status.SUBMITTING, Status.UNKNOWN):
            yield f"3: order {order.pk} is still {order.status}"
        elif true is not None and order.status != true.status:
            yield f"3: order {order.pk} is {order.status}, at the exchange it is {true.status}"
        elif true is None and order.status in (Status.OPEN, Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED, Status.EXPIRED):
            yield f"3: order {order.pk} is {order.status}, and the exchange never had it"
