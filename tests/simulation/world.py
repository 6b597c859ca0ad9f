"""One seeded run: a strategy that wants, an exchange that acts, a nemesis that breaks things, and gateways in between.

Everything is decided by one random generator, in one thread; a paused process is a nested call in which others go on.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import heappop, heappush
from random import Random
from typing import Any

from dgbot.core.errors import CredentialsRefused
from dgbot.core.types import Mode, OrderRequest, OrderType, Purpose, Side
from tests.scale import scale
from tests.simulation.exchange import BITGET, LOT, UPBIT, TruthExchange
from tests.simulation.memory import MemoryStore, Row
from tests.simulation.violations import LIVENESS_S, Watch
from tests.simulation.wire import READ_FAULTS, WRITE_FAULTS, Wire
from trading.domain.lifecycle import CLOSED, Status
from trading.domain.order_path.ports import CannotBook
from trading.domain.order_path.procedure import OrderPath
from trading.domain.order_path.values import Change, OrderFacts, Tenure, Waits

OPERATIONS, LEAST_FAULTS = scale(sample=200, full=300), 5
ACCOUNT, LEASE = 1, "gateway:1"
LEASE_S, ABSENT_HOLD_S = 30.0, 900.0
START = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = Decimal(60)
WAITS = Waits(
    entry_permit_s=0.8,
    exit_permit_s=3.0,
    submit_timeout_s=10.0,
    abandoned_after_s=40.0,
    visible_within_s=60.0,
    dispute_after_s=900.0,
    cancel_again_s=5.0,
)


class Died(BaseException):
    """A process ends here: nothing of ours may catch it, as nothing catches SIGKILL."""


class DatabaseGone(Exception):
    """PostgreSQL does not answer; what it did with the last commit is unknown."""


class StoreOfProcess:
    """The store as one process reaches it: before and after each transaction something may happen."""

    def __init__(self, store: MemoryStore, process: "Process") -> None:
        self.store, self.process = store, process
        self.read, self.unsettled = store.read, store.unsettled

    def claim(self, order_pk: int, **named: Any) -> tuple[OrderFacts, Change] | None:
        """See Store."""
        return self._committed(self.store.claim, order_pk, **named)

    def change(self, order_pk: int, **named: Any) -> tuple[OrderFacts, Change] | None:
        """See Store."""
        return self._committed(self.store.change, order_pk, **named)

    def holds(self, tenure: Tenure) -> bool:
        """See Store."""
        self.process.touch("holds")
        return self.store.holds(tenure)

    def release_absent(self, account_id: int, *, tenure: Tenure) -> int:
        """See Store."""
        return self.store.release_absent(account_id, tenure=tenure)

    def _committed(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.process.touch("transaction")
        done = method(*arguments, **named)
        self.process.touch("committed")
        return done


class WallClock:
    """A process's own clock, which jumps."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def now(self) -> datetime:
        """Its idea of the time."""
        return self.world.now() + timedelta(seconds=self.world.wall_offset_s)


class Process:
    """A gateway."""

    def __init__(self, world: "World", tenure: Tenure) -> None:
        self.world, self.tenure, self.is_alive, self.is_busy = world, tenure, True, False
        self.path = OrderPath(
            store=StoreOfProcess(world.store, self),
            market=Wire(world, self),
            clock=WallClock(world),
            monotonic=lambda: world.seconds,
            tenure=tenure,
            waits=WAITS,
            mark=self.touch,
        )

    def touch(self, place: str) -> None:
        """A place where this process may die, be stopped, or lose its database."""
        self.world.at_yield_point(self, place)

    def act(self, work: Callable[[], object]) -> None:
        """Work until done or dead. What goes wrong in one turn is tried again in the next."""
        if not self.is_alive or self.is_busy:
            return
        self.is_busy = True
        try:
            work()
        except Died:
            self.is_alive = False
        except (DatabaseGone, CannotBook):
            pass
        finally:
            self.is_busy = False


