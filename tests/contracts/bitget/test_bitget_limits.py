"""Bitget's documented limits under load: reads queue, orders go ahead, and Bitget has next to nothing to refuse."""

import threading
import time

import pytest

from dgbot.core.errors import RateLimited
from dgbot.core.types import Side
from tests.contracts.bitget.stage import PLACE, RAW, SYMBOL, an_order, connected
from tests.fakes.bitget import FakeBitget
from tests.scale import scale
from trading.exchanges.budget import BITGET_LIMITS, LocalBudget

RUN_S = scale(sample=3, full=300)
READERS = 6
ORDERS_PER_S = 4


@pytest.mark.timeout(600)
def test_under_a_flood_of_reads_no_order_starves_and_bitget_refuses_next_to_nothing():
    with FakeBitget(has_limits=True) as fake:
        fake.open_market(RAW)
        account = fake.add_account(usdt=1_000_000)
        exchange = connected(fake, account, budget=LocalBudget(BITGET_LIMITS, share=1.0), total_timeout_s=8.0)
        exchange.balances()
        finish, starved = time.monotonic() + RUN_S, []

        def read() -> None:
            while time.monotonic() < finish:
                for ask in (exchange.positions, exchange.balances, lambda: exchange.ticker(SYMBOL), exchange.open_orders):
                    try:
                        ask()
                    except RateLimited as error:
                        time.sleep(min(error.retry_after_s, 0.2))

        readers = [threading.Thread(target=read) for _number in range(READERS)]
        for reader in readers:
            reader.start()
        number = 0
        while time.monotonic() < finish:
            number += 1
            try:
                exchange.place(an_order(f"A{number}", side=Side.BUY if number % 2 else Side.SELL))
            except RateLimited as error:
                starved.append(error)
            time.sleep(1 / ORDERS_PER_S)
        for reader in readers:
            reader.join()

        refused = [line for line in fake.server.log if line.status == 429]
        assert starved == [] and len(fake.server.requests(PLACE)) == number
        assert len(refused) <= max(1, len(fake.server.log) // 1000), f"{len(refused)} of {len(fake.server.log)}"
