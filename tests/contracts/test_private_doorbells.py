"""Private feeds make the gateway ask sooner and are believed in nothing: against both fakes, through the gateway's own loop."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from dgbot import env
from dgbot.base.machine import machine_now
from dgbot.core.types import Mode
from tests import factories
from tests.fakes.bitget import FakeBitget
from tests.fakes.bitget.sockets import PRIVATE as BITGET_PRIVATE
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from tests.fakes.upbit.sockets import PRIVATE as UPBIT_PRIVATE
from trading import vault
from trading.exchanges.account_feeds import AccountFeeds
from trading.exchanges.feed import FeedTimes
from trading.exchanges.keys import ApiKey
from trading.models import AccountBalance, Credential, ExchangeAccount, Order
from trading.services import credentials, venues
from trading.services.gateway_loop import Gateway

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal
TIMES = FeedTimes(probe_after_s=0.3, stale_after_s=1.0, first_pause_s=0.02, longest_pause_s=0.1, refused_pause_s=0.1)


@dataclass
class Stage:
    """A fake, a live account of ours at it, and a gateway that counts how often it was rung."""

    fake: Any
    account: ExchangeAccount
    gateway: Gateway
    rings: list[float]
    path: str
    asset: str
    pay: Callable[[int], None]

    def turn_until(self, holds: Callable[[], object], *, at_most_s: float = 8.0) -> float:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < at_most_s, "it did not come to pass in time"
            self.gateway.turn()
            time.sleep(0.02)
        return time.monotonic() - began

    def lines(self) -> int:
        return sum(line.status == 101 for line in self.fake.server.log)

    def cash(self) -> Decimal | None:
        return AccountBalance.objects.filter(account=self.account, asset=self.asset).values_list("free", flat=True).first()


def upbit() -> tuple[Any, ApiKey, str, str, Callable[[int], None]]:
    fake = FakeUpbit(has_limits=False)
    fake.open_market("KRW-BTC")
    fake.add_key()
    fake.engine.deposit("main", "KRW", 1_000_000)
    return fake, ApiKey(ACCESS, SECRET), UPBIT_PRIVATE, "KRW", lambda amount: fake.engine.deposit("main", "KRW", amount)


def bitget() -> tuple[Any, ApiKey, str, str, Callable[[int], None]]:
    fake = FakeBitget()
    fake.open_market("ETHUSDT")
    owner = fake.add_account(usdt=1000)
    key = ApiKey(owner.key, owner.secret, owner.passphrase)
    return fake, key, BITGET_PRIVATE, "USDT", lambda amount: fake.engine.deposit(owner.name, "USDT", amount)


@pytest.fixture(params=[upbit, bitget], ids=["upbit", "bitget"])
def stage(request: pytest.FixtureRequest, settings: Any, tmp_path: Any) -> Iterator[Stage]:
    fake, key, path, asset, pay = request.param()
    name = request.param.__name__.upper()
    with fake:
        settings.ENV = env.load({f"DGBOT_{name}_URL": fake.url, f"DGBOT_{name}_WEBSOCKET_URL": fake.websocket_url}, dotenv=None)
        settings.KEY_FILE, settings.PUBLIC_KEY_FILE = tmp_path / "sealing.key", tmp_path / "sealing.pub"
        vault.create_missing()
        venues.public_exchange.cache_clear()
        account = ExchangeAccount.objects.create(
            user=factories.user(), name="live", mode=Mode.LIVE.value, exchange=name.lower(), quote_currency=asset
        )
        credentials.keep(key, account=account, by="test")
        rings: list[float] = []
        gateway = Gateway(open_key=vault.open_key, ring=lambda: rings.append(time.monotonic()))
        gateway.account_feeds = AccountFeeds(ring=gateway.ring, times=TIMES)
        yield Stage(fake, account, gateway, rings, path, asset, pay)
        gateway.close()
        venues.public_exchange.cache_clear()


def verified(stage: Stage) -> None:
    """The key has been found good, and the gateway has connected and read the balances."""
    Credential.objects.update(status="verified", checked_at=machine_now())
    stage.turn_until(lambda: stage.lines() and stage.rings and stage.cash() is not None)
    settle(stage)


def settle(stage: Stage) -> None:
    """Until nothing is said any more."""
    count = -1
    while count != len(stage.rings):
        count = len(stage.rings)
        stage.gateway.turn()
        time.sleep(0.4)


def test_a_key_that_was_not_found_good_is_used_for_no_feed(stage: Stage) -> None:
    for _turn in range(5):
        stage.gateway.turn()
        time.sleep(0.05)

    assert stage.lines() == 0 and stage.gateway.account_feeds.state() == {"followed": [], "stale": []}


def test_money_that_moves_rings_and_is_then_read_by_rest(stage: Stage) -> None:
    verified(stage)
    before, rings = stage.cash(), len(stage.rings)

    stage.pay(500)
    took_s = stage.turn_until(lambda: stage.cash() != before)

    assert stage.cash() == before + 500
    assert len(stage.rings) > rings
    assert took_s < 5  # unasked it is read every ten seconds


def test_a_lost_line_rings_when_it_is_up_again(stage: Stage) -> None:
    verified(stage)
    before, lines = stage.cash(), stage.lines()
    stage.fake.sockets.drops = frozenset({"account", "orders", "positions", "myAsset", "myOrder"})
    stage.pay(700)

    stage.fake.server.cut_sockets()
    stage.turn_until(lambda: stage.cash() != before)

    assert stage.lines() > lines and stage.cash() == before + 700


def test_a_storm_of_news_rings_a_few_times(stage: Stage) -> None:
    verified(stage)
    rings = len(stage.rings)

    for _payment in range(100):
        stage.pay(1)
    settle(stage)

    assert 1 <= len(stage.rings) - rings <= 12


def test_a_key_that_is_refused_later_loses_its_line(stage: Stage) -> None:
    verified(stage)
    Credential.objects.update(status="refused")

    stage.turn_until(lambda: stage.fake.server.socket_count == 0)

    assert stage.gateway.account_feeds.state()["followed"] == []


def test_a_lie_told_by_the_feed_moves_no_order_and_no_balance(stage: Stage) -> None:
    verified(stage)
    before = stage.cash()
    asset = {"currency": stage.asset, "balance": 999_999_999, "locked": 0}
    lie = {"type": "myAsset", "assets": [asset], "asset_timestamp": 1795185658973, "timestamp": 1795185658973}
    coin = {"marginCoin": stage.asset, "frozen": "0", "available": "999999999", "maxOpenPosAvailable": "999999999"}
    other = {
        "action": "snapshot",
        "arg": {"instType": "USDT-FUTURES", "channel": "account", "coin": "default"},
        "data": [coin],
        "ts": 1795185658973,
    }
    stage.fake.sockets.push(json.dumps(lie if stage.asset == "KRW" else other), path=stage.path)
    rings = len(stage.rings)
    stage.turn_until(lambda: len(stage.rings) > rings)
    settle(stage)

    assert stage.cash() == before and not Order.objects.exists()
