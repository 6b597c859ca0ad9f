"""Rows and venues for tests: each call says only what matters to its test. Everything behind a venue is the real code."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import numpy as np
from django.db import connection, connections, transaction

from backtests.candles.series import Candles
from backtests.strategies.base import NO, YES, Signals, Strategy
from backtests.strategies.exits import ExitParameters
from dgbot.accounts.models import User
from dgbot.core.clock import SteppedClock
from dgbot.core.types import Mode
from risk.seeds import create_profiles
from tests.candle_factory import make_candles
from trading.exchanges.pretend import PretendExchange
from trading.exchanges.replay import ReplayQuotes
from trading.exchanges.venue import Venue
from trading.models import Bot, BotStatus, Cycle, ExchangeAccount, Order, Position, SimulatedMarket
from trading.models.accounts import ExchangeName
from trading.services import config, gateway, orders
from trading.services.gateway import Tenure
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import KRW_FEES, account_key

D = Decimal
SYMBOL = "KRW-BTC"
PRICE = D(100_000_000)  # KRW
CASH = D(1_000_000)  # KRW
AMOUNT = D(50_000)  # KRW, one entry
HELD = D("0.0005")  # BTC, what it buys
PLAN = {"stop_fraction": "0.05", "target_fraction": "0.1"}
BARS = 60  # closed candles before the first slot
FIRST_OPEN = datetime(2026, 1, 1, tzinfo=UTC)
SLOT = FIRST_OPEN + timedelta(hours=BARS)
WAIT_S = 20.0  # how long a thread may wait for another before its test fails

_numbers = count(1)


def user(name: str = "") -> User:
    """Somebody."""
    return User.objects.create_user(name or f"owner{next(_numbers)}")


def simulated_market(*, speed: int = 3600, checkpoint_at: datetime = FIRST_OPEN) -> SimulatedMarket:
    """A seeded market whose clock starts at FIRST_OPEN."""
    return SimulatedMarket.objects.create(
        name=f"market{next(_numbers)}", origin=FIRST_OPEN, elapsed=timedelta(0), speed=speed, checkpoint_at=checkpoint_at
    )


def account(*, owner: User | None = None, mode: Mode = Mode.REPLAY) -> ExchangeAccount:
    """An account in KRW."""
    is_simulated = mode is Mode.SIMULATED
    return ExchangeAccount.objects.create(
        user=owner or user(),
        name=f"account{next(_numbers)}",
        mode=mode.value,
        exchange=ExchangeName.SIMULATED if is_simulated else ExchangeName.UPBIT,
        simulated_market=simulated_market() if is_simulated else None,
    )


def bot(*, home: ExchangeAccount | None = None, mode: Mode = Mode.REPLAY, **columns: Any) -> Bot:
    """A running bot, on KRW-BTC and with all of CASH as its allocation unless said otherwise."""
    home = home or account(mode=mode)
    given: dict[str, Any] = {"strategy": "volatility_breakout", "symbol": SYMBOL, "allocation": CASH, "trade_amount": AMOUNT}
    given |= {"filter_mode": "off", **columns}
    return Bot.objects.create(
        user=home.user,
        account=home,
        mode=home.mode,
        name=f"bot{next(_numbers)}",
        is_running=True,
        status=BotStatus.RUNNING,
        **given,
    )


def cycle(of: Bot, *, slot: datetime = SLOT) -> Cycle:
    """A cycle at work."""
    return Cycle.objects.create(bot=of, account=of.account, user=of.user, mode=of.mode, slot=slot, runner="test")


def planned_entry(
    of: Bot,
    *,
    slot: datetime = SLOT,
    quote_amount: Decimal = AMOUNT,
    valid_until: datetime | None = None,
    plan: dict[str, Any] | None = None,
) -> Order:
    """An entry as Execution plans it."""
    with transaction.atomic():
        return orders.plan_entry(
            bot=of,
            cycle=cycle(of, slot=slot),
            quote_amount=quote_amount,
            notional=quote_amount * (1 + KRW_FEES.taker_rate),
            plan=plan or PLAN,
            now=slot,
            valid_until=valid_until,
            lease_epoch=1,
        )


def planned_exit(of: Position, *, reason: str = "stop", now: datetime = SLOT) -> Order:
    """An exit as cycle and guardian plan it."""
    with transaction.atomic():
        return orders.plan_exit(position=Position.objects.select_related("bot").get(pk=of.pk), reason=reason, now=now)


def position(of: Bot, *, amount: Decimal = HELD, price: Decimal = PRICE) -> Position:
    """An open position bought at `price`, with stop and target of the plan, and no trades behind it."""
    return Position.objects.create(
        bot=of,
        account=of.account,
        user=of.user,
        mode=of.mode,
        symbol=of.symbol,
        amount=amount,
        bought_amount=amount,
        bought_total=price * amount,
        stop_price=price * D("0.95"),
        target_price=price * D("1.1"),
        plan=PLAN,
        opened_at=SLOT,
    )


def choppy(bars: int = BARS, *, price: float = float(PRICE)) -> Candles:
    """Closes that go up and down by turns: RSI near 50."""
    return make_candles(price * (1 + 0.002 * (np.arange(bars) % 2)), start=FIRST_OPEN)


def rising(bars: int = BARS, *, price: float = float(PRICE)) -> Candles:
    """Closes that only rise: RSI is 100."""
    return make_candles(price * (1 + 0.001 * np.arange(bars)), start=FIRST_OPEN)


@dataclass
class Edge:
    """The wire to an exchange: every call passes through; `before` and `after` a named one something may go wrong."""

    inner: Any
    before: dict[str, Callable[..., None]] = field(default_factory=dict)
    after: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if name not in self.before and name not in self.after:
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            self.before.get(name, lambda *_, **__: None)(*arguments, **named)
            return self.after.get(name, lambda answer: answer)(member(*arguments, **named))

        return call


class Died(BaseException):
    """The process ends here: nothing of ours may catch it, as nothing catches SIGKILL."""


def dies(*_: Any, **__: Any) -> None:
    """The moment of death."""
    raise Died


@dataclass
class World:
    """A bot, the exchange it trades at through a wire, and a gateway that may send for it."""

    bot: Bot
    quotes: ReplayQuotes
    clock: SteppedClock
    edge: Edge
    venue: Venue
    tenure: Tenure

    @property
    def store(self) -> DatabaseVenueStore:
        """What the exchange remembers."""
        return DatabaseVenueStore(account_key(self.bot.account))

    def gateway_step(self) -> list[int]:
        """One turn of this gateway."""
        return gateway.step(account_id=self.bot.account_id, venue=self.venue, tenure=self.tenure)

    def fill(self, order: Order) -> Order:
        """Let the gateway work until the order is where it ends."""
        self.gateway_step()
        order.refresh_from_db()
        return order

    def wait_out_the_send(self) -> None:
        """As if the permits had run out and the time-out had passed: a successor with a higher epoch."""
        self.tenure = successor(self.tenure)


def world(
    *, mode: Mode = Mode.REPLAY, candles: Candles | None = None, price: Decimal | None = PRICE, cash: Decimal = CASH, **bot_columns: Any
) -> World:
    """A venue that stands at SLOT, cash in its account, and balances known to us."""
    create_profiles()
    config.create_missing({} if mode.is_recorded else {"bot_status": {"enabled": True}})
    made = bot(mode=mode, **bot_columns)
    clock = SteppedClock(SLOT)
    quotes = ReplayQuotes(recording=candles or choppy(), clock=clock, price=price)
    store = DatabaseVenueStore(account_key(made.account))
    store.open(asset="KRW", amount=cash)
    edge = Edge(PretendExchange(quotes=quotes, store=store, clock=clock, fee_rates=KRW_FEES))
    venue = Venue(mode=mode, clock=clock, exchange=edge, history=quotes)  # type: ignore[arg-type]
    tenure = gateway.take_account(made.account_id)
    assert tenure is not None
    made_world = World(bot=made, quotes=quotes, clock=clock, edge=edge, venue=venue, tenure=tenure)
    made_world.gateway_step()
    return made_world


def successor(tenure: Tenure) -> Tenure:
    """Another gateway that took the account over after the lease had run out."""
    execute("UPDATE leases SET expires_at = '-infinity' WHERE name = %s", tenure.name)
    taken = gateway.take_account(int(tenure.name.partition(":")[2]))
    assert taken is not None and taken.epoch > tenure.epoch
    return replace(taken, holder="another:1")


def eager_strategy(*, entry: int = YES, on_signals: Callable[[], None] = lambda: None) -> Strategy[ExitParameters]:
    """A strategy that proposes a buy at every close (or never); `on_signals` is called each time it is asked."""

    def signals(candles: Candles, _parameters: ExitParameters) -> Signals:
        on_signals()
        near = np.full(len(candles), 1_000_000.0)
        return Signals(
            entry=np.full(len(candles), entry, dtype=np.int8),
            stop_distance=2 * near,
            target_distance=3 * near,
            fakeout_distance=near,
            strength=np.full(len(candles), 30.0),
            gates={"eager": np.full(len(candles), YES if entry == YES else NO, dtype=np.int8)},
        )

    return Strategy(
        name="eager",
        title="Eager",
        description="Buys at every close.",
        parameters=ExitParameters,
        warm_up=lambda _parameters: 1,
        look_back=lambda _parameters: 1,
        signals=signals,
        exit_rules=ExitParameters.exit_rules,
    )


def execute(sql: str, *values: Any) -> None:
    """One statement on the default connection."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query answers."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


