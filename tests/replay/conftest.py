"""What every replay test needs: settings and profiles in the database, and the counters of statements and commits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from backtests.candles.importing import read_file
from risk.seeds import create_profiles
from trading.seeds import create_settings
from trading.selectors.replays import Summary, summarise
from trading.services import replaying

CASH = Decimal(1_000_000)


@dataclass
class Counts:
    """Statements we sent and transactions that wrote, over both connections."""

    statements: int = 0
    commits: int = 0


@pytest.fixture
def ready(transactional_db: None) -> None:
    """What `manage.py prepare` makes before a replay can run."""
    create_profiles()
    create_settings()


@contextmanager
def counted(counts: Counts) -> Iterator[None]:
    """Add what happens inside to `counts`. PostgreSQL itself counts the commits: only a writing transaction takes a number."""

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        counts.statements += 1
        return execute(sql, params, many, context)

    before = _transactions()
    with ExitStack() as stack:
        for alias in ("default", "venue"):
            stack.enter_context(connections[alias].execute_wrapper(count))
        yield
    counts.commits += _transactions() - before


def _transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def replay_file(path: Path, *, start: datetime, end: datetime, now: datetime) -> tuple[replaying.Replay, Summary]:
    """Replay the candles of a file opened in [start, end) to its end."""
    recording = read_file(path, exchange="upbit", symbol="KRW-BTC", now=now).candles
    order = replaying.Order(recording=recording, strategy="volatility_breakout", parameters={}, cash=CASH, start=start, end=end)
    replay = replaying.prepare(order)
    for _slot in replay.run():
        pass
    return replay, summarise(replay.bot)
