"""Where the cells of the crash matrix run: one PostgreSQL, one Valkey, two fakes and a warm nursery for many of them.

The tests themselves speak to that PostgreSQL through Django, past its guards where rows of the last cell are swept away.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, connections

from dgbot.env import BASE_DIR
from dgbot.local.paths import Places
from dgbot.local.servers import Servers
from tests.fakes.bitget.server import FakeBitget
from tests.fakes.upbit.quotation import CandlesOf
from tests.fakes.upbit.server import FakeUpbit
from tests.faults.platform import OPERATORS

# A machine that is busy with other things is no fault to be tested here: it gets longer waits. 1: it has nothing else to do.
SLOWNESS = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
PATIENCE_S = 20.0 * SLOWNESS
POLL_S = 0.02
WARM_WITHIN_S = 240.0  # importing the platform on a busy machine
QUICK = {
    "DGBOT_GATEWAY_SWEEP_S": "0.05",
    "DGBOT_GUARDIAN_TICK_S": "0.05",
    "DGBOT_LEASE_S": f"{2 * SLOWNESS:.1f}",
    "DGBOT_CYCLE_LEASE_S": "1",
    "DGBOT_SUBMIT_TIMEOUT_S": "0.5",
    "DGBOT_ANSWER_TIMEOUT_S": f"{0.8 * SLOWNESS:.1f}",
    "DGBOT_ENTRY_PERMIT_S": f"{min(30.0, 1.5 * SLOWNESS):.1f}",
    "DGBOT_ABANDONED_AFTER_S": "0.1",
    "DGBOT_VISIBLE_WITHIN_S": "0.5",
    "DGBOT_CANCEL_AGAIN_S": "0.3",
    "DGBOT_HEARTBEAT_S": "60",
}
KEPT = {"accounts.User", "risk.RiskProfile", "risk.SymbolGroup", "trading.BotConfig", "trading.ConfigVersion"}


class Child:
    """A process of the nursery."""

    def __init__(self, nursery: "Nursery", pid: int, role: str) -> None:
        self.nursery, self.pid, self.role = nursery, pid, role

    @property
    def code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self.nursery.ended.get(self.pid)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Its exit code. Raises AssertionError when it outlives `seconds`."""
        wait_until(lambda: self.code is not None, f"the end of {self.role} {self.pid}", seconds=seconds)
        return self.nursery.ended[self.pid]

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and be sure of it."""
        self.send(signal.SIGKILL)
        self.wait()


class Nursery:
    """The warm parent, spoken to in lines of JSON."""

    def __init__(self, environment: dict[str, str], *, output: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.matrix.nursery"]
        self.process = subprocess.Popen(
            command, cwd=BASE_DIR, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output.open("ab"), text=True
        )
        self.output = output
        self.ended: dict[int, int] = {}
        self._started: queue.Queue[int] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._started.get(timeout=WARM_WITHIN_S)

    def start(self, role: str, *, crash: str = "", **arguments: Any) -> Child:
        """A new process that plays a role, and dies at `crash` if one is given."""
        wanted = {"role": role, "crash": crash, "output": str(self.output), "arguments": arguments}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return Child(self, self._started.get(timeout=PATIENCE_S), role)

    def said(self, *, lines: int = 30) -> str:
        """The last lines of all children, for a failure."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def end(self) -> None:
        """No parent any more; its children are killed by whoever started them."""
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "ended" in told:
                self.ended[told["ended"]] = told["code"]
            else:
                self._started.put(told.get("started", 0))


@dataclass
class Lab:
    """What a cell needs. `start` remembers the processes, so that `clear` leaves none of them."""

    folder: Path
    upbit: FakeUpbit
    bitget: FakeBitget
    nursery: Nursery
    children: list[Child] = field(default_factory=list)

    @property
    def fakes(self) -> dict[str, Any]:
        """Both, by name."""
        return {"upbit": self.upbit, "bitget": self.bitget}

    def start(self, role: str, *, crash: str = "", **arguments: Any) -> Child:
        """See Nursery."""
        child = self.nursery.start(role, crash=crash, **arguments)
        self.children.append(child)
        return child

    def end_all(self) -> None:
        """SIGKILL whoever still runs."""
        for child in self.children:
            child.kill()
        self.children.clear()

    def clear(self) -> None:
        """No processes, no rows, no faults: the next cell finds nothing of the last one."""
        self.end_all()
        for fake in self.fakes.values():
            fake.server.faults.clear()
            fake.is_under_maintenance = False
            fake.engine.release_matching()
        swept = [model._meta.db_table for model in apps.get_models() if _is_swept(model._meta.label)]
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(";".join(f'DELETE FROM "{table}"' for table in swept))
            cursor.execute("SET session_replication_role = DEFAULT")

    def said(self) -> str:
        """See Nursery."""
        return self.nursery.said()


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query answers."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def wait_until(holds: Callable[[], Any], what: str, *, seconds: float = PATIENCE_S) -> None:
    """Look again and again. Raises AssertionError."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_S)


@contextmanager
def lab_in(folder: Path, *, candles: CandlesOf | None = None, **waits: str) -> Iterator[Lab]:
    """A lab over a prepared data folder. candles: what the fake Upbit tells. waits: settings of its processes, besides the quick ones."""
    upbit, bitget = FakeUpbit(has_limits=False, candles=candles), FakeBitget()
    with Servers(Places(folder), throwaway=True), upbit, bitget, _database_of(folder):
        nursery = Nursery(_environment(folder, upbit, bitget) | QUICK | waits, output=folder / "children.out")
        lab = Lab(folder, upbit, bitget, nursery)
        try:
            yield lab
        finally:
            lab.end_all()
            nursery.end()


def _environment(folder: Path, upbit: FakeUpbit, bitget: FakeBitget) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "dgbot.settings",
        "DGBOT_DATA_DIR": str(folder),
        "DGBOT_PROCESS": "gateway",  # opens keys and keeps its connection, as the gateway does
        "DGBOT_SUPERVISED": "true",
        "DGBOT_UPBIT_URL": upbit.url,
        "DGBOT_UPBIT_WEBSOCKET_URL": upbit.websocket_url,
        "DGBOT_BITGET_URL": bitget.url,
        "DGBOT_BITGET_WEBSOCKET_URL": bitget.websocket_url,
        "OPENBLAS_NUM_THREADS": "1",  # a parent that forks has one thread
    }


@contextmanager
def _database_of(folder: Path) -> Iterator[None]:
    """Let Django in this process use the folder's database, as the one user who may sweep past its guards."""
    theirs = {"HOST": str(Places(folder).run), "NAME": "dgbot", "USER": "postgres", "PORT": "", "PASSWORD": ""}
    before = {alias: dict(connections[alias].settings_dict) for alias in connections}
    public_key = settings.PUBLIC_KEY_FILE
    try:
        for alias in before:
            connections[alias].close()
            connections[alias].settings_dict.update(theirs)
        settings.PUBLIC_KEY_FILE = folder / public_key.name
        yield
    finally:
        settings.PUBLIC_KEY_FILE = public_key
        for alias, given in before.items():
            connections[alias].close()
            connections[alias].settings_dict.update(given)


def _is_swept(label: str) -> bool:
    return label.partition(".")[0] in ("trading", "risk", "monitoring") and label not in KEPT