@contextmanager
def triggers_off() -> Iterator[None]:
    """Write as only a superuser with bad intentions can: past triggers and foreign keys, CHECKs still hold."""
    execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        execute("SET session_replication_role = DEFAULT")


class Thread(threading.Thread):
    """A thread with its own connections, closed at its end; `join_or_fail` passes on what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work, self.answer, self.error = work, None, None
        self.start()

    def run(self) -> None:
        """Do the work."""
        try:
            self.answer = self.work()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def join_or_fail(self) -> Any:
        """What the work returned; raises what it raised."""
        self.join(WAIT_S)
        assert not self.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.answer


def wait_for_lock(table: str) -> None:
    """Until somebody waits for a lock on `table`."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    until = time.monotonic() + WAIT_S
    while not rows(waiting, table):
        assert time.monotonic() < until, f"nobody waits for {table}"
        time.sleep(0.01)


def wait_for_row_lock() -> None:
    """Until somebody waits for a transaction of another connection to end."""
    until = time.monotonic() + WAIT_S
    while not rows("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"):
        assert time.monotonic() < until, "nobody waits for a row"
        time.sleep(0.01)


def dies_loudly(*_: Any, **__: Any) -> None:
    """A bug in the middle of something, with its arguments in the traceback's frames."""
    raise RuntimeError("something broke")
