"""A ticker stopped for longer than its lease: another takes over in time, and what the sleeper still wanted to write is refused."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgbot.env import BASE_DIR
from tests.faults.crew import Crew, crew_on
from tests.faults.rules import wait_until
from tests.scale import only_in_full, scale

LEASE_S = scale(sample=4, full=30)
ASLEEP_S = scale(sample=8, full=45)
BOTS = 4

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    with crew_on(folder) as made:
        made.environment["DGBOT_LEASE_S"] = str(LEASE_S)
        yield made


@only_in_full
def test_another_ticker_takes_over_and_the_sleeper_writes_nothing(crew: Crew) -> None:
    crew.manage("shell", "-c", (BASE_DIR / "tests/soak/many_tickers.py").read_text(), TICKER_BOTS=str(BOTS))
    for name in ("gateway 1", "beat 1", "worker 1", "ticker 1"):
        crew.start(name)
    wait_until(lambda: held_by(crew, "ticker 1") == BOTS, "the first ticker to hold every bot")
    crew.start("ticker 2")
    before = looks(crew)
    wait_until(lambda: looks(crew) > before, "looks of the first ticker")

    os.kill(crew.members["ticker 1"].pid, signal.SIGSTOP)
    asleep_at = time.monotonic()
    wait_until(lambda: held_by(crew, "ticker 2") == BOTS, "the second ticker to take over")
    took_s = time.monotonic() - asleep_at
    time.sleep(max(0.0, ASLEEP_S - took_s))
    os.kill(crew.members["ticker 1"].pid, signal.SIGCONT)
    awake_looks = looks(crew)
    wait_until(lambda: looks(crew) > awake_looks, "looks of the second ticker")
    time.sleep(3)

    assert took_s < LEASE_S + 10
    assert held_by(crew, "ticker 2") == BOTS
    assert held_by(crew, "ticker 1") == 0
    since = f"recorded_at > clock_timestamp() - interval '{ASLEEP_S - 2} s'"
    stale = f"SELECT count(*) FROM cycles WHERE runner LIKE '%:{crew.members['ticker 1'].pid}' AND {since}"
    assert crew.sql(stale) == (0,)
    assert crew.sql("SELECT count(*) FROM (SELECT 1 FROM cycles GROUP BY bot_id, slot HAVING count(*) > 1) AS twice") == (0,)
    sys.stdout.write(f"taken over after {took_s:.1f} s with a lease of {LEASE_S} s\n")


def held_by(crew: Crew, name: str) -> int:
    pid = crew.members[name].pid
    query = f"SELECT count(*) FROM leases WHERE name LIKE 'bot:%' AND holder LIKE '%:{pid}' AND expires_at > clock_timestamp()"
    return int(crew.sql(query)[0])


def looks(crew: Crew) -> int:
    return int(crew.sql("SELECT coalesce(sum(looks), 0) FROM tick_counts")[0])
