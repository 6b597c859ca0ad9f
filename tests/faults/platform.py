"""The whole platform under test: started as an operator starts it, with a data folder and a port of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg2

from dgbot.env import BASE_DIR
from dgbot.local.paths import Places

OPERATORS = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL")


class Platform:
    """`python -m dgbot.local` with a data folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.run = folder, free_port(), None

    def start(self, **variables: str) -> "Platform":
        ours = {"DGBOT_DATA_DIR": str(self.folder), "DGBOT_PORT": str(self.port), **variables}
        inherited = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
        self.run = subprocess.Popen(
            [sys.executable, "-m", "dgbot.local"],
            cwd=BASE_DIR,
            env={**inherited, **ours},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def wait_for(self, words: str) -> str:
        said = ""
        for line in self.run.stdout:
            said += line
            if words in line:
                return said
        raise AssertionError(f"it ended without saying {words!r}:\n{said}")

    def end(self) -> tuple[int, str]:
        said, _ = self.run.communicate(timeout=90)
        return self.run.returncode, said

    def processes(self) -> dict[int, str]:
        """What runs on this folder: told from its command line, its environment, or its parents (Celery writes over its own)."""
        found = {}
        family = set()
        with contextlib.suppress(psutil.Error, AttributeError):  # not started yet
            family = {child.pid for child in psutil.Process(self.run.pid).children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                is_ours = process.pid in family or str(self.folder) in words
                if process.status() != psutil.STATUS_ZOMBIE and (is_ours or process.environ().get("DGBOT_DATA_DIR") == str(self.folder)):
                    found[process.pid] = words
        return found

    def pid_of(self, *words: str, within_s: float = 20.0) -> int:
        """The process with all these words in its command line; one that is just being started is waited for."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for pid, line in sorted(self.processes().items()):  # a worker before its children
                if all(word in line for word in words):
                    return pid
            time.sleep(0.1)
        raise TimeoutError(f"no process {words} within {within_s} s among {self.processes()}")

    def left_after(self, seconds: float) -> dict[int, str]:
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.processes()

    def sql(self, query: str):
        with contextlib.closing(psycopg2.connect(host=str(Places(self.folder).run), user="dgbot", dbname="dgbot")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchone() if cursor.description else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
