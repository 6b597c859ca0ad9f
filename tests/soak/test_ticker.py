"""Many five-second bots for minutes: looks in time, bars as recomputed, memory flat, rows as the storage rule allows."""

import os
import subprocess
import sys
import time
from datetime import datetime

import psutil
import pytest

from dgbot.core.interval import Interval
from dgbot.env import BASE_DIR
from tests.faults.platform import OPERATORS, Platform
from tests.scale import scale
from trading.exchanges.simulated_market import SimulatedMarket

BOTS = scale(sample=40, full=200)
MINUTES = scale(sample=2, full=10)
LATE_SHARE = 0.01  # p99
GROWTH_MIB = 40  # once warm
WARM_S = 60

pytestmark = pytest.mark.timeout(MINUTES * 60 + 300)


def rows(platform: Platform, query: str) -> list[tuple]:
    return platform.sql(f"SELECT coalesce(json_agg(told), '[]') FROM ({query}) AS told")[0]


def test_many_ticker_bots_for_minutes(platform: Platform) -> None:
    platform.start(DGBOT_SIMULATED_FAST_SLOTS="100000").wait_for("Logs")
    inherited = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
    surroundings = {**inherited, "DGBOT_DATA_DIR": str(platform.folder), "TICKER_BOTS": str(BOTS)}
    script = (BASE_DIR / "tests/soak/many_tickers.py").read_text()
    subprocess.run([sys.executable, "manage.py", "shell", "-c", script], cwd=BASE_DIR, env=surroundings, check=True)
    (pid,) = [pid for pid, words in platform.processes().items() if "run_ticker" in words and "reaper" not in words]
    process = psutil.Process(pid)

    memory = []
    until = time.monotonic() + MINUTES * 60 + WARM_S
    while time.monotonic() < until:
        time.sleep(10)
        memory.append(process.memory_info().rss / 2**20)
    platform.sql("UPDATE bots SET is_running = false, status = 'stopped'")
    time.sleep(15)

    looks, late, worst, bots = platform.sql("SELECT sum(looks), sum(late), max(worst_lateness_ms), count(DISTINCT bot_id) FROM tick_counts")
    cycles = rows(platform, "SELECT bot_id, count(*) AS n, count(*) FILTER (WHERE status <> 'done') AS bad FROM cycles GROUP BY 1")
    cpu = process.cpu_times()
    print(f"{bots} bots, {looks} looks, {late} over 500 ms ({late / looks:.3%}), worst {worst} ms;")  # noqa: T201  the figures are the point
    print(f"memory {memory[5]:.0f} → {memory[-1]:.0f} MiB; CPU {cpu.user + cpu.system:.0f} s; cycles {sum(row['n'] for row in cycles)}")  # noqa: T201  the figures are the point
    assert bots == BOTS
    assert looks >= 0.9 * BOTS * MINUTES * 60 / 5
    assert late / looks <= LATE_SHARE
    assert memory[-1] - memory[5] < GROWTH_MIB
    assert [row for row in cycles if row["bad"]] == []
    # One row a closed bar, and one for each change of the answer: a few at the start, when balances become known.
    assert max(row["n"] for row in cycles) <= MINUTES + 10
    check_bars(platform)


def check_bars(platform: Platform) -> None:
    """Each bot's newest decision names the hash of its candles; the market, asked afresh, gives the same."""
    markets: dict[str, SimulatedMarket] = {}
    newest = rows(
        platform,
        "SELECT DISTINCT ON (decisions.bot_id) decisions.symbol, anchor_at, candle_count, candles_hash, slot, seed, origin"
        " FROM ai_decisions AS decisions JOIN cycles ON cycles.id = decisions.cycle_id"
        " JOIN exchange_accounts AS accounts ON accounts.id = decisions.account_id"
        " JOIN simulated_markets AS markets ON markets.id = accounts.simulated_market_id"
        " WHERE markets.name = 'Real time' ORDER BY decisions.bot_id, decisions.id DESC",
    )

    for row in newest:
        market = markets.setdefault(row["symbol"], SimulatedMarket(row["symbol"], row["seed"], datetime.fromisoformat(row["origin"])))
        anchor_at, slot = datetime.fromisoformat(row["anchor_at"]), datetime.fromisoformat(row["slot"])
        expected = market.candles(Interval.MINUTE_1, anchor_at, slot)
        assert row["candle_count"] == len(expected)
        assert row["candles_hash"] == expected.hash_at(len(expected))
    assert len(newest) == BOTS