class World:
    """A run of one seed. Raises Violation from wherever an invariant breaks."""

    def __init__(self, seed: int, *, tell: Callable[[str], object] | None = None) -> None:
        self.seed, self.rng, self.tell = seed, Random(seed), tell
        self.waits = WAITS
        self.seconds, self.wall_offset_s, self.nonce, self.depth = 0.0, 0.0, 0, 0
        self.digest = hashlib.sha256()
        self.faults: Counter[str] = Counter()
        self.transitions: Counter[tuple[str, str]] = Counter()
        self.cells: Counter[tuple[str, str]] = Counter()  # (state, fault)
        dialect = BITGET if seed % 2 else UPBIT
        self.exchange = TruthExchange(dialect, rng=self.rng, now=self.now)
        self.exchange.prices = {symbol: Decimal(100) for symbol in ("A", "B")}
        self.store = MemoryStore(mode=Mode.LIVE, machine_now=self.now, absent_hold_s=ABSENT_HOLD_S, limit=LIMIT)
        self.symbols = {1: "A", 2: "B", 3: "B" if dialect is UPBIT else "A"}  # an Upbit account is shared by bots
        if dialect is BITGET:
            del self.symbols[3]
        self.watch = Watch(self)
        self.store.on_commit = self.watch.committed
        self.exchange.on_arrival = self.watch.arrived
        self.held: list[tuple[float, int, Callable[[], object]]] = []
        self.entries_forbidden_since: datetime | None = None
        self.writes_forbidden_since: datetime | None = None
        self.storm = 1.0  # how much likelier than usual a request or an answer is spoiled
        self.rounds: Counter[str] = Counter()  # whole rounds that found nothing since the last send, by client id
        self.rows_by_client_id: dict[str, Row] = {}
        self.until_fault = self._next_fault()
        self.last_repeat_at = 0.0  # when the latest request left
        self.is_healed = False
        self.processes: list[Process] = []
        self.main = self._start()
        self.operations = 0

    # --- The run ---
    def run(self, operations: int = OPERATIONS) -> str:
        """All of it. Returns the hash of the event log."""
        while self.operations < operations or self.faults.total() < LEAST_FAULTS:
            self.operate()
            self.operations += 1
            self.watch.everything()
        self.heal()
        self.watch.healed()
        return self.digest.hexdigest()

    def operate(self) -> None:
        """One operation of somebody."""
        draw = self.rng.random()
        for limit, work in OPERATIONS_BY_WEIGHT:
            if draw < limit:
                work(self)
                return

    def heal(self) -> None:
        """Everything works again; after 180 s nothing may be open that the exchange has settled."""
        self.note("heal")
        self.store.kill_level, self.entries_forbidden_since, self.writes_forbidden_since = 1, self.now(), None
        self.is_healed = True
        self.until_fault = 1 << 60
        self.exchange.is_offline, self.exchange.lag_s, self.wall_offset_s = False, {}, 0.0
        if not self.main.is_alive or not self.store.holds(self.main.tenure):
            self._replace_main()
        while self.held:
            self.advance(max(0.0, self.held[0][0] - self.seconds))
        self.exchange.finish()
        self.sweep()
        healed_at = self.seconds
        while self.seconds < max(healed_at, self.last_repeat_at) + LIVENESS_S:
            self.advance(self.rng.choice((1, 2)))
            self._renew()
            self.main.act(lambda: self.main.path.settle_and_send(ACCOUNT))
            self.exchange.finish()
            if not any(row.status not in CLOSED and row.status is not Status.DISPUTED for row in self.store.rows.values()):
                break
        self.sweep()
        self.main.act(lambda: self.main.path.settle_and_send(ACCOUNT))
        self.sweep()

    # --- Strategy and operator ---
    def plan_entry(self) -> None:
        """A bot wants to open, at the market or at a price."""
        bot = self.rng.choice(list(self.symbols))
        symbol, price = self.symbols[bot], self.exchange.prices[self.symbols[bot]]
        is_limit = self.rng.random() < 0.35
        held = next((held for held in self.store.positions if held.is_open and held.bot == bot), None)
        side = self._side_of(bot) if held is not None or not self.exchange.dialect.has_shorts else self.rng.choice(list(Side))
        sizes: dict[str, Any] = {"amount": LOT * self.rng.randint(2, 40)}
        if self.exchange.dialect.buys_in_quote and not is_limit:
            sizes = {"quote_amount": Decimal(self.rng.randint(5, 400)) / 10}
        if is_limit:
            sizes["price"] = price + self.rng.randint(-3, 3)
        self._plan(bot, f"slot:{self.seconds}", symbol, side, Purpose.ENTRY, sizes, valid_s=self.rng.choice((5.0, 60.0)))

    def plan_exit(self) -> None:
        """Cycle, guardian and operator want a position closed; together they make one order."""
        held = [held for held in self.store.positions if held.is_open and held.amount > 0]
        if not held:
            return
        position = self.rng.choice(held)
        side = Side.SELL if self._side_of(position.bot) is Side.BUY else Side.BUY
        amount = position.amount if self.rng.random() < 0.8 or position.amount < 2 * LOT else (position.amount / 2) // LOT * LOT
        sizes: dict[str, Any] = {"amount": amount}
        if self.rng.random() < 0.2:
            sizes["price"] = self.exchange.prices[position.symbol] + self.rng.randint(-2, 2)
        key = f"exit:{position.pk}:{position.exit_version}"
        for _ in range(self.rng.randint(1, 2)):
            self._plan(position.bot, key, position.symbol, side, Purpose.EXIT, sizes, position=position)

    def wish_cancel(self) -> None:
        """Somebody wants an order cancelled."""
        rows = [row for row in self.store.rows.values() if row.status not in CLOSED]
        if rows:
            self.main.act(lambda: self.main.path.wish_cancel(self.rng.choice(rows).pk, reason="simulated"))

    def switch(self) -> None:
        """The kill switch goes up or down."""
        self.store.kill_level = level = self.rng.choice((0, 0, 0, 1, 3, 4))
        self.entries_forbidden_since = (self.entries_forbidden_since or self.now()) if level >= 1 else None
        self.writes_forbidden_since = (self.writes_forbidden_since or self.now()) if level >= 4 else None
        self.note("kill", level)

    # --- Gateways ---
    def turn(self) -> None:
        """The gateway's turn; a dead or superseded one is replaced first."""
        self._renew()
        is_hurried = self.rng.random() < 0.1
        self.main.act(lambda: self.main.path.settle_and_send(ACCOUNT, is_hurried=is_hurried))
        self.main.act(lambda: self.store.release_absent(ACCOUNT, tenure=self.main.tenure))
        self.advance(self.rng.choice((0.1, 0.5, 1.0)))

    def zombie_turn(self) -> None:
        """A gateway that lost its account does not know it yet."""
        old = [process for process in self.processes if process is not self.main and process.is_alive]
        if old:
            process = self.rng.choice(old)
            process.act(lambda: process.path.settle_and_send(ACCOUNT))

    def sweep(self) -> None:
        """Lists and feeds tell of orders: old news and new, in any order, more than once."""
        orders = list(self.exchange.orders.values())
        if not self.is_healed:
            orders = self.rng.sample(orders, min(len(orders), 4))
        for order in orders:
            told = order.history[-1][1] if self.is_healed else self.rng.choice(order.history)[1]
            row = self.row_of(order.request.client_id)
            if row is not None:
                self.main.act(lambda row=row, told=told: self.main.path.hear(row.pk, told))

    def takeover(self) -> None:
        """Another gateway takes the account once the lease has run out."""
        self.advance(LEASE_S + 1)
        self._replace_main()

    # --- Nemesis ---
    def pass_time(self) -> None:
        """Time passes."""
        self.advance(self.rng.choice((0.2, 1.0, 1.0, 3.0, 3.0, 10.0, 10.0, 35.0, 35.0, 100.0, 950.0)))

    def lag(self) -> None:
        """Endpoints fall behind, each for itself, or catch up."""
        self._count("read lag")
        self.exchange.lag_s = {endpoint: self.rng.choice((0, 0.1, 2.0, 10.0, 30.0)) for endpoint in ("order", "open", "closed", "fills")}

    def weather(self) -> None:
        """Faults come in storms."""
        self.storm = self.rng.choice((0.2, 1.0, 1.0, 3.0, 6.0))

    def maintenance(self) -> None:
        """The exchange closes or opens."""
        self.exchange.is_offline = not self.exchange.is_offline
        if self.exchange.is_offline:
            self._count("maintenance")

    def jump(self) -> None:
        """Processes' clocks jump; PostgreSQL's is the reference."""
        self._count("clock jump")
        self.wall_offset_s = self.rng.choice((0.0, 1.0, -1.0, 31.0, -300.0, 3600.0, -3600.0))

    def at_yield_point(self, process: Process, place: str) -> None:
        """A process passes a place where it may die, stop for a while, or lose its database."""
        self.until_fault -= 1
        if self.until_fault > 0:
            return
        self.until_fault = self._next_fault()
        draw = self.rng.random()
        if draw < 0.4:
            self._count(f"crash at {place}")
            raise Died
        if draw < 0.6 and place in ("transaction", "committed", "holds"):
            self._count("commit unknown" if place == "committed" else "database gone")
            raise DatabaseGone
        if self.depth == 0:
            self._pause(process)

    def write_fault(self, request: OrderRequest | None = None) -> str:
        """What befalls a write. request: None for a cancel."""
        if request is not None and request.price is not None and not request.reduce_only and self.rng.random() < 0.1:
            return self._fault(("held_long",), 1.0)  # an order that rests when it comes back
        return self._fault(WRITE_FAULTS, 0.3)

    def read_fault(self) -> str:
        """What befalls a question."""
        return self._fault(READ_FAULTS, 0.15)

    def hold(self, deliver: Callable[[], object], *, seconds: float) -> None:
        """Deliver a request later; nobody waits for its answer."""
        heappush(self.held, (self.seconds + seconds, self.nonce, deliver))

    def hold_s(self, request: OrderRequest, *, is_long: bool) -> float:
        """For how long. Longer than D only for entries: see decision 0027 on exits that come back."""
        if is_long and not request.reduce_only:
            return self.rng.choice((60.0, 130.0, 300.0, 600.0, 600.0))
        return self.rng.uniform(0.1, WAITS.abandoned_after_s - 5)

    # --- Time ---
    def now(self) -> datetime:
        """The reference clock: PostgreSQL's and the exchange's."""
        return START + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass; what was held arrives in its order, and the engine works."""
        until = self.seconds + seconds
        while self.held and self.held[0][0] <= until:
            at, _number, deliver = heappop(self.held)
            self.seconds = max(self.seconds, at)
            try:
                deliver()
            except Exception as error:
                self.note("late", type(error).__name__)
        self.seconds = until
        self.exchange.tick()

    # --- For wire and watch ---
    def permit_s(self, request: OrderRequest) -> float:
        """Within what the adapter writes."""
        return self.waits.exit_permit_s if request.reduce_only else self.waits.entry_permit_s

    def saw_bytes(self, request: OrderRequest, process: Process) -> None:
        """A request has left."""
        self.note("bytes", request.client_id)
        self.rounds[request.client_id] = 0
        self.last_repeat_at = self.seconds
        self.watch.bytes_left(request, process)

    def key_refusal(self) -> Exception:
        """The exchange does not know our key."""
        return CredentialsRefused("401 invalid_access_key")

    def row_of(self, client_id: str) -> Row | None:
        """Our order of a client id."""
        return self.rows_by_client_id.get(client_id)

    def state(self) -> list[tuple[object, ...]]:
        """Orders and positions, in brief."""
        rows = [(row.pk, row.status, row.filled, len(row.fills), row.reservation) for row in self.store.rows.values()]
        return [*rows, *((held.pk, held.amount, held.entered, held.left, held.fees) for held in self.store.positions)]

    def note(self, *words: object) -> None:
        """One line of the event log."""
        line = f"{self.seconds:.3f} {words}\n"
        self.digest.update(line.encode())
        if self.tell is not None:
            self.tell(line)

    # --- Inside ---
    def _fault(self, kinds: tuple[str, ...], probability: float) -> str:
        if self.is_healed or self.rng.random() >= probability * self.storm:
            return ""
        kind = self.rng.choice(kinds)
        self._count(kind)
        return kind

    def _count(self, fault: str) -> None:
        self.faults[fault] += 1
        self.note("fault", fault)
        for row in self.store.rows.values():
            if row.status not in CLOSED:
                self.cells[row.status.value, fault] += 1

    def _next_fault(self) -> int:
        return self.rng.randint(15, 90)

    def _pause(self, process: Process) -> None:
        """SIGSTOP, others go on, SIGCONT."""
        self._count("pause")
        self.depth += 1
        self.advance(self.rng.choice((0.5, 2.0, 5.0, 45.0, 200.0)))
        if process is self.main and not self.store.holds(process.tenure):
            self._count("takeover of a stopped gateway")
            self._replace_main()
            self.until_fault = self.rng.randint(5, 40)  # misfortunes come together
            for _ in range(self.rng.randint(1, 10)):
                self.rng.choice((World.turn, World.turn, World.turn, World.plan_exit, World.plan_entry, World.pass_time))(self)
                if not self.main.is_alive and self.rng.random() < 0.7:
                    break  # the successor died in the middle of something, and the stopped one wakes up
        self.depth -= 1

    def _start(self) -> Process:
        holder = f"gateway{len(self.processes) + 1}"
        last = self.processes[-1] if self.processes else None
        is_dead = last is not None and not last.is_alive
        tenure = self.store.take_lease(LEASE, holder=holder, seconds=LEASE_S, is_holder_dead=is_dead)
        if tenure is None:
            self.advance(LEASE_S + 1)
            tenure = self.store.take_lease(LEASE, holder=holder, seconds=LEASE_S)
        assert tenure is not None
        process = Process(self, tenure)
        self.processes.append(process)
        self.note("gateway", tenure.epoch)
        return process

    def _replace_main(self) -> None:
        self.main = self._start()

    def _renew(self) -> None:
        if self.main.is_alive and self.store.holds(self.main.tenure):
            self.store.take_lease(LEASE, holder=self.main.tenure.holder, seconds=LEASE_S)
        else:
            self._replace_main()

    def _side_of(self, bot: int) -> Side:
        """Which way a bot's position goes, told by its last entry that may have opened it."""
        entries = [row for row in self.store.rows.values() if row.bot == bot and row.purpose is Purpose.ENTRY and row.fills]
        return entries[-1].request.side if entries else Side.BUY

    def _plan(
        self,
        bot: int,
        key: str,
        symbol: str,
        side: Side,
        purpose: Purpose,
        sizes: dict[str, Any],
        *,
        position: Any = None,
        valid_s: float = 0,
    ) -> None:
        number = len(self.store.rows) + 1
        request = OrderRequest(
            client_id=f"L{number:030d}",
            symbol=symbol,
            side=side,
            order_type=OrderType.LIMIT if "price" in sizes else OrderType.MARKET,
            reduce_only=purpose is not Purpose.ENTRY,
            **sizes,
        )
        money = sizes.get("quote_amount") or sizes["amount"] * self.exchange.prices[symbol] * 2
        row = self.store.plan(
            bot=bot,
            key=key,
            request=request,
            purpose=purpose,
            position=position,
            valid_until=self.now() + timedelta(seconds=valid_s) if valid_s else None,
            notional=money if purpose is Purpose.ENTRY else Decimal(0),
        )
        if row is not None:
            self.rows_by_client_id[request.client_id] = row
            self.note("planned", row.pk, key)


def _cumulative(*weighted: tuple[float, Callable[[World], None]]) -> tuple[tuple[float, Callable[[World], None]], ...]:
    total, so_far, table = sum(weight for weight, _work in weighted), 0.0, []
    for weight, work in weighted:
        so_far += weight
        table.append((so_far / total if len(table) < len(weighted) - 1 else 1.1, work))
    return tuple(table)


OPERATIONS_BY_WEIGHT = _cumulative(
    (40, World.turn),
    (14, World.plan_entry),
    (10, World.plan_exit),
    (6, World.wish_cancel),
    (12, World.pass_time),
    (8, World.sweep),
    (2, World.lag),
    (1, World.maintenance),
    (2, World.weather),
    (1, World.jump),
    (2, World.switch),
    (2, World.takeover),
    (3, World.zombie_turn),
)
