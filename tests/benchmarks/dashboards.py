"""Many open dashboards, many events: how long from commit to the page, and whether a restart of Redis or of the web loses a row.

    python -m tests.benchmarks.dashboards --pages 500 --rate 20 --seconds 30

Starts a throwaway PostgreSQL and Valkey, a real web server and a writer in its own process. Pages are real websockets; delays are from
the writer's commit (clock of this machine) to the frame's arrival. All of it shares this machine's cores, the pages too.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_S, SETTLE_S, PATIENCE_S = 60.0, 3.0, 40.0
WATCHED = 50  # pages of which every row is compared after a restart
ROWS_WATCHED = 15  # written during each outage; a page keeps thirty
PREPARE = """
import sys, django; django.setup()
from django.test import Client
from tests import face_rows as rows
bots = [rows.bot(rows.user(f"user{number}")) for number in range(int(sys.argv[1]))]
for bot in bots:
    client = Client(); client.force_login(bot.user)
    print(bot.pk, client.cookies["dgbot_session"].value, flush=True)
"""
WRITE = """
import sys, time, django; django.setup()
from datetime import timedelta
from tests import face_rows as rows
from monitoring import live
from trading.models import Bot, Trade
from trading.signals import trade_recorded
live.connect()
bots = list(Bot.objects.select_related("account", "user").order_by("pk"))
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    bot = bots[number % len(bots)]
    trade = rows.trade(bot, at=rows.T0 + timedelta(seconds=number))
    at = time.time()
    trade_recorded.send_robust(sender=Trade, pk=trade.pk)
    print(trade.pk, bot.pk, at, flush=True)
"""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Redis:
    """A Valkey of this benchmark alone, which can be killed and started again on the same port."""

    def __init__(self, folder: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Wait until it answers."""
        import redis

        from dgbot.local import binaries

        quiet = ["--save", "", "--appendonly", "no", "--dir", self.folder, "--logfile", f"{self.folder}/valkey.log"]
        self.process = subprocess.Popen([str(binaries.valkey_server()), "--port", str(self.port), "--bind", "127.0.0.1", *quiet])
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError, OSError):
                redis.Redis.from_url(self.url).ping()
                return
            time.sleep(0.05)
        raise TimeoutError("Valkey does not answer")

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait(10)


class Page:
    """One open dashboard, which connects again as the browser's script does."""

    def __init__(self, address: str, session: str) -> None:
        self.address, self.session = address, session
        self.arrived: dict[int, float] = {}
        self.shown: set[int] = set()
        self.frames = self.snapshots = self.connects = 0
        self.is_live = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        pause = 0.25
        while True:
            try:
                headers = {"Cookie": f"dgbot_session={self.session}", "Origin": self.address}
                url = self.address.replace("http", "ws") + "/ws/dashboard/"
                async with connect(url, additional_headers=headers, max_size=None, compression=None, open_timeout=30) as line:
                    self.connects += 1
                    async for text in line:
                        pause = 0.25
                        self._take(json.loads(text))
            except (OSError, WebSocketException, TimeoutError):
                pass
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _take(self, frame: dict[str, Any]) -> None:
        self.frames += 1
        if frame["type"] == "trade":
            self.arrived.setdefault(frame["trade"]["id"], time.time())
            self.shown.add(frame["trade"]["id"])
        if frame["type"] == "snapshot":
            self.snapshots += 1
            self.shown |= {trade["id"] for trade in frame["trades"]}
        if frame["type"] == "live" and frame["is_live"]:
            self.is_live.set()


