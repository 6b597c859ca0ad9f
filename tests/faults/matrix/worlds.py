"""The rows a cell starts from: an account at one of four venues with money in it, a bot, and what it is about to do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psutil
from django.db import transaction
from django.db.models import QuerySet

from dgbot.accounts.models import User
from dgbot.base.machine import machine_now
from dgbot.core.interval import Interval
from dgbot.core.types import Candle, Mode, Purpose
from risk.models import VALIDATOR_RANGES, RiskProfile
from tests import factories
from tests.fakes.core.books import ladder
from tests.faults import invariants, truth
from tests.faults.matrix.lab import Lab, rows, wait_until
from tests.faults.truth import Truth
from trading.domain.lifecycle import CLOSED_VALUES, Status
from trading.exchanges.keys import ApiKey
from trading.models import (
    AccountBalance,
    AccountFee,
    Bot,
    BotConfig,
    BotStatus,
    Credential,
    Cycle,
    CycleStatus,
    ExchangeAccount,
    KeyStatus,
    KrwRate,
    Order,
    Position,
    SimulatedMarket,
)
from trading.services import config, credentials, orders
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

VENUES = ("upbit", "bitget", "paper", "simulated")
MODE = {"upbit": Mode.LIVE, "bitget": Mode.LIVE, "paper": Mode.PAPER, "simulated": Mode.SIMULATED}
EXCHANGE = {"upbit": "upbit", "bitget": "bitget", "paper": "upbit", "simulated": "simulated"}
SYMBOL = {"bitget": "ETH/USDT:USDT"}
KRW, USDT = Decimal(10_000_000), Decimal(10_000)
QUOTE_AMOUNT, AMOUNT = Decimal(50_000), Decimal("0.1")  # KRW; ETH
HISTORY = timedelta(hours=40)
LATE = factories.FIRST_OPEN + timedelta(days=30)  # of simulated markets: market time
PRICES = {"KRW-BTC": 100_000_000, "ETHUSDT": 3_000}

_numbers = count(1)


@dataclass
class World:
    """One account and its bot. name: of the account at a fake."""

    lab: Lab
    venue: str
    account: ExchangeAccount
    bot: Bot
    name: str

    @property
    def mode(self) -> Mode:
        """See ExchangeAccount."""
        return Mode(self.account.mode)

    def truth(self) -> Truth:
        """What really happened."""
        if self.venue == "upbit":
            return truth.of_upbit(self.lab.upbit, self.name)
        if self.venue == "bitget":
            return truth.of_bitget(self.lab.bitget, self.name)
        return truth.of_rows(rows, account_key(self.account), deposited={"KRW": KRW})

    def plan(self, kind: str) -> Order:
        """An entry; or an exit of what was bought before, planned here or by a guardian that finds its stop due."""
        if kind == "entry":
            return self.plan_entry()
        self.buy()
        if kind == "exit":
            return self.plan_exit()
        self.make_stop_due()
        guardian = self.lab.start("guardian")
        wait_until(self._exits().exists, f"the guardian's exit\n{self.lab.said()}")
        guardian.kill()
        return self._exits().get()

    def plan_entry(self) -> Order:
        """A market entry, as Execution plans it."""
        order = self._plan_entry(self.next_slot())
        Cycle.objects.filter(bot=self.bot).update(status=CycleStatus.FAILED)  # no runner is to go on with it
        return order

    def _plan_entry(self, now: datetime) -> Order:
        """A perpetual is sized in base."""
        if self.venue != "bitget":
            return factories.planned_entry(self.bot, slot=now, quote_amount=QUOTE_AMOUNT)
        with transaction.atomic():
            return orders.plan_entry(
                bot=self.bot,
                cycle=factories.cycle(self.bot, slot=now),
                amount=AMOUNT,
                notional=AMOUNT * PRICES["ETHUSDT"],
                plan=factories.PLAN,
                now=now,
                valid_until=None,
                lease_epoch=1,
            )

    def plan_exit(self) -> Order:
        """The sale of the whole position."""
        with transaction.atomic():
            return orders.plan_exit(position=self.position(), reason="signal", now=machine_now())

    def position(self) -> Position:
        """What the bot holds."""
        return Position.objects.open().select_related("bot").get(bot=self.bot)

    def is_flat(self) -> bool:
        """Whether the bot holds nothing."""
        return not Position.objects.open().filter(bot=self.bot, amount__gt=0).exists()

    def next_slot(self) -> datetime:
        """An instant of market time that no cycle has had."""
        return LATE + timedelta(seconds=next(_numbers) % 60) if self.mode.is_recorded else machine_now()

    def buy(self) -> None:
        """Hold a position, come to it by a gateway that nothing happens to."""
        self.plan_entry()
        gateway = self.lab.start("gateway")
        self.wait_for_quiet()
        gateway.kill()
        assert not self.is_flat(), f"nothing was bought\n{self.lab.said()}"

    def make_stop_due(self) -> None:
        """The stop is suddenly above the market."""
        position = self.position()
        assert position.entry_price is not None
        Position.objects.filter(pk=position.pk).update(stop_price=position.entry_price * 2, target_price=position.entry_price * 3)

    def wait_for_quiet(self) -> None:
        """Until every order has ended. The failure says where they are."""
        mine = Order.objects.filter(account=self.account)
        try:
            wait_until(lambda: mine.exists() and not mine.exclude(status__in=CLOSED_VALUES).exists(), "every order to end")
        except AssertionError as error:
            told = [
                *mine.values_list("pk", "purpose", "status", "error_message"),
                *rows("SELECT c.slot::text, c.outcome, r.stage, r.reasons FROM cycles c LEFT JOIN stage_results r ON r.cycle_id = c.id"),
            ]
            raise AssertionError(f"{error}: {told}\n{self.lab.said()}") from None

    def check(self, order: Order, *, wanted: Status | None) -> None:
        """The order is where it must be, and every invariant holds. wanted None: wherever the exchange has it."""
        truth, order = self.truth(), Order.objects.get(pk=order.pk)
        wrong = invariants.broken(rows, account=self.account.pk, truth=truth)
        if wanted is not None and order.status != wanted:
            wrong.append(f"order {order.pk} is {order.status} instead of {wanted}: {order.error_message}")
        count = sum(one.client_id == order.client_id for one in truth.orders)
        if wanted is not None and count != (wanted in (Status.FILLED, Status.CANCELLED)):
            wrong.append(f"the exchange has {count} orders of order {order.pk}, which is to be {wanted}")
        if wanted == Status.FILLED and order.purpose != Purpose.ENTRY and not self.is_flat():
            wrong.append("the position is still open")
        assert not wrong, "\n".join([*wrong, self.lab.said()])

    def _exits(self) -> QuerySet[Order]:
        return Order.objects.filter(bot=self.bot, purpose=Purpose.EXIT)


def make(lab: Lab, venue: str) -> World:
    """An account with money and a running bot that holds nothing."""
    _open_markets(lab)
    _switch_on()
    owner, _created = User.objects.get_or_create(username="matrix", defaults={"is_superuser": True})
    name = f"{venue}{next(_numbers)}"
    account = ExchangeAccount.objects.create(
        user=owner,
        name=name,
        mode=MODE[venue].value,
        exchange=EXCHANGE[venue],
        quote_currency="USDT" if venue == "bitget" else "KRW",
        simulated_market=_late_market(name) if venue == "simulated" else None,
    )
    MONEY[venue](lab, account, name)
    KrwRate.objects.create(currency="USDT", krw_per_unit=1400, source="matrix", known_at=machine_now(), recorded_at=machine_now())
    told = {"asset": account.quote_currency, "free": USDT if venue == "bitget" else KRW, "locked": 0}
    AccountBalance.objects.create(account=account, **told, known_at=machine_now(), recorded_at=machine_now())
    rate = Decimal("0.0006") if venue == "bitget" else Decimal("0.0005")
    rates = {"maker_rate": rate, "taker_rate": rate}  # the gateway has told them long before
    AccountFee.objects.create(account=account, symbol=SYMBOL.get(venue, "KRW-BTC"), **rates, recorded_at=machine_now())
    bot = Bot.objects.create(
        user=owner,
        account=account,
        mode=account.mode,
        name=f"bot of {name}",
        symbol=SYMBOL.get(venue, "KRW-BTC"),
        strategy="eager",
        filter_mode="off",
        allocation=USDT if venue == "bitget" else KRW,
        trade_amount=Decimal(500) if venue == "bitget" else QUOTE_AMOUNT,
        anchor_at=None if venue == "simulated" else machine_now().replace(minute=0, second=0, microsecond=0) - HISTORY,
        is_running=True,
        status=BotStatus.RUNNING,
    )
    return World(lab, venue, account, bot, name)


def change_key(world: World) -> None:
    """The key is replaced by another, at the exchange and here."""
    if world.venue == "upbit":
        world.lab.upbit.gatekeeper.keys = {name: key for name, key in world.lab.upbit.gatekeeper.keys.items() if key.account != world.name}
    else:
        account = next(one for one in world.lab.bitget.accounts.values() if one.name == world.name)
        del world.lab.bitget.accounts[account.key]
        account.key, account.secret = f"{account.key}x", f"{account.secret} anew"
        world.lab.bitget.accounts[account.key] = account
        _keep(ApiKey(account.key, account.secret, account.passphrase), account=world.account)
        return
    _keep(_upbit_key(world.lab, world.name, word="another"), account=world.account)


def has_stopped(pid: int) -> bool:
    """Whether a process was put to sleep by SIGSTOP."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def holder_of(account: ExchangeAccount) -> str:
    """Process id of the gateway that holds an account, or an empty text."""
    found = rows("SELECT holder FROM leases WHERE name = %s AND expires_at >= clock_timestamp()", f"gateway:{account.pk}")
    return str(found[0][0]).rpartition(":")[2] if found else ""


