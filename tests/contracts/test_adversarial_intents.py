"""Intents that want too much, through the whole path: Execution, the claim in the gateway, the signed call, a fake exchange's socket.

An adversary chooses limits, settings, sizes, plans and books at random, plans orders past Execution, and tightens limits between plan
and claim. Whatever reaches the fake is held against a plain reading of every limit, made right before it could have been sent.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import F

from dgbot.core.clock import SystemClock
from dgbot.core.errors import DgbotError
from dgbot.core.types import Level, Mode, OrderBook, Side
from risk import services as risk
from risk.domain.sizing import SizingMode
from risk.models import AccountLimits, BotLimits, KillSwitch, RiskProfile, RiskState
from risk.seeds import create_profiles
from tests import factories
from tests.fakes.core.books import MovingBook
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from tests.scale import scale
from trading.domain.stages import Collected
from trading.exchanges import upbit
from trading.exchanges.bounded_http import BoundedHttp
from trading.exchanges.upbit_http import UpbitHttp
from trading.exchanges.venue import Venue
from trading.models import Bot, BotConfig, Decision, Order, Position
from trading.services import config, gateway
from trading.services.stages import execution, readings
from trading.services.stages.context import Context

pytestmark = [
    pytest.mark.contracts,
    pytest.mark.timeout(scale(sample=120, full=7200)),
    pytest.mark.django_db(transaction=True, databases=["default", "venue"]),
]

D = Decimal
INTENTS = scale(sample=100, full=10_000)
SYMBOL, PRICE, DEEP = "KRW-BTC", D(100_000_000), D(5)
CASH = D(10_000_000)
FEE = D("0.0005")
BOTS = 6
NONSENSE = ("NaN", "Infinity", "-1", "0", "1E+30", "", "much")
SIZES = (1, 4_999, 5_000, 50_000, 400_000, 3_000_000, 9_999_999, 10_000_001, 10**12)
LOOSE = {"account_exposure_fraction": D(1), "symbol_exposure_fraction": D(1), "group_exposure_fraction": D(1)}


@dataclass
class Stage:
    """One live account at the fake, its bots, and who may send for it."""

    fake: FakeUpbit
    venue: Venue
    bots: list[Bot]
    tenure: gateway.Tenure
    chance: random.Random
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def account_id(self) -> int:
        return self.bots[0].account_id

    def step(self) -> None:
        """Two turns of the gateway: what is planned is sent, and what it became is booked, before anything is read."""
        for _ in range(2):
            gateway.settle_and_send(account_id=self.account_id, venue=self.venue, tenure=self.tenure, is_hurried=True)
        assert not Order.objects.unsettled().exists()

    def tell_balances(self) -> None:
        gateway.record_balances(account_id=self.account_id, venue=self.venue, tenure=self.tenure)

    def bought(self) -> list[Any]:
        """Every buy that reached the fake, oldest first."""
        return [order for order in self.fake.engine.of_account("main") if order.asked.side is Side.BUY]


@pytest.fixture
def stage(settings: Any) -> Iterator[Stage]:
    """A deep book that never moves, ten million won, six bots."""
    settings.ENTRY_PERMIT_S = 30.0  # the machine may be slow; lateness is proven elsewhere
    create_profiles()
    config.create_missing({"bot_status": {"enabled": True}})
    with FakeUpbit(has_limits=False) as fake:
        fake.open_market(SYMBOL, book=MovingBook(still_book))
        fake.strangers_trade(SYMBOL, count=1)
        fake.add_key()
        fake.engine.deposit("main", "KRW", CASH)
        http = UpbitHttp(base_url=fake.url, http=BoundedHttp(connect_timeout_s=5.0, total_timeout_s=20.0))
        exchange = upbit.connect(http=http, access_key=ACCESS, secret_key=SECRET)
        home = factories.account(mode=Mode.LIVE)
        bots = [factories.bot(home=home, mode=Mode.LIVE, allocation=CASH / 2) for _ in range(BOTS)]
        for bot in bots:
            BotLimits.objects.create(bot=bot)
        AccountLimits.objects.create(account=home)
        KillSwitch.objects.create(scope="platform", level=0, reason="begin", set_by=home.user)
        tenure = gateway.take_account(home.pk)
        assert tenure is not None
        clock = SystemClock()
        venue = Venue(mode=Mode.LIVE, clock=clock, exchange=exchange, history=None)  # type: ignore[arg-type]  # nobody asks for candles
        made = Stage(fake, venue, bots, tenure, random.Random(20_221_112))
        made.tell_balances()
        yield made


def still_book(at: Any) -> OrderBook:
    """Whoever takes from it finds it full again."""
    levels = [(PRICE + 1000 * n, DEEP) for n in range(1, 16)]
    asks = tuple(Level(price, amount) for price, amount in levels)
    bids = tuple(Level(2 * PRICE - price, amount) for price, amount in levels)
    return OrderBook(symbol=SYMBOL, bids=bids, asks=asks, known_at=at)


# --- the adversary ---


def change_something(stage: Stage) -> None:
    """New limits, settings, switches and sizes, tight and loose, by chance."""
    chance, bot = stage.chance, stage.chance.choice(stage.bots)
    fraction = D(chance.choice(("0.0001", "0.004", "0.02", "0.1", "0.3", "1")))
    name, level = chance.choice(("position_fraction", *LOOSE)), chance.choice((0, 0, 0, 0, 1, 2))
    deeds = (
        lambda: AccountLimits.objects.update(**{name: chance.choice((None, fraction))}),
        lambda: BotLimits.objects.filter(bot=bot).update(**{name: chance.choice((None, fraction))}),
        lambda: RiskProfile.objects.filter(name="medium").update(**{name: fraction}),
        lambda: RiskProfile.objects.filter(name="medium").update(sizing_mode=chance.choice(list(SizingMode)).value),
        lambda: BotConfig.objects.filter(key="max_trade_amount_krw").update(value={"amount": chance.choice((6_000, 300_000, 10**9))}),
        lambda: BotConfig.objects.filter(key="bot_status").update(value={"enabled": chance.random() < 0.8}),
        lambda: KillSwitch.objects.exclude(level=level).update(level=level, epoch=F("epoch") + 1),
        lambda: Bot.objects.filter(pk=bot.pk).update(trade_amount=chance.choice(SIZES)),
        lambda: Bot.objects.filter(pk=bot.pk).update(allocation=chance.choice((D(60_000), CASH / 2, CASH, CASH * 10))),
        lambda: Bot.objects.filter(pk=bot.pk).update(is_paused=chance.random() < 0.2, is_running=chance.random() < 0.9),
        lambda: put_safe_mode(stage, bot, is_on=chance.random() < 0.3),
    )
    chance.choice(deeds)()


def calm_down(stage: Stage) -> None:
    """As it was at the beginning, so that something gets through now and then."""
    for rows in (AccountLimits.objects.all(), BotLimits.objects.all()):
        rows.update(**dict.fromkeys(("position_fraction", *LOOSE)))
    RiskProfile.objects.filter(name="medium").update(position_fraction=D("0.3"), sizing_mode=SizingMode.FIXED.value, **LOOSE)
    BotConfig.objects.filter(key="max_trade_amount_krw").update(value={"amount": 1_000_000})
    BotConfig.objects.filter(key="bot_status").update(value={"enabled": True})
    KillSwitch.objects.exclude(level=0).update(level=0, epoch=F("epoch") + 1)
    Bot.objects.update(trade_amount=50_000, allocation=CASH / 2, is_paused=False, is_running=True)
    RiskState.objects.update(safe_mode=False, safe_mode_reason="")


def put_safe_mode(stage: Stage, bot: Bot, *, is_on: bool) -> None:
    owner = risk.Owner(account_id=bot.account_id, user_id=bot.user_id, mode=bot.mode)
    if is_on:
        risk.enter_safe_mode(owner=owner, bot_id=bot.pk, code="test", message="test", at=stage.venue.clock.now(), zone="Asia/Seoul")
    else:
        RiskState.objects.filter(bot=bot).update(safe_mode=False, safe_mode_reason="")


def through_execution(stage: Stage, bot: Bot) -> None:
    """A decision whose plan and book may say anything."""
    chance, now = stage.chance, stage.venue.clock.now()
    wild = {
        "stop_distance": chance.choice((None, "2000000", *NONSENSE)),
        "target_distance": chance.choice((None, "3000000", *NONSENSE)),
        "size_hint": chance.choice((None, "1", "0.5", "2", *NONSENSE)),
    }
    plan = {"stop_distance": "2000000", "target_distance": "3000000"} if chance.random() < 0.6 else wild
    with transaction.atomic():
        fresh = Bot.objects.select_related("risk_profile", "limits", "account", "account__limits").get(pk=bot.pk)
        context = Context(
            cycle=factories.cycle(fresh, slot=now),
            bot=fresh,
            venue=stage.venue,
            readings=readings.read([fresh]),
            now=now,
            lease_epoch=1,
        )
        decision = Decision(decision="buy", verdict={"is_valid": True}, proposal={"plan": plan})
        collected = Collected(candles=None, ticker=None, book=wild_book(stage, now), balances={}, unknown=(), known_at=now)
        execution.execute(context, decision=decision, risk_exit=None, collected=collected)


def wild_book(stage: Stage, now: Any) -> OrderBook:
    """Mostly the real one; sometimes prices or amounts that no market has."""
    if stage.chance.random() < 0.7:
        return still_book(now)
    ask = Level(
        D(stage.chance.choice(("NaN", "0.00000001", "1", "100000000", "1E+20"))), D(stage.chance.choice(("0.00000001", "1", "1E+9")))
    )
    return OrderBook(symbol=SYMBOL, bids=(Level(D("0.00000001"), D(1)),), asks=(ask,), known_at=now)


def past_execution(stage: Stage, bot: Bot) -> None:
    """An order planned by somebody who asked no limit, with limits of his own pinned to it."""
    chance = stage.chance
    pinned = dict.fromkeys(LOOSE, "1") if chance.random() < 0.5 else {}
    plan = {**factories.PLAN, "limits": pinned}
    factories.planned_entry(bot, slot=stage.venue.clock.now(), quote_amount=D(chance.choice(SIZES)), plan=plan)


# --- the plain reading ---


@dataclass(frozen=True)
class Reading:
    """Every limit of one bot as the rows say it, and what is at stake already by the fake's own books. Quote currency."""

    most: dict[str, Decimal]
    at_stake: Decimal
    worth: Decimal
    exposure: dict[str, Decimal]
    is_blocked: bool


