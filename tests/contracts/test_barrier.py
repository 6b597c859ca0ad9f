"""After a restart nothing is opened until every account agrees with its exchange: orders rested and filled while nobody looked."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from dgbot import env
from dgbot.base.machine import machine_now
from dgbot.core import client_id
from dgbot.core.types import Mode, OrderRequest, OrderType, Side
from risk.seeds import create_profiles
from tests import factories
from tests.contracts.exchange_stages import sparse_candles
from tests.fakes.upbit.server import FakeUpbit
from tests.faults import truth
from tests.scale import IS_FULL, scale
from trading import vault
from trading.exchanges.keys import ApiKey
from trading.models import Bot, BotStatus, Credential, ExchangeAccount, KeyStatus, Order, Position, ReconcileRun, Trade
from trading.selectors import ledger as selectors
from trading.services import books_check, config, credentials, gateway, recovering, venues
from trading.services.account_breaks import why_no_entries
from trading.services.gateway_loop import Gateway
from trading.services.venues import venue_for

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
BOTS, ACCOUNTS = scale(sample=5, full=50), scale(sample=2, full=5)
SALES_PER_BOT, FILLS_PER_BOT = 4, 6  # 200 open orders and 300 fills in full
WITHIN_S = 30.0  # of the whole proof only: a bound it must keep, not a figure that CI measures
CASH = D(1_000_000_000)
PRICE = 100_000_000


@pytest.fixture
def fake(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUpbit]:
    """Upbit on loopback, with its rate limits; live trading as after its proof."""
    with FakeUpbit(candles=sparse_candles) as made:
        made.open_market("KRW-BTC", price=PRICE)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": made.url}, dotenv=None)
        settings.KEY_FILE, settings.PUBLIC_KEY_FILE = tmp_path / "sealing.key", tmp_path / "sealing.pub"
        settings.LIVE_TRADING = True
        monkeypatch.setattr(venues, "LIVE_ORDER_PATH_IS_PROVEN", True)
        vault.create_missing()
        create_profiles()
        config.create_missing({"bot_status": {"enabled": True}})
        venues.public_exchange.cache_clear()
        yield made
        venues.public_exchange.cache_clear()


def live_account(fake: FakeUpbit, number: int) -> ExchangeAccount:
    """A live account with a verified key of its own and money at the fake."""
    access, secret = f"access-{number:033d}", f"secret-{number:033d}"
    fake.add_key(access, secret, account=f"pocket{number}")
    fake.engine.deposit(f"pocket{number}", "KRW", CASH)
    home = factories.account(mode=Mode.LIVE)
    credentials.keep(ApiKey(access, secret), account=home, by=home.user)
    Credential.objects.filter(account=home).update(status=KeyStatus.VERIFIED, checked_at=machine_now())
    return home


def place(bot: Bot, *, tenure: Any, **asked: Any) -> Order:
    """An order of this bot at the exchange, and its row as if it had been acknowledged."""
    venue = venue_for(bot.account, open_key=vault.open_key)
    bits = Order.objects.count() + 1
    name = client_id.make(mode=Mode.LIVE, deployment="AAA", bot_id=bot.pk, random_bits=bits)
    answer = venue.exchange.place(OrderRequest(client_id=name, symbol=bot.symbol, **asked))
    order = recovering.adopt(answer, account=bot.account, tenure=tenure, now=machine_now())
    assert order is not None
    path = gateway.path(venue=venue, tenure=tenure)
    for _attempt in range(5):  # an exchange may tell an execution a moment later
        found = venue.exchange.order(symbol=bot.symbol, client_id=name)
        assert found is not None
        path.hear(order.pk, found)
        order.refresh_from_db()
        if order.filled_amount or order.status == "open":
            return order
    raise AssertionError(f"order {order.pk} of bot {bot.pk} is {order.status}: {order.error_message} {found}")


def stage(fake: FakeUpbit) -> list[ExchangeAccount]:
    """Bots that hold something and rest sales at the exchange; then their gateway dies."""
    homes = [live_account(fake, number) for number in range(ACCOUNTS)]
    tenures = {home.pk: gateway.take_account(home.pk) for home in homes}
    for number in range(BOTS):
        bot = factories.bot(home=homes[number % ACCOUNTS])
        tenure = tenures[bot.account_id]
        place(bot, tenure=tenure, side=Side.BUY, order_type=OrderType.MARKET, quote_amount=D(400_200))
        held = Position.objects.get(bot=bot).amount
        for sale in range(SALES_PER_BOT):
            price = D(PRICE + 1_000_000 + 1_000 * (SALES_PER_BOT * number + sale))
            amount = (held / SALES_PER_BOT).quantize(D("0.00000001"), rounding="ROUND_DOWN")
            place(bot, tenure=tenure, side=Side.SELL, order_type=OrderType.LIMIT, amount=amount, price=price, reduce_only=True)
    for tenure in tenures.values():
        assert tenure is not None
        gateway.give_back(tenure)
    return homes


def fills_while_nobody_looks(fake: FakeUpbit) -> int:
    """Strangers take parts of the resting sales; how many executions that makes."""
    fills = 0
    for number in range(BOTS * SALES_PER_BOT):
        parts = 2 if number % SALES_PER_BOT < FILLS_PER_BOT - SALES_PER_BOT else 1
        for _part in range(parts):
            fake.engine.stranger_trades("KRW-BTC", price=PRICE + 2_000_000, amount=D("0.0002"), taker_side=Side.BUY)
            fills += 1
    return fills


@pytest.mark.timeout(scale(sample=120, full=600))
def test_a_restarted_gateway_opens_nothing_before_its_books_are_the_exchanges(fake: FakeUpbit, settings: Any):
    settings.DEPLOYMENT, settings.LEASE_S = "AAA", 600.0
    homes = stage(fake)
    booked = Trade.objects.count()
    assert Order.objects.unsettled().count() == BOTS * SALES_PER_BOT
    made = fills_while_nobody_looks(fake)
    eager = Bot.objects.filter(account=homes[0]).order_by("-pk")[0]
    with transaction.atomic():
        entry = factories.planned_entry(eager, slot=machine_now())
    asked = len(fake.server.log)

    started = time.monotonic()
    loop = Gateway(open_key=vault.open_key)
    loop.turn()
    took_s = time.monotonic() - started
    loop.close()

    later = [line.request for line in fake.server.log[asked:]]
    sent = [number for number, request in enumerate(later) if request.endpoint == "POST /v1/orders"]
    compared = [number for number, request in enumerate(later) if request.endpoint == "GET /v1/accounts"]
    entry.refresh_from_db()
    assert len(sent) == 1 and compared[0] < sent[0] and entry.status != "denied", (entry.status, entry.error_message)
    assert Trade.objects.exclude(order=entry).count() - booked >= made > 0
    for number, home in enumerate(homes):
        agrees(fake, home, name=f"pocket{number}")
    assert set(Bot.objects.values_list("status", flat=True)) == {BotStatus.RUNNING}
    assert not books_check.differences()
    assert not IS_FULL or took_s < WITHIN_S, f"{BOTS} bots, {BOTS * SALES_PER_BOT} orders, {made} fills took {took_s:.1f} s"


def agrees(fake: FakeUpbit, home: ExchangeAccount, *, name: str) -> None:
    """Trades, positions and holdings are the exchange's to the last decimal."""
    told = truth.of_upbit(fake, name)
    ours = {(trade.exchange_trade_id, trade.price, trade.amount, trade.fee) for trade in Trade.objects.filter(account=home)}
    assert ours == {(fill.trade_id, fill.price, fill.amount, fill.fee) for fill in told.fills}
    held = sum(Position.objects.filter(account=home).values_list("amount", flat=True), D(0))
    assert held == told.gained["BTC"]
    run = ReconcileRun.objects.filter(account=home, verdict="stable").order_by("pk")[0]
    assert run.differences == [] and why_no_entries(home.pk) == ""
    assert selectors.holdings(account_id=home.pk)["BTC"] == held
