"""Two beats, three workers and a gateway, each killed again and again, and Redis emptied twice: one cycle per slot, no more, no less."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from dgbot.env import BASE_DIR
from dgbot.local.paths import Places
from dgbot.local.servers import Servers
from dgbot.local.up import programs
from tests.faults import rules
from tests.faults.platform import OPERATORS
from tests.faults.rules import wait_until
from tests.scale import scale

SLOTS = scale(sample=50, full=500)
KILL_EVERY_S = (2.0, 6.0)
SETTINGS = {
    "DGBOT_CYCLE_LEASE_S": "4",
    "DGBOT_LEASE_S": "4",
    "DGBOT_SUBMIT_TIMEOUT_S": "1",
    "DGBOT_SIMULATED_FAST_SLOTS": "100000",
}
CREW = {"beat 1": "beat", "beat 2": "beat", "worker 1": "worker", "worker 2": "worker", "worker 3": "worker", "gateway": "gateway"}

pytestmark = pytest.mark.timeout(SLOTS * 4 + 240)


class Crew:
    """Processes started as `up` starts them, without its patience: whoever dies comes back at once."""

    def __init__(self, folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
        self.environment = {**inherited, **SETTINGS, "DGBOT_DATA_DIR": str(folder), "DGBOT_SUPERVISED": "true"}
        self.commands = {program.name: program.command for program in programs("127.0.0.1", 1)}
        self.folder, self.members, self.kills = folder, {}, 0

    def manage(self, *arguments: str) -> None:
        subprocess.run([sys.executable, BASE_DIR / "manage.py", *arguments], env=self.environment, check=True, capture_output=True)

    def start(self, name: str) -> None:
        program = CREW[name]
        command = [*self.commands[program], *(["--hostname", f"{name.replace(' ', '')}@%h"] if program == "worker" else [])]
        with (self.folder / f"{name}.out").open("ab") as output:
            self.members[name] = subprocess.Popen(
                command,
                cwd=BASE_DIR,
                env={**self.environment, "DGBOT_PROCESS": program},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self, name: str, *, with_children: bool) -> None:
        member = self.members[name]
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if with_children else os.kill)(member.pid, signal.SIGKILL)
        member.wait()
        self.kills += 1

    def end(self) -> None:
        for member in self.members.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(member.pid, signal.SIGKILL)
            member.wait()


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    with Servers(Places(folder)):
        made = Crew(folder)
        made.manage("prepare")
        try:
            yield made
        finally:
            made.end()


def test_every_slot_has_one_cycle_whoever_is_killed(crew: Crew) -> None:
    choice, places = random.Random(20261121), Places(crew.folder)
    for name in CREW:
        crew.start(name)

    flush_at, deadline = [SLOTS // 3, 2 * SLOTS // 3], time.monotonic() + SLOTS * 4 + 120
    while (done := slots_done(crew)) < SLOTS:
        assert time.monotonic() < deadline, f"{done} of {SLOTS} slots after {crew.kills} kills"
        if flush_at and done >= flush_at[0]:
            flush_at.pop(0)
            redis.Redis(unix_socket_path=str(places.valkey_socket)).flushall()
        time.sleep(choice.uniform(*KILL_EVERY_S))
        victim = choice.choice(sorted(CREW))
        crew.kill(victim, with_children=choice.random() < 0.5)
        crew.start(victim)

    sql("UPDATE bots SET is_running = false, status = 'stopped'", crew)
    wait_until(lambda: sql("SELECT count(*) FROM cycles WHERE status = 'running'", crew) == (0,), "the last cycle to end", seconds=120)
    wait_until(
        lambda: sql("SELECT count(*) FROM orders WHERE status IN ('planned', 'submitting', 'unknown')", crew) == (0,), "orders", seconds=120
    )
    assert not flush_at
    assert crew.kills >= 5
    rules.assert_nothing_doubled(lambda query: sql(query, crew))
    rules.assert_books_balance(lambda query: sql(query, crew))
    sys.stdout.write(f"{slots_done(crew)} slots, {crew.kills} kills\n")


def slots_done(crew: Crew) -> int:
    return int(sql("SELECT count(*) FROM cycles WHERE status <> 'running'", crew)[0])


def sql(query: str, crew: Crew) -> tuple:
    with contextlib.closing(psycopg2.connect(host=str(Places(crew.folder).run), user="dgbot", dbname="dgbot")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone() if cursor.description else ()
