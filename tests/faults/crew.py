"""Processes started as `up` starts them, without its patience: whoever dies comes back when the test says so."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from dgbot.env import BASE_DIR
from dgbot.local.paths import Places
from dgbot.local.servers import Servers
from dgbot.local.up import programs
from tests.faults.platform import OPERATORS

PREPARED = "prepared.txt"  # what `prepare` said of a data folder, the first password among it
SETTINGS = {
    "DGBOT_CYCLE_LEASE_S": "4",
    "DGBOT_LEASE_S": "4",
    "DGBOT_SUBMIT_TIMEOUT_S": "1",
    "DGBOT_SIMULATED_FAST_SLOTS": "100000",
}


class Crew:
    """Several processes of each kind on one data folder. A member's name is its program and a number: `worker 2`."""

    def __init__(self, folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
        self.environment = {**inherited, **SETTINGS, "DGBOT_DATA_DIR": str(folder), "DGBOT_SUPERVISED": "true"}
        self.commands = {program.name: program.command for program in programs("127.0.0.1", 1)}
        self.folder = folder
        self.members: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = 0

    def manage(self, *arguments: str, **variables: str) -> str:
        """Run a command of the platform to its end; what it said."""
        command = [sys.executable, BASE_DIR / "manage.py", *arguments]
        return subprocess.run(command, env={**self.environment, **variables}, check=True, capture_output=True, text=True).stdout

    def start(self, name: str) -> None:
        """Start one member."""
        program, number = name.split()
        command = [*self.commands[program], *(["--hostname", f"worker{number}@%h"] if program == "worker" else [])]
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
        """SIGKILL one member."""
        member = self.members[name]
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if with_children else os.kill)(member.pid, signal.SIGKILL)
        member.wait()
        self.kills += 1

    def end(self) -> None:
        """SIGKILL whoever is left."""
        for member in self.members.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(member.pid, signal.SIGKILL)
            member.wait()

    def sql(self, query: str) -> tuple:
        """One query on a session of its own: its first row, or nothing."""
        with contextlib.closing(psycopg2.connect(host=str(Places(self.folder).run), user="dgbot", dbname="dgbot")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchone() if cursor.description else ()


@contextmanager
def crew_on(folder: Path) -> Iterator[Crew]:
    """The servers of a prepared folder for a crew, and nobody left behind."""
    with Servers(Places(folder)):
        made = Crew(folder)
        try:
            yield made
        finally:
            made.end()
