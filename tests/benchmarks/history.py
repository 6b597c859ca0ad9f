"""How fast the long lists open: `python -m tests.benchmarks.history`. A million trades, orders, decisions and log lines.

Every list with every kind of filter and search, its first page and a deep one, through Django's whole stack (middleware, admin,
templates) and a real PostgreSQL of its own; no network, no browser. Goals: p95 at most 150 ms, a deep page at most twice the first,
at most 12 queries a page. On a shared machine the wall clock tells the neighbours' work, too, so processor time stands beside it.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, Servers

ROWS = 1_000_000
BOTS = 50
REPEATS = 20
GOAL_MS, DEEP_RATIO, MOST_QUERIES = 150, 2.0, 12
NOWHERE = "redis://127.0.0.1:1/0"
SYMBOLS = ("KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL", "KRW-DOGE")

# The triggers that guard facts are asleep while this session writes: they prove the order path, and nothing here is an order.
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT row_number() OVER (ORDER BY id) - 1 AS number, * FROM bots WHERE id = ANY(%(ids)s)
"""
CYCLES = """
INSERT INTO cycles (bot_id, account_id, user_id, mode, slot, trigger, status, outcome, runner, runner_epoch)
SELECT b.id, b.account_id, b.user_id, b.mode, %(newest)s - n * interval '1 minute', 'schedule', 'done', 'nothing to do', 'bench', 1
FROM generate_series(0, %(count)s - 1) n JOIN numbered b ON b.number = n %% %(bots)s
"""
TRADES = """
INSERT INTO trades (trade_id, bot_id, account_id, user_id, mode, symbol, side, purpose, exit_reason, price, amount, total, fee,
                    fee_currency, status, source, created_at, updated_at)
SELECT 't' || n, b.id, b.account_id, b.user_id, b.mode, b.symbol, (ARRAY['buy', 'sell'])[1 + n %% 2], (ARRAY['entry', 'exit'])[1 + n %% 2],
       CASE WHEN n %% 2 = 0 THEN '' ELSE (ARRAY['stop', 'target', 'signal', 'timeout', 'trailing'])[1 + (n / 2) %% 5] END,
       1000 + n %% 100, 2, 2 * (1000 + n %% 100), 1, 'KRW', 'completed', 'exchange', at, at
FROM generate_series(0, %(count)s - 1) n JOIN numbered b ON b.number = n %% %(bots)s,
     LATERAL (SELECT %(newest)s - n * interval '1 minute' AS at) t
"""
ORDERS = """
INSERT INTO orders (bot_id, account_id, user_id, mode, decision_key, purpose, exit_reason, client_id, order_id, symbol, side, order_type,
                    amount, filled_amount, reduce_only, params_hash, plan, status, version, error_message, lease_epoch,
                    created_at, updated_at)
SELECT b.id, b.account_id, b.user_id, b.mode, 'bench:' || n, (ARRAY['entry', 'exit'])[1 + n %% 2],
       CASE WHEN n %% 2 = 0 THEN '' ELSE (ARRAY['stop', 'target', 'signal'])[1 + (n / 2) %% 3] END,
       'S' || translate(lpad(n::text, 30, 'A'), '0189', 'BCDE'), 'x' || n, b.symbol, (ARRAY['buy', 'sell'])[1 + n %% 2], 'market',
       2, 2, n %% 2 = 1, '', '{}', CASE WHEN n %% 1000 = 7 THEN 'failed' WHEN n %% 50 = 3 THEN 'cancelled' ELSE 'filled' END,
       1, '', 0, at, at
FROM generate_series(0, %(count)s - 1) n JOIN numbered b ON b.number = n %% %(bots)s,
     LATERAL (SELECT %(newest)s - n * interval '1 minute' AS at) t
"""
DECISIONS = """
INSERT INTO ai_decisions (cycle_id, bot_id, account_id, user_id, mode, symbol, decision, confidence, reason, market_data, analyst, inputs,
                          proposal, verdict, candle_count, candles_hash, previous_hash, hash, created_at)
SELECT c.id, c.bot_id, c.account_id, c.user_id, c.mode, b.symbol,
       CASE WHEN c.id %% 200 = 0 THEN 'buy' WHEN c.id %% 100 = 1 THEN 'sell' WHEN c.id %% 50 = 2 THEN 'abstain' ELSE 'hold' END, NULL,
       'the rules propose nothing since the trend is flat; reason' || c.id %% 5000, '{"price": "1000"}', 'rules', '{}', '{}', '{}',
       0, '', '', repeat('0', 64), c.slot
FROM cycles c JOIN bots b ON b.id = c.bot_id WHERE c.runner = 'bench'
"""
LOGS = """
INSERT INTO system_logs (level, message, context, created_at)
SELECT CASE WHEN n %% 5000 = 0 THEN 'critical' WHEN n %% 500 = 1 THEN 'error' WHEN n %% 50 = 2 THEN 'warning' ELSE 'info' END,
       'order=' || n || ' bot=' || n %% 50 || ' exchange=upbit was looked at, line' || n %% 5000, '{"logger": "trading.gateway"}',
       %(newest)s - n * interval '1 second'
FROM generate_series(0, %(count)s - 1) n
"""
TABLES = ("cycles", "trades", "orders", "ai_decisions", "system_logs")
ASKED = {
    "trade": [
        "",
        "bot={bot}",
        "symbol=KRW-ETH",
        "symbol=KRW-ETH&side=sell&exit_reason=stop",
        "mode=live",
        "period=30d",
        "q=t777",
        "q=krw-x",
    ],
    "order": ["", "bot={bot}", "status=failed", "symbol=KRW-ETH&side=buy", "mode=live", "question=doubt", "period=7d", "q=x777"],
    "decision": ["", "bot={bot}", "decision=buy", "symbol=KRW-ETH&decision=sell", "mode=live", "period=30d", "q=reason777", "q=trend flat"],
    "systemlog": ["", "level=critical", "level=info", "period=7d", "q=line777", "q=order=777", "q=upbit", "level=error&q=line501"],
}


