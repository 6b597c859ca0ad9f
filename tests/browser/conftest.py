"""A real web server on the test database, a second process that records trades, and Chromium."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
START_S = 120  # a busy machine imports slowly


def environment() -> dict[str, str]:
    """This environment, with the test database in place of the development one."""
    head, _slash, tail = os.environ["DATABASE_URL"].rpartition("/")
    query = tail.partition("?")[1] + tail.partition("?")[2]
    return {**os.environ, "DATABASE_URL": f"{head}/{connection.settings_dict['NAME']}{query}", "DGBOT_PROCESS": ""}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def site(django_db_setup: None) -> Iterator[str]:
    """The address of uvicorn serving the test database, one for all tests."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "dgbot.asgi:application", "--port", str(port), "--lifespan", "off"]
    server = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment())
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/health/live", timeout=1).status == 200)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if is_true():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {START_S} s")
        time.sleep(0.05)


class Elsewhere:
    """Another process, like the gateway: it writes a row, commits, sends the signal, and says when."""

    CODE = """
import sys, time, django
django.setup()
from datetime import timedelta
from django.db import connection
from tests import face_rows as rows
from trading.models import Bot, Trade
from trading.signals import trade_recorded
bot = Bot.objects.select_related("account", "user").get(pk=int(sys.argv[1]))
connection.ensure_connection()
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    trade = rows.trade(bot, at=rows.T0 + timedelta(minutes=number), price="101000000")
    at = time.time()
    trade_recorded.send_robust(sender=Trade, pk=trade.pk)
    print(trade.pk, at, flush=True)
"""

    def __init__(self, bot_pk: int) -> None:
        command = [sys.executable, "-c", self.CODE, str(bot_pk)]
        env = {**environment(), "DJANGO_SETTINGS_MODULE": "dgbot.settings", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def trade(self) -> tuple[int, float]:
        """Record a trade. Returns its primary key and when its transaction had committed."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        pk, at = self.process.stdout.readline().split()
        return int(pk), float(at)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def elsewhere() -> Iterator[Callable[[int], Elsewhere]]:
    """Starts another process for a bot."""
    started: list[Elsewhere] = []

    def start(bot_pk: int) -> Elsewhere:
        started.append(Elsewhere(bot_pk))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium without a window, which talks to nobody but us."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"NOT RUN: {CHROMIUM} is missing; apt-get install chromium")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright keeps a loop running in this thread
    try:
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"])
            yield chromium
            chromium.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