class Writer:
    """Another process, like the gateway: it commits a trade for one bot after the other and says when."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", WRITE]
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    async def write(self) -> tuple[int, int, float]:
        """Trade, bot, and when it was committed."""
        return await asyncio.to_thread(self._write)

    def _write(self) -> tuple[int, int, float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        pk, bot, at = self.process.stdout.readline().split()
        return int(pk), int(bot), float(at)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


class Web:
    """uvicorn with the application, which can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Wait until it answers."""
        command = [sys.executable, "-m", "uvicorn", "dgbot.asgi:application", "--port", str(self.port), "--lifespan", "off"]
        environment = {**os.environ, "DGBOT_PROCESS": ""}
        self.process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.address}/health/live", timeout=1).status == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError("the web server does not answer")

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait(10)

    def cpu_s(self) -> float:
        """Seconds of CPU it has used."""
        import psutil

        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


async def measure(options: argparse.Namespace, web: Web, people: list[tuple[int, str]], redis: Redis) -> dict[str, Any]:
    """Open the pages, write, restart Redis and the web, and compare."""
    pages = [Page(web.address, people[number % len(people)][1]) for number in range(options.pages)]
    owner = {id(page): people[number % len(people)][0] for number, page in enumerate(pages)}
    tasks = [asyncio.create_task(page.run()) for page in pages]
    await asyncio.wait_for(asyncio.gather(*(page.is_live.wait() for page in pages)), START_S + options.pages / 5)
    await asyncio.sleep(SETTLE_S)
    writer = await asyncio.to_thread(Writer)
    told: dict[str, Any] = {"pages": options.pages, "users": len(people), "rate": options.rate}
    before = web.cpu_s()
    written, late = await _at_rate(writer, rate=options.rate, seconds=options.seconds)
    await asyncio.sleep(SETTLE_S)
    delays = sorted(
        1000 * (page.arrived[pk] - at) for page in pages for pk, bot, at in written if bot == owner[id(page)] and pk in page.arrived
    )
    expected = sum(bot == owner[id(page)] for page in pages for _pk, bot, _at in written)
    told |= {"events": len(written), "frames": expected, "arrived_live": len(delays), "writer_late": late}
    told |= {"p50_ms": _quantile(delays, 0.5), "p99_ms": _quantile(delays, 0.99), "worst_ms": delays[-1] if delays else None}
    told["web_cpu_share"] = round((web.cpu_s() - before) / (options.seconds + SETTLE_S), 2)
    watched = pages[:WATCHED]
    for name, restart in (("redis", redis), ("web", web)):
        told[f"lost_after_{name}_restart"] = await _lost(watched, owner, writer, restart)
    told["snapshots"] = sum(page.snapshots for page in pages)
    writer.close()
    for task in tasks:
        task.cancel()
    return told


async def _at_rate(writer: Writer, *, rate: float, seconds: float) -> tuple[list[tuple[int, int, float]], int]:
    """What was written at an even pace, and how often the writer itself was behind it."""
    written, late, start = [], 0, time.monotonic()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        late += time.monotonic() > due + 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        written.append(await writer.write())
    return written, late


async def _lost(pages: list[Page], owner: dict[int, int], writer: Writer, restart: Any) -> int:
    """Rows written before, during and after a restart that a page never showed."""
    written = [await writer.write() for _ in range(ROWS_WATCHED)]
    await asyncio.to_thread(restart.kill)
    written += [await writer.write() for _ in range(ROWS_WATCHED)]
    await asyncio.to_thread(restart.start)
    written += [await writer.write() for _ in range(ROWS_WATCHED)]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        missing = sum(pk not in page.shown for page in pages for pk, bot, _at in written if bot == owner[id(page)])
        if not missing or time.monotonic() > deadline:
            return missing
        await asyncio.sleep(0.5)


def _quantile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 1) if values else None


@contextlib.contextmanager
def platform() -> Iterator[Redis]:
    """A throwaway PostgreSQL in a folder of its own, migrated, and a Valkey beside it."""
    from dgbot.local.paths import Places
    from dgbot.local.servers import POSTGRES, Servers
    from tests import kept_cluster

    with tempfile.TemporaryDirectory(prefix="dgbot-bench.", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        places, redis = Places(Path(folder)), Redis(folder)
        os.environ |= {"DGBOT_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "dgbot.settings", "PYTHONPATH": str(ROOT)}
        os.environ |= {"DATABASE_URL": places.database_url(user="postgres"), "REDIS_URL": redis.url}
        try:
            kept_cluster.put_into(places)
            with Servers(places, names=(POSTGRES,), throwaway=True):
                subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, check=True)
                yield redis
        finally:
            redis.kill()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--users", type=int, default=25)
    parser.add_argument("--rate", type=float, default=20.0, help="Events a second.")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with platform() as redis:
        prepare = [sys.executable, "-c", PREPARE, str(options.users)]
        made = subprocess.run(prepare, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True)
        people = [(int(bot), session) for bot, session in (line.split() for line in made.stdout.splitlines() if line)]
        web = Web()
        try:
            print(json.dumps(asyncio.run(measure(options, web, people, redis)), indent=1))  # noqa: T201
        finally:
            web.kill()


if __name__ == "__main__":
    main()
