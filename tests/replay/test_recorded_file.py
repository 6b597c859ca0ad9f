"""The main job on recorded Upbit candles: a year of KRW-BTC hours, trade by trade as a plain loop makes them.

Needs the recorded files, which are not shipped: DGBOT_TEST_DATA, or ../shared/data beside the checkout.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.replay import plain_loop
from tests.replay.conftest import CASH, replay_file
from tests.replay.plain_loop import day
from tests.replay.test_simulated_file import assert_books_balance, assert_equal_to_the_engine, assert_no_candle_of_the_future, fills_of
from trading.models import Cycle

DATA = Path(os.environ.get("DGBOT_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
FILE = DATA / "upbit" / "KRW-BTC_minute60.csv.gz"
HOURS_OF_2023 = 8739

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "venue"]),
    pytest.mark.skipif(not FILE.exists(), reason=f"NOT RUN: the recorded candles are not here; set DGBOT_TEST_DATA ({FILE.name})"),
    pytest.mark.skipif(os.environ.get("CI") == "true", reason="a year takes minutes; CI replays 1,000 simulated slots instead"),
]


def test_a_year_of_recorded_hours_trades_as_the_plain_loop_does_and_twice_the_same(ready: None) -> None:
    start, end = day("2023-01-01"), day("2024-01-01")

    replay, summary = replay_file(FILE, start=start, end=end, now=datetime.now(tz=UTC))

    bars = plain_loop.read(FILE)
    expected = plain_loop.run(bars, start=start, end=end, cash=CASH)
    assert fills_of(summary) == expected.fills
    assert summary.trades >= 25
    slots = list(Cycle.objects.filter(bot=replay.bot).order_by("slot").values_list("slot", flat=True))
    assert slots == [bar.at + timedelta(hours=1) for bar in bars if start <= bar.at < end]
    assert len(slots) == HOURS_OF_2023
    assert replay.bot.decisions.exclude(anchor_at=bars[0].at).count() == 0
    assert_books_balance(replay.bot.pk, cash=expected.cash)
    assert_equal_to_the_engine(replay)
    assert_no_candle_of_the_future(replay.bot.pk)

    _again, second = replay_file(FILE, start=start, end=end, now=datetime.now(tz=UTC))
    assert second.fills == summary.fills
