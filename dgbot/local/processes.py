"""Child processes: started so that they die with us, remembered so that leftovers can be ended, stopped politely.

On Linux the kernel signals a child when the thread that forked it ends (PR_SET_PDEATHSIG), so everything is started
from the main thread. macOS has nothing like it: there `reaper` waits for the end of its standard input.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
POLL_S = 0.05
CREATE_TIME_SLACK_S = 1.0  # create times are read from clock ticks
TAIL_BYTES = 8_000


@dataclass(frozen=True)
class Identity:
    """A process that cannot be confused with a later one of the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The identity of a running process."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process when it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CREATE_TIME_SLACK_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    output: Path,
    environment: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    death_signal: int | None = signal.SIGKILL,
    stdin: int = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, its output in a fresh file. `death_signal` is what it gets when we die; None: it lives on."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        return subprocess.Popen(  # noqa: S603  the commands are ours
            [os.fspath(part) for part in command],
            stdin=stdin,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the rest in order
            preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509  runs after the change of user, which would clear it
            cwd=cwd,
        )


def _die_with_parent(death_signal: int | None) -> Callable[[], None] | None:
    if death_signal is None or sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_kernel


def is_living(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to take note does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def remember(path: Path, identities: Mapping[str, Identity]) -> None:
    """Write who was started, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({name: [identity.pid, identity.created] for name, identity in identities.items()}))
    draft.replace(path)


def recall(path: Path) -> dict[str, Identity]:
    """Who was started last time; nobody when the file is missing or broken."""
    try:
        return {name: Identity(int(pid), float(created)) for name, (pid, created) in json.loads(path.read_text()).items()}
    except (OSError, ValueError):
        return {}


def end(identities: Mapping[str, Identity], *, grace_s: float, signals: Mapping[str, int] | None = None) -> list[str]:
    """End processes that may not be our children: politely, then after `grace_s` by force. Returns the names that still ran."""
    running = {name: process for name, identity in identities.items() if (process := identity.process())}
    for name, process in running.items():
        _signal(process.pid, (signals or {}).get(name, signal.SIGTERM))
    _, stubborn = psutil.wait_procs(list(running.values()), timeout=grace_s)
    for process in stubborn:
        _signal_group(process.pid, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=grace_s)
    return sorted(running)


def stop(children: Mapping[str, subprocess.Popen[bytes]], *, grace_s: float, signal_number: int = signal.SIGTERM) -> None:
    """Stop our own children together: politely, then after `grace_s` by force. A hurry raises nothing and waits less."""
    for child in children.values():
        if child.poll() is None:
            _signal(child.pid, signal_number)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(child.poll() is None for child in children.values()):
        time.sleep(POLL_S)
    for child in children.values():
        if child.poll() is None:
            _signal_group(child.pid, signal.SIGKILL)
            child.wait()


def tail(path: Path, *, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)  # each child leads its own group
    except (ProcessLookupError, PermissionError):
        _signal(pid, number)
