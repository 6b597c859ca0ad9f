"""Two beats, three workers, gateway, guardian and ticker, each killed again and again, Redis emptied twice: one cycle per slot."""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dgbot.local.paths import Places
from tests.faults import rules
from tests.faults.crew import Crew, crew_on
from tests.faults.rules import wait_until
from tests.scale import in_turn, scale

SLOTS = scale(sample=20, full=500)
KILL_EVERY_S = (2.0, 6.0)
MEMBERS = ("beat 1", "beat 2", "worker 1", "worker 2", "worker 3", "gateway 1", "guardian 1", "ticker 1")

pytestmark = pytest.mark.timeout(SLOTS * 4 + 240)


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    with crew_on(folder) as made:
        yield made


@in_turn(1, of=2)
def test_every_slot_has_one_cycle_whoever_is_killed(crew: Crew) -> None:
    choice, places = random.Random(20261121), Places(crew.folder)
    for name in MEMBERS:
        crew.start(name)

    flush_at, deadline = [SLOTS // 3, 2 * SLOTS // 3], time.monotonic() + SLOTS * 4 + 120
    while (done := slots_done(crew)) < SLOTS:
        assert time.monotonic() < deadline, f"{done} of {SLOTS} slots after {crew.kills} kills"
        if flush_at and done >= flush_at[0]:
            flush_at.pop(0)
            redis.Redis(unix_socket_path=str(places.valkey_socket)).flushall()
        time.sleep(choice.uniform(*KILL_EVERY_S))
        victim = choice.choice(MEMBERS)
        crew.kill(victim, with_children=choice.random() < 0.5)
        crew.start(victim)

    crew.sql("UPDATE bots SET is_running = false, status = 'stopped'")
    running, unsettled = "status = 'running'", "status IN ('planned', 'submitting', 'unknown')"
    wait_until(lambda: crew.sql(f"SELECT count(*) FROM cycles WHERE {running}") == (0,), "the last cycle to end", seconds=120)
    wait_until(lambda: crew.sql(f"SELECT count(*) FROM orders WHERE {unsettled}") == (0,), "orders to be settled", seconds=120)
    assert crew.kills >= 5
    rules.assert_nothing_doubled(crew.sql)
    rules.assert_books_balance(crew.sql)
    sys.stdout.write(f"{slots_done(crew)} slots, {crew.kills} kills\n")


def slots_done(crew: Crew) -> int:
    return int(crew.sql("SELECT count(*) FROM cycles WHERE status <> 'running'")[0])
