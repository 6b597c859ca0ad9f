"""Every kind of strategy trades in a replay what it says of the whole file: entry at the open after the signal."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from backtests.strategies.base import YES
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import to_nanoseconds
from dgbot.core.interval import Interval
from tests.replay.conftest import CASH
from trading.exchanges.simulated_market import SimulatedMarket
from trading.models import Trade
from trading.services import replaying

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "venue"])
ORIGIN = datetime(2023, 6, 1, tzinfo=UTC)
SLOTS = 40


@pytest.mark.parametrize("name", ["volume_zone_breakout", "ultra_aggressive_momentum"])
def test_a_replay_enters_at_the_open_after_a_signal(name: str, ready: None) -> None:
    candles = SimulatedMarket("KRW-BTC", 1, ORIGIN).closed_candles(Interval.HOUR_1, ORIGIN + timedelta(hours=SLOTS))
    strategy = strategy_named(name)
    entry = strategy.signals(candles, strategy.parameters()).entry

    order = replaying.Order(recording=candles, strategy=name, parameters={}, cash=CASH, start=ORIGIN, end=ORIGIN + timedelta(hours=SLOTS))
    replay = replaying.prepare(order)
    for _slot in replay.run():
        pass

    bought = list(Trade.objects.filter(bot=replay.bot, side="buy").values_list("created_at", flat=True))
    assert bought, "a replay that buys nothing proves nothing"
    for at in bought:
        filled_in = int(np.searchsorted(candles.open_time, to_nanoseconds(at), side="right")) - 1
        assert entry[filled_in - 1] == YES