def read(stage: Stage, bot: Bot) -> Reading:
    """No line of the product's rules is called here."""
    now = Bot.objects.get(pk=bot.pk)
    assert now.allocation is not None
    holding = stage.fake.engine.wallets.holding("main", "KRW")
    cost = sum((held.bought_total * held.amount / held.bought_amount for held in Position.objects.open() if held.bought_amount), D(0))
    rows = [AccountLimits.objects.get(), BotLimits.objects.get(bot=bot)]
    profile = RiskProfile.objects.get(name="medium", user=None)

    def holds(name: str) -> Decimal:
        hard, own = (getattr(row, name) for row in rows)
        chosen = getattr(profile, name) if own is None else own
        return D(chosen if hard is None else min(hard, chosen))

    settings = {row.key: row.value for row in BotConfig.objects.all()}
    return Reading(
        most={
            "max_trade_amount_krw": D(settings["max_trade_amount_krw"]["amount"]),
            "position": now.allocation * holds("position_fraction"),
            "cash": holding.free / (1 + FEE),
        },
        at_stake=cost,
        worth=holding.free + holding.locked + cost,
        exposure={name: holds(name) for name in LOOSE},
        is_blocked=(
            not settings["bot_status"]["enabled"]
            or now.is_paused
            or not now.is_running
            or KillSwitch.objects.get().level > 0
            or RiskState.objects.filter(bot=bot, safe_mode=True).exists()
        ),
    )


