"""What reaches an exchange over a socket once the kill switch is raised, Redis stopped: no entry a second later, each exit once."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from dgbot import env
from dgbot.core.clock import SystemClock
from dgbot.core.types import Mode, Ticker
from risk import kill_switch
from risk.models import RiskProfile
from risk.seeds import create_profiles
from tests import factories
from tests.factories import PRICE, Thread, planned_entry, planned_exit
from tests.fakes.core.faults import Fault
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from tests.scale import scale
from trading import doorbell
from trading.exchanges import adapters
from trading.exchanges.budget import Unlimited
from trading.exchanges.keys import ApiKey
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, Bot, ExchangeAccount, Order, Position
from trading.services import config, gateway, gateway_duties, guardian, venues

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
BTC = "KRW-BTC"
NOWHERE = "redis://127.0.0.1:1/0"
BOTS = 12
LATENCY_S = 0.02
ANYTHING = dict.fromkeys(("account_exposure_fraction", "symbol_exposure_fraction", "group_exposure_fraction", "leverage_limit"), 100)


@dataclass
class Floor:
    """An account of ours at a fake Upbit, and the gateway that serves it in a thread. It is a paper one, so that the switches of live
    trading are out of the way; what it signs and sends is as live as can be."""

    fake: FakeUpbit
    account: ExchangeAccount
    venue: Venue

    def bids(self) -> list[datetime]:
        """When each entry arrived at the exchange."""
        return [request.arrived_at for request in self._posts() if json.loads(request.body)["side"] == "bid"]

    def asks(self) -> int:
        """How many exits arrived there."""
        return sum(json.loads(request.body)["side"] == "ask" for request in self._posts())

    def serve(self, until: threading.Event) -> None:
        """What the gateway does for the account, over and over."""
        while not until.is_set():
            tenure = gateway.take_account(self.account.pk)
            assert tenure is not None
            gateway_duties.before_sending(self.account, venue=self.venue)
            gateway.settle_and_send(account_id=self.account.pk, venue=self.venue, tenure=tenure)
            gateway.record_balances(account_id=self.account.pk, venue=self.venue, tenure=tenure)

    def _posts(self) -> list[Any]:
        return self.fake.server.requests("POST /v1/orders")


@pytest.fixture
def floor(settings: Any, tmp_path: Any) -> Iterator[Floor]:
    """Twelve bots that may buy what they like, and no Redis anywhere."""
    settings.CACHE_URL = settings.NEWS_URL = NOWHERE
    doorbell._client.cache_clear()
    create_profiles()
    RiskProfile.objects.update(**ANYTHING)
    config.create_missing({"bot_status": {"enabled": True}})
    account = factories.account(mode=Mode.PAPER)
    for _ in range(BOTS):
        factories.bot(home=account)
    with FakeUpbit(has_limits=False) as fake:
        fake.open_market(BTC)
        fake.strangers_trade(BTC, count=1)
        fake.add_key()
        fake.engine.deposit("main", "KRW", 1_000_000_000)
        settings.ENV, settings.DATA_DIR = env.load({"DGBOT_UPBIT_URL": fake.url}, dotenv=None), tmp_path
        venues.public_exchange.cache_clear()
        exchange = adapters.build("upbit", key=ApiKey(ACCESS, SECRET), is_demo=False, budget=Unlimited(), base_url=fake.url)
        yield Floor(fake, account, Venue(mode=Mode.LIVE, clock=SystemClock(), exchange=exchange, history=None))  # type: ignore[arg-type]
        venues.public_exchange.cache_clear()
    doorbell._client.cache_clear()


def plan_entries(until: threading.Event) -> None:
    """Bots that buy whenever nothing of theirs is on its way, whatever the kill switch says."""
    while not until.is_set():
        for bot in Bot.objects.select_related("account", "user"):
            if not Order.objects.unsettled().filter(bot=bot).exists():
                planned_entry(bot, slot=datetime.now(tz=UTC))
        time.sleep(0.01)


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + factories.WAIT_S
    while not holds():
        assert time.monotonic() < until, "it did not come to pass in time"
        time.sleep(0.01)


def test_no_entry_reaches_the_exchange_a_second_after_the_switch_was_committed(floor: Floor) -> None:
    floor.fake.server.faults.set("POST /v1/orders", Fault(latency_s=LATENCY_S))
    is_over = threading.Event()
    threads = [Thread(lambda: floor.serve(is_over)), Thread(lambda: plan_entries(is_over))]
    try:
        for _ in range(scale(sample=2, full=20)):
            before = len(floor.bids())
            wait_for(lambda before=before: len(floor.bids()) >= before + 5)
            kill_switch.change(scope="platform", scope_id="", level=1, by=floor.account.user, reason="drill")
            raised_at = datetime.now(tz=UTC)
            time.sleep(1.2)
            late = [at for at in floor.bids() if at > raised_at + timedelta(seconds=1)]
            denied = Order.objects.filter(status="denied", error_message__contains="kill switch").count()
            assert late == [] and denied > 0
            kill_switch.change(scope="platform", scope_id="", level=0, by=floor.account.user, reason="over")
    finally:
        is_over.set()
        for thread in threads:
            thread.join_or_fail()


def test_exits_from_admin_command_guardian_and_cycle_are_one_order_at_the_exchange(floor: Floor) -> None:
    is_over = threading.Event()
    bot = Bot.objects.order_by("pk")[0]
    serving = Thread(lambda: floor.serve(is_over))
    try:
        wait_for(AccountBalance.objects.exists)  # without it the gateway denies any entry
        planned_entry(bot, slot=datetime.now(tz=UTC))
        wait_for(lambda: Position.objects.open().filter(amount__gt=0).exists())
        is_over.set()
        serving.join_or_fail()
        position = Position.objects.select_related("bot__account").get()
        owner = floor.account.user
        owner.is_staff = owner.is_superuser = True
        owner.save()
        call_command("kill_switch", "3", "--reason", "out", "--by", owner.username, "--yes", "--scope", "bot", "--id", str(bot.pk))
        touch = guardian.Touch(
            position.pk, tick=Ticker(BTC, PRICE / 2, datetime.now(tz=UTC)), exchange=floor.venue.exchange, now=floor.venue.clock.now()
        )
        sides: list[Callable[[], Any]] = [
            lambda: close_in_the_admin(owner, position),
            lambda: gateway_duties.before_sending(floor.account, venue=floor.venue),
            lambda: guardian.fire([touch]),
            lambda: planned_exit(position, reason="signal", now=datetime.now(tz=UTC)),
        ]

        for thread in [Thread(sides[number % len(sides)]) for number in range(scale(sample=20, full=100))]:
            thread.join_or_fail()
        is_over = threading.Event()
        serving = Thread(lambda: floor.serve(is_over))
        wait_for(lambda: not Order.objects.unsettled().exists())

        position.refresh_from_db()
        assert (floor.asks(), Order.objects.filter(purpose="exit").count(), position.amount) == (1, 1, 0)
    finally:
        is_over.set()
        serving.join_or_fail()


def close_in_the_admin(owner: Any, position: Position) -> None:
    """An operator's click on "Close now"."""
    browser = Client()
    browser.force_login(owner)
    assert browser.post(reverse("admin:trading_position_close", args=[position.pk]), {"reason": "out"}).status_code == 302
