"""`manage.py fake_exchange` serves an exchange that an adapter can trade at."""

import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from subprocess import PIPE, Popen

import pytest
from django.core.management import CommandError, call_command

from dgbot.core.interval import Interval
from dgbot.core.types import OrderRequest, OrderType, Side
from dgbot.env import BASE_DIR
from tests.fakes.core.server import FakeServer
from tests.fakes.upbit.server import ACCESS, SECRET
from trading.exchanges import upbit
from trading.exchanges.upbit_http import UpbitHttp


@pytest.fixture
def address() -> Iterator[str]:
    """Where a fake Upbit in its own process listens."""
    command = [sys.executable, "manage.py", "fake_exchange", "upbit", "--port", "0", "--seconds", "60"]
    process = Popen(command, cwd=BASE_DIR, stdout=PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.findall(r"http://[0-9.:]+", line)[0]
    finally:
        process.terminate()
        process.wait(10)


def test_a_developer_trades_at_the_fake_with_the_key_it_tells(address: str) -> None:
    exchange = upbit.connect(http=UpbitHttp(base_url=address), access_key=ACCESS, secret_key=SECRET)
    now = datetime.now(tz=UTC)

    candles = exchange.candles("KRW-BTC", Interval.HOUR_1, start=now - timedelta(hours=300), end=now)
    request = OrderRequest(client_id="DEMO", symbol="KRW-BTC", side=Side.BUY, order_type=OrderType.MARKET, quote_amount=Decimal(50_000))
    exchange.place(request)

    order = exchange.order(symbol="KRW-BTC", client_id="DEMO")
    assert order is not None
    assert order.filled_amount > 0
    assert len(candles) > 250
    assert {rules.symbol for rules in exchange.markets()} == {"KRW-BTC", "KRW-ETH", "KRW-XRP"}


def test_bitget_is_served_too_and_the_key_is_told() -> None:
    told = io.StringIO()

    call_command("fake_exchange", "bitget", port=0, seconds=0.3, stdout=told)

    assert "Fake bitget at http://127.0.0.1:" in told.getvalue()
    assert "Passphrase " in told.getvalue()


def test_a_port_in_use_is_told_in_one_sentence() -> None:
    with FakeServer(lambda _request: None) as other, pytest.raises(CommandError, match="cannot be used"):  # type: ignore[arg-type, return-value]
        call_command("fake_exchange", "upbit", port=other.port, seconds=0.1, stdout=io.StringIO())


def test_an_installation_without_tests_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tests.fakes.demo", None)

    with pytest.raises(CommandError, match="come with the tests"):
        call_command("fake_exchange", "upbit", stdout=io.StringIO())


def test_no_thread_of_a_fake_outlives_it() -> None:
    call_command("fake_exchange", "upbit", port=0, seconds=0.1, stdout=io.StringIO())

    assert not [thread for thread in threading.enumerate() if thread.name == "fake-exchange"]
