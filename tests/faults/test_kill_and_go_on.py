"""SIGKILL in the middle of a cycle: afterwards no slot has two cycles, no order is doubled, and the bot goes on.

The middle is made certain by a lock: a test holds a table the victim is about to write, waits until it is stuck, and kills.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dgbot.local.paths import Places
from tests.faults import rules
from tests.faults.platform import Platform
from tests.faults.rules import PATIENCE_S, wait_until
from tests.scale import in_turn, only_in_full

pytestmark = pytest.mark.timeout(300)

SHORT_WAITS = {
    "DGBOT_CYCLE_LEASE_S": "4",
    "DGBOT_LEASE_S": "4",
    "DGBOT_SUBMIT_TIMEOUT_S": "1",
    "DGBOT_SIMULATED_FAST_SLOTS": "100000",
}


@pytest.fixture
def trading(platform: Platform) -> Platform:
    """The platform, its demo bot at work."""
    platform.start(**SHORT_WAITS).wait_for("Logs")
    wait_until(lambda: cycles(platform) >= 1, "the first cycle")
    return platform


@in_turn(0, of=2)
@pytest.mark.parametrize(
    ("victim", "table"),
    [
        ("worker", "ai_decisions"),
        pytest.param("worker", "stage_results", marks=only_in_full),
        pytest.param("gateway", "trades", marks=only_in_full),  # waits for the market's first order; the crash matrix does not
        ("database", "ai_decisions"),
        pytest.param("supervisor", "ai_decisions", marks=only_in_full),
    ],
)
def test_a_kill_in_mid_work_changes_nothing_but_time(trading: Platform, victim: str, table: str) -> None:
    with stuck_at(trading, table, until_order=victim == "gateway"):
        before = cycles(trading)
        kill(trading, victim)
    if victim in ("database", "supervisor"):
        code, said = trading.end()
        assert victim == "supervisor" or (code == 1 and "postgres ended by itself" in said)
        assert trading.left_after(20) == {}
        trading.start(**SHORT_WAITS).wait_for("Logs")

    wait_until(lambda: cycles(trading) > before + 3, "cycles after the kill")

    assert one(trading, "SELECT is_running, status FROM bots") == (True, "running")
    rules.assert_nothing_doubled(trading.sql)
    wait_until(lambda: one(trading, "SELECT count(*) FROM orders WHERE status IN ('submitting', 'unknown')") == (0,), "settled orders")
    rules.assert_books_balance(trading.sql)
    trading.run.send_signal(signal.SIGTERM)
    assert trading.end()[0] == 0


@contextlib.contextmanager
def stuck_at(platform: Platform, table: str, *, until_order: bool) -> Iterator[None]:
    """Hold `table` until somebody waits for it; the block runs while he does."""
    blocker = connect(platform)
    with contextlib.closing(blocker), blocker.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        waiting = f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
        wait_until(lambda: one(platform, waiting) != (0,), f"somebody to wait for {table}", seconds=240 if until_order else PATIENCE_S)
        yield


def kill(platform: Platform, victim: str) -> None:
    """SIGKILL the victim; the worker with its pool, as a power cut would."""
    if victim == "supervisor":
        os.kill(platform.run.pid, signal.SIGKILL)
        return
    if victim == "database":
        os.kill(int((platform.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        return
    words = {"worker": " worker ", "gateway": "run_gateway"}[victim]
    for pid, line in platform.processes().items():
        if words in f"{line} ":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def cycles(platform: Platform) -> int:
    """Cycles that are done."""
    return int(one(platform, "SELECT count(*) FROM cycles WHERE status = 'done'")[0])


def one(platform: Platform, query: str) -> tuple[Any, ...]:
    """The first row of a query."""
    row = platform.sql(query)
    assert row is not None
    return row


def connect(platform: Platform) -> Any:
    """A session of its own."""
    return psycopg2.connect(host=str(Places(Path(platform.folder)).run), user="dgbot", dbname="dgbot")
