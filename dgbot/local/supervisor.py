"""Keeps our own processes running and stops them in order.

    starting → running → (ended by itself) → waiting 1, 2, 4 … 30 s → running
                                           → after 5 ends in 2 minutes: given up, tried again every 5 minutes

Given up is not the end of the others: a broken web page must not stop the guardian of open positions.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgbot.local import processes
from dgbot.local.processes import Identity

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
ENDS_ALLOWED, ENDS_WINDOW_S = 5, 120.0
SLOW_RETRY_S = 300.0
WORKER_GRACE_S = 20.0  # tasks that take longer are handed out again at the next start, and are safe to run twice
GRACE_S = 10.0
LEFTOVER_GRACE_S = 5.0


@dataclass(frozen=True)
class Program:
    """What to run under which name. `last` ones are stopped after the others."""

    name: str
    command: Sequence[str]
    last: bool = False


@dataclass
class Child:
    """A program and its present process."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    ends: list[float] = field(default_factory=list)
    start_at: float = 0.0

    @property
    def has_given_up(self) -> bool:
        """Whether it ended too often lately."""
        return len(self.ends) >= ENDS_ALLOWED


class Supervisor:
    """The children of `up`. Every method is called from the main thread, to which the kernel ties the children's life."""

    def __init__(self, programs: Sequence[Program], *, data: Path, logs: Path, say: Callable[[str], None], reaper: bool) -> None:
        self.children = {program.name: Child(program) for program in programs}
        self.pids_path, self.logs, self.say, self.reaper = data / "pids.json", logs, say, reaper
        self._reaper: subprocess.Popen[bytes] | None = None

    def end_leftovers(self) -> None:
        """End what a killed supervisor may have left."""
        left = processes.end(processes.recall(self.pids_path), grace_s=LEFTOVER_GRACE_S)
        if left:
            self.say(f"ended {', '.join(left)}, left over from a start that was killed")

    def start(self) -> None:
        """Start everything."""
        self.pids_path.unlink(missing_ok=True)
        if self.reaper:
            self._reaper = self._start_reaper()
        for child in self.children.values():
            self._start(child)

    def tend(self) -> None:
        """Notice ends, restart what is due. Call it a few times a second."""
        now = time.monotonic()
        for child in self.children.values():
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, now)
            if child.process is None and now >= child.start_at:
                self._start(child)

    def given_up(self) -> list[str]:
        """Names of the programs that ended too often."""
        return [name for name, child in self.children.items() if child.has_given_up]

    def pid(self, name: str) -> int | None:
        """The present process of a program."""
        process = self.children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def last_lines(self, name: str) -> str:
        """What a program said last."""
        return processes.tail(self._output(name)) or processes.tail(self.logs / f"{name}.log")

    def stop(self, *, hurry: bool = False) -> None:
        """Stop the others first, then those marked `last`."""
        for last, grace_s in ((False, GRACE_S), (True, WORKER_GRACE_S)):
            processes.stop(self._running(last=last), grace_s=0.0 if hurry else grace_s)
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            self._reaper.wait(timeout=GRACE_S)
        self.pids_path.unlink(missing_ok=True)

    def _running(self, *, last: bool) -> Mapping[str, subprocess.Popen[bytes]]:
        return {name: child.process for name, child in self.children.items() if child.process is not None and child.program.last == last}

    def _last_line(self, name: str) -> str:
        return (self.last_lines(name).splitlines() or ["none"])[-1]

    def _output(self, name: str) -> Path:
        return self.logs / f"{name}.out"

    def _start(self, child: Child) -> None:
        name = child.program.name
        environment = {**os.environ, "DGBOT_PROCESS": name, "DGBOT_SUPERVISED": "true", "PYTHONUNBUFFERED": "1"}
        death_signal = None if self.reaper else signal.SIGKILL
        child.process = processes.start(
            child.program.command, output=self._output(name), environment=environment, death_signal=death_signal
        )
        running = {each: pid for each in self.children if (pid := self.pid(each)) is not None}
        processes.remember(self.pids_path, {each: Identity.of(pid) for each, pid in running.items()})

    def _note_end(self, child: Child, now: float) -> None:
        code = child.process.returncode if child.process else 0
        child.process = None
        child.ends = [end for end in child.ends if now - end < ENDS_WINDOW_S] + [now]
        name = child.program.name
        if child.has_given_up:
            child.start_at = now + SLOW_RETRY_S
            often = f"{len(child.ends)} times in {ENDS_WINDOW_S:.0f} s"
            self.say(f"{name} ended {often} (exit code {code}) and is tried again in {SLOW_RETRY_S / 60:.0f} min; its last lines:")
            self.say(self.last_lines(name))
            return
        pause = BACKOFF_S[min(len(child.ends), len(BACKOFF_S)) - 1]
        child.start_at = now + pause
        self.say(f"{name} ended by itself (exit code {code}); it starts again in {pause:.0f} s. Its last line: {self._last_line(name)}")

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dgbot.local.reaper", str(self.pids_path)]
        return processes.start(command, output=self._output("reaper"), death_signal=None, stdin=subprocess.PIPE)