def main() -> int:
    """Measure and print; the exit code tells whether the goals were met."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="Print JSON.")
    options.add_argument("--rows", type=int, default=ROWS, help="Rows of each table (default %(default)s).")
    options.add_argument("--repeats", type=int, default=REPEATS, help="Requests of each kind (default %(default)s).")
    options.add_argument("--folder", type=Path, help="Keep the rows there, and measure those that are there already.")
    asked = options.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="dgbot-bench.", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    try:
        found = measure(Places(folder), count=asked.rows, repeats=asked.repeats)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    show(found, as_json=asked.json)
    return 0 if not missed(found) else 1


def measure(places: Places, *, count: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each list and question."""
    os.environ.update(DATABASE_URL=places.database_url(user="postgres"), REDIS_URL=NOWHERE, DGBOT_DATA_DIR=str(places.data))
    os.environ["DJANGO_SETTINGS_MODULE"] = "dgbot.settings"
    with Servers(places, names=(POSTGRES,), throwaway=True):
        import django

        django.setup()
        from django.core.management import call_command
        from django.test import Client

        from trading.models import Bot

        call_command("migrate", verbosity=0)
        bots = list(Bot.objects.select_related("user").order_by("pk")) or _filled(count)
        client = Client(headers={"host": "localhost"})
        client.force_login(bots[0].user)
        client.get("/admin/trading/trade/")  # templates are compiled once
        return [one for name, asked in ASKED.items() for one in _list(client, name, asked, bot=bots[7].pk, repeats=repeats)]


def _filled(count: int) -> list[Any]:
    from tests import face_rows

    owner = face_rows.user(is_superuser=True)
    home = face_rows.account(owner)
    bots = [face_rows.bot(owner, within=home, symbol=SYMBOLS[number % len(SYMBOLS)]) for number in range(BOTS)]
    began = time.monotonic()
    fill(count=count, bots=bots)
    print(f"{count:,} rows of each written in {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201
    return bots


def fill(*, count: int, bots: Sequence[Any]) -> None:
    """`count` cycles, trades, orders, decisions and log lines, a minute or a second apart up to now, and PostgreSQL's statistics."""
    from django.db import connection
    from django.utils import timezone

    values = {"count": count, "bots": len(bots), "newest": timezone.now(), "ids": [bot.pk for bot in bots]}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            cursor.execute(NUMBERED, values)
            for statement in (CYCLES, TRADES, ORDERS, DECISIONS, LOGS):
                cursor.execute(statement, values)
            cursor.execute("DROP TABLE numbered")
            cursor.execute(f"ANALYZE {', '.join(TABLES)}")
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")


def _list(client: Any, name: str, asked: Sequence[str], *, bot: int, repeats: int) -> list[dict[str, Any]]:
    url = f"/admin/{'monitoring' if name == 'systemlog' else 'trading'}/{name}/"
    found = []
    for question in asked:
        query = question.format(bot=bot)
        first = _page(client, f"{url}?{query}", repeats=repeats)
        deep_url = f"{url}?{query}{'&' if query else ''}{_middle(client, f'{url}?{query}')}"
        deep = _page(client, deep_url, repeats=repeats)
        figures = {"deep_p95_ms": deep["p95_ms"], "deep_cpu_ms": deep["cpu_ms"], "deep_db_cpu_ms": deep["db_cpu_ms"]}
        found.append({"list": name, "query": question or "(none)", **first, **figures})
    return found


def _middle(client: Any, url: str) -> str:
    """A cursor far down the list: beyond the third page of its end."""
    cursor = "newer=end"
    for _ in range(3):
        newer = re.search(r'rel="prev" href="[^"]*(newer=[^"&]+)', client.get(f"{url}&{cursor}").content.decode())
        if newer is None:
            break
        cursor = newer[1]
    return cursor


def _page(client: Any, url: str, *, repeats: int) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as told:
        assert client.get(url).status_code == 200, url
    queries = len(told)
    wall, processor, database = [], [], _backend_cpu_s()
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        client.get(url)
        wall.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return {
        "queries": queries,
        "median_ms": round(statistics.median(wall), 1),
        "p95_ms": round(statistics.quantiles(wall, n=20)[18], 1),
        "cpu_ms": round(statistics.median(processor), 1),
        "db_cpu_ms": round((_backend_cpu_s() - database) / repeats * 1000, 1),
    }


def _backend_cpu_s() -> float:
    """Processor time so far of PostgreSQL's process behind our connection."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def missed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Which goals were not met."""
    return [
        one
        for one in found
        if one["p95_ms"] > GOAL_MS or one["queries"] > MOST_QUERIES or one["deep_p95_ms"] > DEEP_RATIO * max(one["p95_ms"], 1)
    ]


def show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    """As a table, or as JSON."""
    if as_json:
        print(json.dumps(found))  # noqa: T201
        return
    names = list(found[0])
    print(" ".join(f"{name:>12}" if number else f"{name:<10}" for number, name in enumerate(names)))  # noqa: T201
    for one in found:
        print(" ".join(f"{one[name]!s:>12}" if number else f"{one[name]:<10}" for number, name in enumerate(names)))  # noqa: T201
    print(f"{len(found) - len(missed(found))} of {len(found)} within {GOAL_MS} ms; load average {os.getloadavg()[0]:.1f}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