def judge(stage: Stage, bot: Bot, before: Reading, arrived: list[Any]) -> None:
    """Hold what reached the fake since `before` against every limit."""
    assert len(arrived) <= 1, "one intent, one order"
    for order in arrived:
        amount = order.asked.quote_amount
        assert Order.objects.get(client_id=order.asked.client_id).bot == bot
        assert not before.is_blocked
        assert order.asked.amount is None and amount is not None and amount > 0
        for name, most in before.most.items():
            assert amount <= most, name
        for name, share in before.exposure.items():
            assert before.at_stake + amount * (1 + FEE) <= share * before.worth, name
        stage.seen["reached the exchange"] += 1
        stage.seen[f"of bot {bot.pk}"] += 1


def sell_all(stage: Stage, bot: Bot) -> None:
    """Flat again, so that there is room for the next intent."""
    for position in Position.objects.open().filter(bot=bot):
        factories.planned_exit(position, reason="manual", now=stage.venue.clock.now())
    stage.step()
    stage.tell_balances()


def test_no_intent_beyond_a_limit_reaches_the_exchange(stage: Stage, record_property: Any) -> None:
    for _number in range(INTENTS):
        stage.tenure = gateway.take_account(stage.account_id) or stage.tenure
        bot = stage.chance.choice(stage.bots)
        if stage.chance.random() < 0.5:
            calm_down(stage)
        for _ in range(stage.chance.randrange(3)):
            change_something(stage)
        act = through_execution if stage.chance.random() < 0.6 and not Position.objects.open().filter(bot=bot).exists() else past_execution
        with suppress(ValueError, ArithmeticError, DgbotError, DatabaseError):  # a refusal, by whatever stands in the way
            act(stage, bot)
        planned = Order.objects.filter(status="planned").count()
        stage.seen["planned"] += planned
        if stage.chance.random() < 0.3:
            change_something(stage)  # between plan and claim
        before, known = read(stage, bot), len(stage.bought())
        stage.step()
        judge(stage, bot, before, stage.bought()[known:])
        if stage.chance.random() < 0.5:
            sell_all(stage, bot)
        elif stage.chance.random() < 0.5:
            stage.tell_balances()

    reached, planned = stage.seen["reached the exchange"], stage.seen["planned"]
    for name in ("denied", "failed", "filled", "cancelled"):
        record_property(name, Order.objects.filter(purpose="entry", status=name).count())
    record_property("seen", dict(stage.seen))
    assert INTENTS / 20 < reached < planned < INTENTS, stage.seen
    assert stage.fake.engine.disagreements() == []