def candles(_symbol: str, interval: Interval, start: datetime, end: datetime) -> list[Candle]:
    """What the fake Upbit tells: hours that go up and down by turns."""
    price, found, opened_at = Decimal(PRICES["KRW-BTC"]), [], max(interval.open_of(start), machine_now() - 2 * HISTORY)
    opened_at = interval.open_of(opened_at)
    while opened_at < end:
        close = price + (100_000 if int(opened_at.timestamp()) // interval.seconds % 2 else 0)
        found.append(Candle(opened_at, price, price + 200_000, price - 200_000, close, Decimal(10)))
        opened_at += interval.length
    return found


def _late_market(name: str) -> SimulatedMarket:
    """A simulated market that has a past, and whose clock hardly moves while a cell runs."""
    past = LATE - factories.FIRST_OPEN
    return SimulatedMarket.objects.create(name=name, origin=factories.FIRST_OPEN, elapsed=past, speed=1, checkpoint_at=machine_now())


def _switch_on() -> None:
    """Trading is allowed, in both markets."""
    for key, value in (("bot_status", {"enabled": True}), ("target_symbols", {"symbols": ["KRW-BTC", "ETH/USDT:USDT"]})):
        if BotConfig.objects.get(key=key).value != value:
            config.change(key=key, value=value, by="matrix", reason="matrix")
    RiskProfile.objects.update(rsi_buy_limit=100, **dict.fromkeys(VALIDATOR_RANGES))  # whether a proposal is wise is no matter here


def _open_markets(lab: Lab) -> None:
    """Full books, whatever the last cell has taken."""
    if "KRW-BTC" not in lab.upbit.engine.markets:
        lab.upbit.open_market("KRW-BTC")
        lab.bitget.open_market("ETHUSDT")
    lab.upbit.engine.set_book("KRW-BTC", ladder(PRICES["KRW-BTC"], step=1000, amount="0.1"))
    lab.bitget.engine.set_book("ETHUSDT", ladder(PRICES["ETHUSDT"], step=Decimal("0.5"), amount=5))


def _fund_upbit(lab: Lab, account: ExchangeAccount, name: str) -> None:
    lab.upbit.engine.deposit(name, "KRW", KRW)
    _keep(_upbit_key(lab, name), account=account)


def _upbit_key(lab: Lab, name: str, *, word: str = "first") -> ApiKey:
    access, secret = f"access-{word}-{name}".ljust(40, "0"), f"secret-{word}-{name}".ljust(40, "0")
    lab.upbit.add_key(access, secret, account=name)
    return ApiKey(access, secret)


def _fund_bitget(lab: Lab, account: ExchangeAccount, name: str) -> None:
    made = lab.bitget.add_account(usdt=USDT, name=name, key=f"bg_{name}", secret=f"secret of {name}", passphrase="phrase")
    _keep(ApiKey(made.key, made.secret, made.passphrase), account=account)


def _fund_pretended(_lab: Lab, account: ExchangeAccount, _name: str) -> None:
    DatabaseVenueStore(account_key(account)).open(asset="KRW", amount=KRW)


def _keep(key: ApiKey, *, account: ExchangeAccount) -> None:
    credentials.keep(key, account=account, by="matrix")
    Credential.objects.filter(account=account).update(status=KeyStatus.VERIFIED, checked_at=machine_now(), can_withdraw=False)


MONEY: dict[str, Callable[[Lab, ExchangeAccount, str], Any]] = {
    "upbit": _fund_upbit,
    "bitget": _fund_bitget,
    "paper": _fund_pretended,
    "simulated": _fund_pretended,
}
