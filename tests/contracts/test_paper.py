"""A paper account is made in the admin and trades on Upbit's public data: real books and candles, pretended money."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backtests.strategies.registry import STRATEGIES
from dgbot import env
from dgbot.core.errors import CredentialsRefused, ExchangeUnavailable, VenueUnavailable
from dgbot.core.interval import Interval
from dgbot.core.types import Candle, Mode, OrderRequest, OrderType, Side
from risk.models import RiskProfile
from risk.seeds import create_profiles
from tests import factories
from tests.contracts.exchange_stages import sparse_candles
from tests.fakes.core.faults import html
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading import vault
from trading.exchanges.keys import ApiKey
from trading.models import AccountBalance, BotStatus, Cycle, ExchangeAccount, Order, Position, StageResult, Trade
from trading.services import bots, commands, config, credentials, cycles, venues
from trading.services.gateway_loop import Gateway
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import KRW_FEES, account_key, venue_for

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
HOUR = Interval.HOUR_1
CASH = D(1_000_000)


def choppy(symbol: str, interval: Interval, start: datetime, end: datetime) -> list[Candle]:
    """Candles that go up and down by turns, as the validator likes a market; now and then nobody trades."""
    found = []
    for candle in sparse_candles(symbol, interval, start, end):
        close = D(100_200_000) if int(candle.opened_at.timestamp()) // interval.seconds % 2 else D(100_000_000)
        found.append(Candle(candle.opened_at, D(100_100_000), D(100_300_000), D(99_900_000), close, candle.volume))
    return found


@pytest.fixture
def fake(settings: Any, tmp_path: Any) -> Iterator[FakeUpbit]:
    """Upbit on loopback, where the settings say that it is."""
    with FakeUpbit(candles=choppy) as made:
        made.open_market("KRW-BTC")
        made.strangers_trade("KRW-BTC", count=3)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": made.url}, dotenv=None)
        settings.DATA_DIR = tmp_path
        settings.KEY_FILE, settings.PUBLIC_KEY_FILE = tmp_path / "sealing.key", tmp_path / "sealing.pub"
        vault.create_missing()
        venues.public_exchange.cache_clear()
        yield made
        venues.public_exchange.cache_clear()


def paper_account() -> ExchangeAccount:
    home = factories.account(mode=Mode.PAPER)
    DatabaseVenueStore(account_key(home)).open(asset="KRW", amount=CASH)
    return home


def gateway_turn() -> None:
    loop = Gateway(open_key=vault.open_key)
    loop.turn()
    loop.close()


def test_a_paper_bot_trades_the_real_book_with_pretended_money(fake, monkeypatch):
    create_profiles()
    RiskProfile.objects.update(fakeout_adx=None)  # this market has neither trend nor volume
    config.create_missing()
    config.change(key="bot_status", value={"enabled": True}, by=factories.user(), reason="test")
    monkeypatch.setitem(STRATEGIES, "eager", factories.eager_strategy())
    bot = factories.bot(home=paper_account(), strategy="eager", allocation=None, schedule=None)
    type(bot).objects.filter(pk=bot.pk).update(status=BotStatus.REQUESTED)
    gateway_turn()
    bot.refresh_from_db()
    assert bot.status == BotStatus.RUNNING and bot.allocation == CASH

    venue = venue_for(bot.account)
    cycles.run(bot_id=bot.pk, slot=venue.clock.now(), venue=venue)
    rows = {row.stage: (row.action, row.reasons) for row in StageResult.objects.filter(cycle=Cycle.objects.get())}
    order = Order.objects.filter(bot=bot).first()
    assert order is not None, rows
    gateway_turn()

    order.refresh_from_db()
    trades = list(Trade.objects.filter(order=order))
    assert order.status == "filled" and trades
    best = fake.engine.best("KRW-BTC", Side.SELL)
    assert trades[0].price == best.price
    assert all(trade.fee == trade.price * trade.amount * KRW_FEES.taker_rate for trade in trades)
    assert Position.objects.get(bot=bot).amount == sum(trade.amount for trade in trades)
    spent = sum(trade.price * trade.amount + trade.fee for trade in trades)
    gateway_turn()
    assert AccountBalance.objects.get(account=bot.account, asset="KRW").free == CASH - spent
    assert not fake.server.requests("POST /v1/orders")  # nothing reached the exchange but questions


def test_candles_come_closed_from_one_anchor_and_are_asked_for_once(fake):
    venue = venue_for(paper_account())
    now = venue.clock.now()

    first = venue.history.closed("KRW-BTC", HOUR, until=now, anchor_at=None)
    asked = len(fake.server.log)
    again = venue.history.closed("KRW-BTC", HOUR, until=now, anchor_at=None)

    assert first.last_closed_at == HOUR.open_of(now)
    assert len(first) > 900
    assert again.hash_at(len(again)) == first.hash_at(len(first))
    assert len(fake.server.log) == asked


def test_the_anchor_stays_while_candles_are_added(fake):
    venue = venue_for(paper_account())
    now = venue.clock.now()
    early = venue.history.closed("KRW-BTC", HOUR, until=now - timedelta(hours=30), anchor_at=None)

    late = venue.history.closed("KRW-BTC", HOUR, until=now, anchor_at=None)

    assert late.first_opened_at == early.first_opened_at
    assert late.hash_at(len(early)) == early.hash_at(len(early))


def test_an_exchange_that_does_not_answer_leaves_the_candles_unknown(fake):
    fake.server.faults.set("GET /v1/candles/*", html(502))

    with pytest.raises(ExchangeUnavailable):
        venue = venue_for(paper_account())
        venue.history.closed("KRW-BTC", HOUR, until=venue.clock.now(), anchor_at=None)


def test_a_paper_account_is_made_in_the_admin_with_its_first_money(fake):
    boss = factories.user()
    boss.is_staff = boss.is_superuser = True
    boss.save()
    client = Client()
    client.force_login(boss)
    form = {"name": "Paper", "user": boss.pk, "exchange": "upbit", "mode": "paper", "quote_currency": "KRW"}

    page = client.post(reverse("admin:trading_exchangeaccount_add"), form)
    assert "first money" in page.content.decode() or page.status_code == 200
    assert not ExchangeAccount.objects.exists()
    client.post(reverse("admin:trading_exchangeaccount_add"), {**form, "paper_cash": "250000"})

    account = ExchangeAccount.objects.get()
    gateway_turn()
    assert AccountBalance.objects.get(account=account, asset="KRW").free == 250_000


def live_account() -> ExchangeAccount:
    home = factories.account(mode=Mode.LIVE)
    credentials.keep(ApiKey(ACCESS, SECRET), account=home, by="test")
    return home


def test_the_gateway_checks_a_key_at_the_exchange_and_then_reads_its_balances(fake):
    fake.add_key()
    fake.engine.deposit("main", "KRW", 12_345)
    home = live_account()
    gateway_turn()
    assert not AccountBalance.objects.exists()  # an unverified key is used for nothing but its check

    command = commands.ask(kind="check_key", account=home, by="test")
    gateway_turn()

    command.refresh_from_db()
    assert command.state == "done", command.error_message
    assert command.answer["status"] == "verified" and command.answer["can_withdraw"] is None
    assert AccountBalance.objects.get(account=home, asset="KRW").free == 12_345


def test_a_live_account_outside_the_gateway_tells_prices_and_signs_nothing(fake):
    venue = venue_for(live_account())

    assert venue.exchange.ticker("KRW-BTC").price > 0
    request = OrderRequest("L1", "KRW-BTC", Side.BUY, OrderType.MARKET, quote_amount=D(10_000))
    for ask in (venue.exchange.balances, venue.exchange.key_rights, lambda: venue.exchange.place(request)):
        with pytest.raises(CredentialsRefused):
            ask()
    assert not fake.server.requests("POST /v1/orders")


@pytest.mark.parametrize(("is_on", "word"), [(False, "switched off"), (True, "proven order path")])
def test_live_bots_are_refused_with_a_sentence(fake, settings, is_on, word):
    settings.LIVE_TRADING = is_on
    bot = factories.bot(home=live_account())
    type(bot).objects.update(is_running=False, status=BotStatus.STOPPED)

    with pytest.raises(Exception, match=word):
        bots.start(bot_pk=bot.pk, by="test")


def test_a_replay_account_has_no_venue(fake):
    with pytest.raises(VenueUnavailable, match="driven by `manage"):
        venue_for(factories.account(mode=Mode.REPLAY))
