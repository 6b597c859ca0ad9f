"""The guardian at a real market: prices from the feed, else by REST; two signs before it fires; an alarm when it knows none."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dgbot import env
from dgbot.core.types import Mode, Side, Ticker
from risk.seeds import create_profiles
from tests import factories
from tests.factories import PRICE
from tests.fakes.core.books import ladder
from tests.fakes.core.faults import Fault, html
from tests.fakes.upbit.server import FakeUpbit
from trading import doorbell
from trading.models import Bot, Order, Position, PriceAlarm
from trading.services import config, cycles, feeds, gateway, price_alarms, venues
from trading.services import guardian as guardian_service
from trading.services.guardian_loop import Guardian
from trading.services.guardian_prices import Prices
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key, venue_for

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
BTC = "KRW-BTC"
LOW = int(PRICE * D("0.9"))  # below the stop of factories.position
STALE_S = 0.4


@pytest.fixture
def fake(settings: Any, tmp_path: Any) -> Iterator[FakeUpbit]:
    """Upbit on loopback, its REST and its websocket, where the settings say that they are."""
    with FakeUpbit(has_limits=False) as made:
        made.open_market(BTC)
        made.strangers_trade(BTC, count=1)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": made.url, "DGBOT_UPBIT_WEBSOCKET_URL": made.websocket_url}, dotenv=None)
        settings.DATA_DIR = tmp_path
        venues.public_exchange.cache_clear()
        yield made
        feeds.close()
        venues.public_exchange.cache_clear()


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    made = Guardian(venue_for=venue_for, ring=lambda: None, prices=Prices(stale_after_s=STALE_S), read_every_s=0, look_every_s=0)
    yield made
    made.close()


def held() -> Position:
    """A paper position bought at PRICE, its stop 5 % below and its target 10 % above."""
    create_profiles()
    config.create_missing({"bot_status": {"enabled": True}})
    home = factories.account(mode=Mode.PAPER)
    DatabaseVenueStore(account_key(home)).open(asset="KRW", amount=factories.CASH)
    return factories.position(factories.bot(home=home))


def drive(guardian: Guardian, until: Callable[[], object], *, at_most_s: float = 10.0) -> float:
    """Turn until it holds. Returns the seconds it took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < at_most_s, "it did not come to pass in time"
        guardian.turn()
        time.sleep(0.02)
    return time.monotonic() - began


def spike(fake: FakeUpbit, price: int) -> None:
    """One print far from the book, which stays where it was."""
    fake.engine.stranger_trades(BTC, price=price, amount="0.001", taker_side=Side.SELL)


def fall(fake: FakeUpbit, price: int) -> None:
    """The whole market moves: the book, then a print at it."""
    fake.engine.set_book(BTC, ladder(price, step=1000, amount="0.1"))
    fake.strangers_trade(BTC, count=1)


def exits() -> list[str]:
    return list(Order.objects.filter(purpose="exit").values_list("exit_reason", flat=True))


def fed(guardian: Guardian, position: Position) -> None:
    """The guardian hears the market through its feed."""
    feeds.follow()
    streams = venue_for(position.account).streams
    assert streams is not None
    drive(guardian, lambda: streams.ticker(BTC) and streams.order_book(BTC))
    questions = [one.question for one in guardian.prices.known.values() if one.question is not None]
    drive(guardian, lambda: all(question.done() for question in questions))  # asked before the feed was up


def test_a_fall_told_by_the_feed_fires_the_stop_without_a_question(fake: FakeUpbit, guardian: Guardian) -> None:
    fed(guardian, held())
    asked = len(fake.server.requests("GET /v1/ticker"))

    fall(fake, LOW)
    drive(guardian, exits)

    assert exits() == ["stop"]
    assert len(fake.server.requests("GET /v1/ticker")) == asked


def test_one_odd_print_is_not_believed_while_the_book_stands(fake: FakeUpbit, guardian: Guardian) -> None:
    fed(guardian, held())

    spike(fake, LOW)
    drive(guardian, lambda: guardian.witnesses.suspected)
    fake.strangers_trade(BTC, count=1)  # the next print is an ordinary one
    drive(guardian, lambda: not guardian.witnesses.suspected)

    assert exits() == []


def test_a_lonely_price_is_believed_after_two_seconds(fake: FakeUpbit, guardian: Guardian) -> None:
    fed(guardian, held())

    spike(fake, LOW)
    took_s = drive(guardian, exits)

    assert exits() == ["stop"] and 1.9 <= took_s < 4


def test_without_a_feed_prices_are_asked_for_and_no_look_waits_for_an_answer(fake: FakeUpbit, guardian: Guardian) -> None:
    held()
    fall(fake, LOW)
    fake.server.faults.set("GET /v1/ticker", Fault(latency_s=0.5), times=1)

    began = time.monotonic()
    guardian.turn()
    turned_s = time.monotonic() - began
    drive(guardian, exits)

    assert turned_s < 0.4
    assert exits() == ["stop"]


