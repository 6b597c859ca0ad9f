"""How fast a list of the API is at any depth: `python -m tests.benchmarks.api`. A million trades of two owners, read by one of them.

Authentication by a JWT, counting in Valkey, isolation and rendering are on; a PostgreSQL and a Valkey of its own, no network. Pages by
the last row's values stand beside pages by LIMIT and OFFSET over the same rows, view and shapes. Goals (issue J): p50 at most 20 ms and
p99 at most 50 at any depth for one client, a deep page at most 1.2 times the first, ten times the throughput of LIMIT and OFFSET with
eight clients. On a shared machine the wall clock tells the neighbours' work, too, so processor and database time stand beside it.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dgbot.local.paths import Places
from dgbot.local.servers import POSTGRES, VALKEY, Servers

ROWS, BOTS, REPEATS, CLIENTS = 1_000_000, 10, 200, 8
EACH = 25  # requests of each of the clients
DEPTHS = {"first": 0.0, "middle": 0.5, "deep": 0.99}  # fractions of the owner's rows that lie before the page
P50_MS, P99_MS, DEEP_RATIO, TIMES = 20, 50, 1.2, 10


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="Print JSON.")
    options.add_argument("--rows", type=int, default=ROWS, help="Trades, half of them the reader's (default %(default)s).")
    options.add_argument("--repeats", type=int, default=REPEATS, help="Requests at each depth (default %(default)s).")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="dgbot-bench.", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        found = measure(Places(Path(folder)), count=asked.rows, repeats=asked.repeats)
    if asked.json:
        print(json.dumps(found))  # noqa: T201
    else:
        show(found)
    return 0


def measure(places: Places, *, count: int, repeats: int) -> dict[str, Any]:
    """By way of paging and depth; the clients' throughput of both."""
    os.environ.update(DATABASE_URL=places.database_url(user="postgres"), REDIS_URL=places.redis_url(), DGBOT_DATA_DIR=str(places.data))
    os.environ.update(DJANGO_SETTINGS_MODULE="dgbot.settings", DGBOT_API_PER_MINUTE="1000000")
    with Servers(places, names=(POSTGRES, VALKEY), throwaway=True):
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        owner = _filled(count)
        ways = _ways(owner, count=count // 2)
        pages = [
            {
                "by": by,
                "depth": name,
                **_timed(lambda ask=ask, at=at: ask(at), repeats=repeats if by == "keyset" else max(5, repeats // 10)),
            }
            for by, ask in ways.items()
            for name, at in DEPTHS.items()
        ]
        return {"rows": count, "load": os.getloadavg()[0], "pages": pages, "clients": {by: _many(ask) for by, ask in ways.items()}}


def _filled(count: int) -> Any:
    from django.db import connection
    from django.utils import timezone

    from tests import face_rows
    from tests.benchmarks.history import NUMBERED, TRADES

    owner, other = face_rows.user(), face_rows.user()
    bots = [face_rows.bot(person, within=home) for person in (owner, other) for home in [face_rows.account(person)] for _ in range(BOTS)]
    values = {"count": count, "bots": len(bots), "newest": timezone.now(), "ids": [bot.pk for bot in bots]}
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(NUMBERED, values)
        cursor.execute(TRADES, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE trades")
    print(f"{count:,} trades written in {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201
    return owner


def _ways(owner: Any, *, count: int) -> dict[str, Callable[[float], Any]]:
    """How a page at a depth (fraction of the rows) is asked for, by each way of paging."""
    from django.test import RequestFactory
    from rest_framework.pagination import LimitOffsetPagination

    from dgbot.base.rest.paging import _as_text
    from tests.api_client import access_token
    from trading.api.facts import TradesFace
    from trading.models import Trade

    class Counted(LimitOffsetPagination):
        default_limit = 50

        def names(self) -> set[str]:
            return {"limit", "offset"}

    class OffsetFace(TradesFace):
        pagination_class = Counted

        def filter_queryset(self, queryset: Any) -> Any:
            return super().filter_queryset(queryset).order_by("-created_at", "-pk")

    keyset, offset = TradesFace.as_view({"get": "list"}), OffsetFace.as_view({"get": "list"})
    requests, token = RequestFactory(), access_token(owner)
    cursors: dict[float, str] = {}

    def cursor_at(depth: float) -> str:
        import base64

        if depth not in cursors:
            row = Trade.objects.filter(user=owner).order_by("-created_at", "-pk")[int(depth * count)]
            told = json.dumps(["-created_at", 0, _as_text(row.created_at), row.pk], separators=(",", ":"))
            cursors[depth] = base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")
        return cursors[depth]

    def ask(view: Any, query: dict[str, Any]) -> Any:
        request = requests.get("/api/v1/trades", query, headers={"authorization": f"Bearer {token}", "host": "localhost"})
        response = view(request)
        response.render()
        assert response.status_code == 200, response.data
        assert len(response.data["results"]) == 50
        return response

    return {
        "keyset": lambda depth: ask(keyset, {"cursor": cursor_at(depth)} if depth else {}),
        "offset": lambda depth: ask(offset, {"offset": int(depth * count)}),
    }


def _timed(ask: Callable[[], Any], *, repeats: int) -> dict[str, float]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ask()
    with CaptureQueriesContext(connection) as told:
        ask()
    wall, processor = [], []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        ask()
        wall.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return {
        "queries": len(told),
        "sql_ms": round(sum(float(query["time"]) for query in told.captured_queries) * 1000, 2),
        "p50_ms": round(statistics.median(wall), 2),
        "p99_ms": round(statistics.quantiles(wall, n=100)[98], 2),
        "least_ms": round(min(wall), 2),
        "cpu_ms": round(statistics.median(processor), 2),
    }


def _many(ask: Callable[[float], Any]) -> float:
    """Requests a second of eight clients at depths drawn anew for each of them."""
    from django.db import connection

    depths = [random.Random(client).choices(list(DEPTHS.values()), k=EACH) for client in range(CLIENTS)]

    def client(of: list[float]) -> None:
        for depth in of:
            ask(depth)
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, depths))
    return round(CLIENTS * EACH / (time.perf_counter() - began), 1)


def show(found: dict[str, Any]) -> None:
    """As a table, and what the goals say to it."""
    names = list(found["pages"][0])
    print(" ".join(f"{name:>9}" for name in names))  # noqa: T201
    for one in found["pages"]:
        print(" ".join(f"{one[name]!s:>9}" for name in names))  # noqa: T201
    of = {(one["by"], one["depth"]): one for one in found["pages"]}
    first, deep = of["keyset", "first"], of["keyset", "deep"]
    ratio, times = deep["cpu_ms"] / first["cpu_ms"], found["clients"]["keyset"] / found["clients"]["offset"]
    print(f"deep/first by processor {ratio:.2f} (goal {DEEP_RATIO}), by the least wall time {deep['least_ms'] / first['least_ms']:.2f}")  # noqa: T201
    print(f"eight clients: {found['clients']} requests a second, {times:.1f} times LIMIT and OFFSET (goal {TIMES})")  # noqa: T201
    print(f"goals for one client: p50 {P50_MS} ms, p99 {P99_MS} ms; load average {found['load']:.1f}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
