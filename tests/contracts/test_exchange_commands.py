"""`doctor --exchange` and `live_check`, over the real wire to the fakes."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from dgbot import env
from dgbot.core.types import Mode
from tests import factories
from tests.contracts.exchange_stages import NAMES, sparse_candles, stage_of
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.upbit.server import ACCESS, SECRET, FakeUpbit
from trading import vault
from trading.exchanges.keys import ApiKey
from trading.models import Credential, ExchangeAccount, KeyStatus
from trading.services import commands, credentials, exchange_health, gateway, venues
from trading.services.gateway_loop import Gateway
from trading.services.live_check import LiveCheck

pytestmark = [pytest.mark.contracts, pytest.mark.django_db(transaction=True, databases=["default", "venue"])]

D = Decimal


@pytest.fixture
def fake(settings: Any, tmp_path: Any) -> Iterator[FakeUpbit]:
    with FakeUpbit(candles=sparse_candles, has_limits=False) as made:
        made.open_market("KRW-BTC")
        made.strangers_trade("KRW-BTC", count=3)
        made.add_key()
        made.engine.deposit("main", "KRW", 1_000_000)
        settings.ENV = env.load({"DGBOT_UPBIT_URL": made.url}, dotenv=None)
        settings.KEY_FILE, settings.PUBLIC_KEY_FILE = tmp_path / "sealing.key", tmp_path / "sealing.pub"
        vault.create_missing()
        venues.public_exchange.cache_clear()
        venues._signing.clear()
        yield made
        venues.public_exchange.cache_clear()


def live_account() -> ExchangeAccount:
    home = factories.account(mode=Mode.LIVE)
    credentials.keep(ApiKey(ACCESS, SECRET), account=home, by="test")
    return home


def doctor(*arguments: str) -> dict[str, dict[str, str]]:
    said = io.StringIO()
    call_command("doctor", "--exchange", "upbit", "--json", *arguments, stdout=said)
    return {finding["question"]: finding for finding in json.loads(said.getvalue())}


def test_the_doctor_finds_a_healthy_exchange_good(fake):
    found = doctor()

    assert {name: finding["state"] for name, finding in found.items()} | {"candles": "good"} == dict.fromkeys(
        ("reachable", "clock", "rules", "candles"), "good"
    )


def test_the_doctor_names_what_is_bad_and_ends_with_an_error(fake):
    fake.is_under_maintenance = True
    said = io.StringIO()

    with pytest.raises(CommandError, match="bad: reachable"):
        call_command("doctor", "--exchange", "upbit", stdout=said)

    assert "BAD " in said.getvalue()


def test_the_doctor_sees_a_wrong_clock(settings):
    with FakeBitget() as fake:
        fake.open_market("BTCUSDT", price=100_000)
        settings.ENV = env.load({"DGBOT_BITGET_URL": fake.url}, dotenv=None)
        venues.public_exchange.cache_clear()
        fake.clock.advance(-60)

        with pytest.raises(CommandError, match="clock"):
            call_command("doctor", "--exchange", "bitget", "--json", stdout=io.StringIO())
    venues.public_exchange.cache_clear()


def test_the_doctor_asks_keys_through_the_gateway(fake, monkeypatch):
    live_account()

    def served(command, *, at_most_s):
        loop = Gateway(open_key=vault.open_key)  # another process, played in this one
        loop.turn()
        loop.close()
        return waited(command, at_most_s=at_most_s)

    waited = commands.wait_for
    monkeypatch.setattr(exchange_health.commands, "wait_for", served)
    found = doctor()

    (key,) = [finding for name, finding in found.items() if name.startswith("key")]
    assert "withdraw: unknown" in key["said"] and key["state"] == "good"


def test_the_doctor_says_when_no_gateway_answers(fake):
    live_account()

    with pytest.raises(CommandError, match="key ••••"):
        doctor("--wait", "0.1")


def verified() -> ExchangeAccount:
    home = live_account()
    Credential.objects.update(status=KeyStatus.VERIFIED, checked_at=home.created_at)
    return home


def live_check(home: ExchangeAccount, *more: str) -> list[dict[str, Any]]:
    said = io.StringIO()
    call_command("live_check", str(home.pk), "--symbol", "KRW-BTC", "--most", "20000", "--json", *more, stdout=said)
    return json.loads(said.getvalue())


@pytest.mark.parametrize(("is_on", "more"), [(False, ["--i-accept-real-orders"]), (True, []), (False, [])])
def test_live_check_needs_both_switches(fake, settings, is_on, more):
    settings.LIVE_TRADING = is_on

    with pytest.raises(CommandError, match="switches"):
        live_check(verified(), *more)
    assert not fake.server.requests("POST /v1/orders")


def test_live_check_refuses_an_account_that_a_gateway_serves(fake, settings):
    settings.LIVE_TRADING = True
    home = verified()
    tenure = gateway.take_account(home.pk)
    factories.execute("UPDATE leases SET holder = 'another:1' WHERE name = %s", tenure.name)

    with pytest.raises(CommandError, match="stop it first"):
        live_check(home, "--i-accept-real-orders")


def test_live_check_refuses_a_key_that_is_not_verified(fake, settings):
    settings.LIVE_TRADING = True

    with pytest.raises(CommandError, match="not verified"):
        live_check(live_account(), "--i-accept-real-orders")


def test_live_check_asks_every_question_and_leaves_nothing_behind(fake, settings):
    settings.LIVE_TRADING = True

    answers = live_check(verified(), "--i-accept-real-orders")

    assert len(answers) == 8
    assert [answer for answer in answers if answer["is_expected"] is False] == []
    assert not [order for order in fake.engine.orders.values() if order.is_live]
    assert max(order.funds for order in fake.engine.orders.values()) <= 20_000


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("upbit", "bitget")])
def test_live_check_holds_at_every_signed_exchange(name):
    with stage_of(name) as stage:
        answers = list(LiveCheck(stage.exchange, stage.symbol, D(100_000), "DEV").run())

        assert [answer for answer in answers if answer.is_expected is False] == []
        assert list(stage.exchange.open_orders()) == []
        assert stage.held() < stage.unit


def test_live_check_sends_nothing_when_the_smallest_order_is_too_large():
    with stage_of("upbit") as stage, pytest.raises(Exception, match="raise --most"):
        LiveCheck(stage.exchange, stage.symbol, D(100), "DEV")