def test_a_price_unknown_for_too_long_blocks_entries_and_is_lifted_with_the_next_price(fake: FakeUpbit, guardian: Guardian, caplog) -> None:
    position = held()
    fed(guardian, position)
    fake.sockets.is_frozen = True
    fake.server.faults.set("GET /v1/ticker", html(502))

    drive(guardian, PriceAlarm.objects.exists, at_most_s=15)
    alarm = PriceAlarm.objects.get()
    assert "ALARM" in caplog.text and "stop and target wait for it" in alarm.message
    other = factories.bot(home=position.account)
    order = planned(other)
    assert order.status == "denied" and "has been unknown for" in order.error_message

    fake.server.faults.clear()
    drive(guardian, lambda: not PriceAlarm.objects.exists())
    assert price_alarms.why_no_entries(exchange="upbit", symbol=BTC) == ""


def planned(bot: Bot) -> Order:
    """An entry after the gateway has looked at it."""
    order = factories.planned_entry(bot)
    tenure = gateway.take_account(bot.account_id)
    assert tenure is not None
    gateway.claim(order_pk=order.pk, venue=venue_for(bot.account), tenure=tenure)
    order.refresh_from_db()
    return order


def test_a_cycle_says_that_the_guardian_knows_no_price(fake: FakeUpbit) -> None:
    bot = held().bot
    other = factories.bot(home=bot.account, schedule=None)
    price_alarms.put(exchange="upbit", symbol=BTC, message="The price of KRW-BTC has been unknown for 12 s", age_s=12)

    venue = venue_for(other.account)
    cycles.run(bot_id=other.pk, slot=venue.clock.now(), venue=venue)

    said = factories.rows("SELECT reasons::text FROM stage_results s JOIN cycles c ON c.id = s.cycle_id WHERE c.bot_id = %s", other.pk)
    assert "has been unknown for 12 s" in str(said)


def test_an_alarm_nobody_repeats_says_nothing_any_more(fake: FakeUpbit) -> None:
    price_alarms.put(exchange="upbit", symbol=BTC, message="unknown", age_s=12)
    factories.execute("UPDATE price_alarms SET told_at = clock_timestamp() - interval '1 minute'")

    assert price_alarms.why_no_entries(exchange="upbit", symbol=BTC) == ""


def test_an_alarm_ends_with_the_last_position_of_its_market(fake: FakeUpbit, guardian: Guardian) -> None:
    position = held()
    fake.server.faults.set("GET /v1/ticker", html(502))
    drive(guardian, PriceAlarm.objects.exists)

    Position.objects.filter(pk=position.pk).update(amount=0, closed_at=position.opened_at, exit_reason="stop")
    guardian.turn()

    assert not PriceAlarm.objects.exists()


def test_a_stop_that_was_passed_while_nobody_looked_fires_at_the_first_look(fake: FakeUpbit, guardian: Guardian) -> None:
    held()
    fall(fake, LOW)

    drive(guardian, exits)

    assert exits() == ["stop"]


def test_without_redis_the_stop_fires_all_the_same(fake: FakeUpbit, guardian: Guardian, settings: Any) -> None:
    settings.CACHE_URL = settings.NEWS_URL = "redis://127.0.0.1:1/0"
    doorbell._client.cache_clear()
    guardian.ring = doorbell.ring
    fed(guardian, held())

    fall(fake, LOW)
    drive(guardian, exits)
    doorbell._client.cache_clear()

    assert exits() == ["stop"]


def test_guardians_that_fire_at_the_same_moment_plan_each_exit_once(fake: FakeUpbit) -> None:
    first = held()
    home = first.account
    positions = [first, *(factories.position(factories.bot(home=home)) for _ in range(7))]
    venue = venue_for(home)
    tick = Ticker(symbol=BTC, price=D(LOW), known_at=venue.clock.now())
    touches = [guardian_service.Touch(one.pk, tick=tick, exchange=venue.exchange, now=tick.known_at) for one in positions]

    planned = [thread.join_or_fail() for thread in [factories.Thread(lambda: guardian_service.fire(touches)) for _ in range(6)]]

    assert sorted(Order.objects.values_list("position_id", flat=True)) == [one.pk for one in positions]
    assert {order.pk for orders in planned for order in orders} == set(Order.objects.values_list("pk", flat=True))


def test_a_price_between_the_levels_asks_the_database_nothing(fake: FakeUpbit, guardian: Guardian) -> None:
    fed(guardian, held())
    guardian.read_every_s = 1000.0

    with CaptureQueriesContext(connection) as queries:
        for _ in range(20):
            fake.strangers_trade(BTC, count=1)
            guardian.turn()

    assert len(queries) == 0


def test_the_guardian_loads_no_analysis_no_analyst_and_no_admin() -> None:
    heavy = ("numba", "pandas", "openai", "talib", "celery.app.task", "trading.admin", "trading.vault")
    code = (
        "import sys, django; django.setup(); import trading.management.commands.run_guardian;"
        "from trading.exchanges import adapters; from trading.exchanges.budget import Unlimited;"
        "[adapters.build(name, key=None, is_demo=False, budget=Unlimited()) for name in ('upbit', 'bitget')];"
        "[adapters.public_feed(name) for name in ('upbit', 'bitget')];"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "dgbot.settings", "DGBOT_PROCESS": "guardian"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == "[]"
