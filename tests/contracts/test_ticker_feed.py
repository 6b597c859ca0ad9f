"""A ticker bot on paper: its bars come from the exchange's feed, and while that is silent it says so and opens nothing."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dgbot import env
from dgbot.base.machine import machine_now
from dgbot.core.types import Mode
from risk.seeds import create_profiles
from tests import factories
from tests.contracts.exchange_stages import sparse_candles
from tests.fakes.core import faults
from tests.fakes.upbit.server import FakeUpbit
from trading.exchanges import adapters
from trading.exchanges.feed import FeedTimes
from trading.exchanges.market_feed import MarketFeed
from trading.models import AccountBalance, Bot, Cycle
from trading.services import config, cycles, feeds, venues
from trading.services.ticker import Ticker
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key, venue_for

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

BTC = "KRW-BTC"
TIMES = FeedTimes(probe_after_s=0.3, stale_after_s=0.8, first_pause_s=0.02, longest_pause_s=0.1, gather_s=0.02, read_again_after_s=0.2)


@pytest.fixture
def fake(settings: Any, tmp_path: Any) -> Iterator[FakeUpbit]:
    """Upbit on loopback, followed with short waits."""
    with FakeUpbit(candles=sparse_candles, has_limits=False) as made:
        made.open_market(BTC)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": made.url, "DGBOT_UPBIT_WEBSOCKET_URL": made.websocket_url}, dotenv=None)
        settings.DATA_DIR = tmp_path
        venues.public_exchange.cache_clear()
        feeds.follow()
        dialect = adapters.public_feed("upbit", base_url=made.websocket_url)
        feeds._feeds["upbit"] = MarketFeed("upbit", dialect, quotes=venues.public_exchange("upbit"), times=TIMES)
        yield made
        feeds.close()
        venues.public_exchange.cache_clear()


@pytest.fixture
def bot() -> Bot:
    create_profiles()
    config.create_missing({"bot_status": {"enabled": True}})
    home = factories.account(mode=Mode.PAPER)
    DatabaseVenueStore(account_key(home)).open(asset="KRW", amount=factories.CASH)
    AccountBalance.objects.create(
        account=home, asset="KRW", free=factories.CASH, locked=0, known_at=factories.SLOT, recorded_at=machine_now()
    )
    return factories.bot(home=home, interval="1s", tick_seconds=1)


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    made = Ticker(venue_for=venue_for, ring=lambda: None)
    yield made
    made.close()


def drive(one: Ticker, fake: FakeUpbit, until: Callable[[], object], *, trades: bool = True) -> None:
    """Turn until it holds, while strangers trade."""
    deadline, seed = time.monotonic() + factories.WAIT_S, 0
    while not until():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        seed += 1
        if trades and seed % 5 == 0:
            fake.strangers_trade(BTC, count=1, seed=seed)
        one.turn()
        time.sleep(0.02)


def candle_cycles(bot: Bot) -> int:
    return sum(not slot.microsecond for slot in Cycle.objects.filter(bot=bot, status="done").values_list("slot", flat=True))


def test_bars_close_on_the_feed_and_looks_cost_no_request(fake: FakeUpbit, bot: Bot, ticker: Ticker) -> None:
    drive(ticker, fake, lambda: candle_cycles(bot) >= 2)
    asked = {what: len(fake.server.requests(f"GET /v1/{what}")) for what in ("trades/ticks", "ticker")}

    drive(ticker, fake, lambda: candle_cycles(bot) >= 5)

    assert {what: len(fake.server.requests(f"GET /v1/{what}")) for what in asked} == asked


def test_while_the_feed_is_silent_no_bar_closes_and_entries_wait_with_the_reason(fake: FakeUpbit, bot: Bot, ticker: Ticker, caplog) -> None:
    drive(ticker, fake, lambda: candle_cycles(bot) >= 1)
    fake.sockets.is_frozen = True
    drive(ticker, fake, lambda: ticker.silent)
    frozen_at = candle_cycles(bot)

    watched = ticker.watched[bot.pk]
    outcome = cycles.look([cycles.Held(bot.pk, venue=watched.venue, epoch=watched.epoch)])[bot.pk]
    assert outcome is not None and any("feed of upbit has said nothing" in reason.message for reason in outcome.reasons)
    stop_at = time.monotonic() + 1.0
    drive(ticker, fake, lambda: time.monotonic() > stop_at)
    assert candle_cycles(bot) <= frozen_at + 1  # one may have been at work
    assert caplog.text.count("no bar closes while the trades are unknown") == 1

    fake.sockets.is_frozen = False
    drive(ticker, fake, lambda: not ticker.silent and candle_cycles(bot) > frozen_at + 1)


def test_bars_begin_anew_from_candles_when_trades_are_lost(fake: FakeUpbit, bot: Bot, ticker: Ticker) -> None:
    drive(ticker, fake, lambda: candle_cycles(bot) >= 1)
    (line,) = ticker.lines.values()
    fake.server.faults.set("GET /v1/trades/ticks", faults.html(502))
    fake.server.cut_sockets()
    drive(ticker, fake, lambda: line not in ticker.lines.values())
    fake.server.faults.clear()
    before = candle_cycles(bot)

    drive(ticker, fake, lambda: candle_cycles(bot) > before + 1)

    assert bot.pk in ticker.watched


def test_rest_at_another_address_without_its_websocket_follows_no_feed(fake: FakeUpbit, settings: Any) -> None:
    settings.ENV = env.load({"DGBOT_UPBIT_URL": fake.url}, dotenv=None)

    assert venues.live_quotes("upbit").feed is None
