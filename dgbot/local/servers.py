"""PostgreSQL and Valkey as foreground children, over unix sockets only, shared by everything that runs from one data folder.

    user (up, a command, a test run)       keeper (`python -m dgbot.local.servers`)
    users.lock, shared                     keeper.lock, exclusive, for its whole life
    start.lock, while looking or starting  users.lock, exclusive: got when the last user is gone → stops the servers

Locks die with their holders, so a user that was killed leaves nothing behind: the keeper notices and stops the servers.
"""

import argparse
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dgbot import env
from dgbot.core.errors import BadInput
from dgbot.local import binaries, processes
from dgbot.local.lock import Lock, held, is_taken
from dgbot.local.paths import Places, default_data_dir

POSTGRES, VALKEY = "postgres", "valkey"
START_TIMEOUT_S = 60.0  # crash recovery after a power cut may take a while
STOP_TIMEOUT_S = 60.0
LEFTOVER_GRACE_S = 20.0
POLL_S = 0.03
STOP_SIGNALS = {POSTGRES: signal.SIGINT, VALKEY: signal.SIGTERM}  # SIGINT is PostgreSQL's fast, orderly shutdown
UNPRIVILEGED = ("dgbot", "nobody")  # who runs the servers for root; initdb needs a named user
POSTGRES_OPTIONS = (
    "listen_addresses=",
    "max_connections=100",
    "logging_collector=on",  # one file per weekday, overwritten a week later
    "log_filename=postgres-%a.log",
    "log_truncate_on_rotation=on",
    "log_rotation_size=0",
)
THROWAWAY_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def needed(environment: env.Environment) -> tuple[str, ...]:
    """Which servers must be embedded: those without a URL."""
    return tuple(name for name, variable in ((POSTGRES, "DATABASE_URL"), (VALKEY, "REDIS_URL")) if not environment[variable])


def places_of(environment: env.Environment) -> Places:
    """The folders that this environment means."""
    return Places(environment["DGBOT_DATA_DIR"] or default_data_dir(env.BASE_DIR))


class Servers:
    """The servers of one data folder, for as long as this object is open. A context manager."""

    def __init__(self, places: Places, *, names: Sequence[str] = (POSTGRES, VALKEY), throwaway: bool = False) -> None:
        self.places, self.names, self.throwaway = places, tuple(names), throwaway
        self.started_here = False
        self._users: Lock | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    def open(self) -> "Servers":
        """Start the servers, or join the running ones. Raises BadInput with the reason when they cannot start."""
        prepare_folders(self.places)
        self._users = Lock(self.places.data / "users.lock")
        if not self._users.take(shared=True, timeout_s=STOP_TIMEOUT_S):  # taken only while the last keeper stops its servers
            raise BadInput(f"the servers in {self.places.data} still stop after {STOP_TIMEOUT_S:.0f} s; look into {self.places.logs}")
        with held(self.places.data / "start.lock", timeout_s=START_TIMEOUT_S):
            if not is_alive(self.places):
                self._start_keeper()
            self._wait_until_ready()
        return self

    def close(self, *, wait: bool = True) -> None:
        """Leave. The servers stop when nobody else uses them; `wait` for it."""
        if self._users is None:
            return
        self._users.release()
        self._users = None
        deadline = time.monotonic() + STOP_TIMEOUT_S
        grace = time.monotonic() + 0.3  # after it, a keeper that is still "ready" has other users
        while wait and time.monotonic() < deadline and is_alive(self.places):
            if time.monotonic() > grace and _state(self.places).get("state") == "ready":
                return
            time.sleep(POLL_S)
        if self._keeper is not None:
            self._keeper.poll()

    def failure(self) -> str | None:
        """Why the servers are gone, or None while they run."""
        if self._keeper is not None:
            self._keeper.poll()
        if is_alive(self.places):
            return None
        return _state(self.places).get("reason") or "their keeper was killed"

    def __enter__(self) -> "Servers":
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start_keeper(self) -> None:
        (self.places.data / "keeper.json").unlink(missing_ok=True)
        flags = ["--throwaway"] if self.throwaway else []
        command = [sys.executable, "-m", "dgbot.local.servers", str(self.places.data), *self.names, *flags]
        path = os.pathsep.join(filter(None, [str(env.BASE_DIR), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        self._keeper = processes.start(
            command, output=self.places.logs / "servers.out", environment=environment, death_signal=None, cwd=Path("/")
        )
        self.started_here = True

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            state = _state(self.places)
            if state.get("state") == "ready":
                return self._refuse_missing(state)
            gone = self._keeper is not None and self._keeper.poll() is not None
            if gone or state.get("state") == "failed":
                said = processes.tail(self.places.logs / "servers.out", lines=3)
                raise BadInput(state.get("reason") or f"the servers did not start: {said}")
            time.sleep(POLL_S)
        raise BadInput(f"the servers were not ready after {START_TIMEOUT_S:.0f} s; see {self.places.logs}")

    def _refuse_missing(self, state: dict[str, Any]) -> None:
        missing = set(self.names) - set(state["names"])
        if missing:
            lacking = " and ".join(sorted(missing))
            raise BadInput(f"the running servers lack {lacking}: another command runs with other URLs; wait for its end")


def is_alive(places: Places) -> bool:
    """Whether a keeper lives."""
    return is_taken(places.data / "keeper.lock")


def prepare_folders(places: Places) -> None:
    """Make the folders, each for its user. Raises BadInput when one cannot be made or entered."""
    user = server_user()
    try:
        places.data.mkdir(parents=True, exist_ok=True)
        places.logs.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            _refuse_unreachable(places.data)
        for folder in (places.valkey, places.run):
            _private_folder(folder, user)
    except PermissionError as error:
        raise BadInput(f"{error.filename} cannot be written; change its owner, or set DGBOT_DATA_DIR to a folder of your own") from error


def server_user() -> tuple[int, int] | None:
    """User and group that run the servers: None for ourselves; root gives them to an unprivileged user."""
    if os.getuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise BadInput("PostgreSQL refuses to run as root and there is no user dgbot or nobody; run as an ordinary user or add one")


def _refuse_unreachable(data: Path) -> None:
    for folder in (data, *data.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise BadInput(
                f"as root the servers run as an unprivileged user, who cannot enter {folder};"
                " leave DGBOT_DATA_DIR empty or choose a folder that everybody may enter"
            )


def _private_folder(folder: Path, user: tuple[int, int] | None) -> None:
    owners = {os.getuid(), user[0] if user else os.getuid()}
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise BadInput(f"{folder} belongs to somebody else; remove it or set DGBOT_DATA_DIR to another folder")
    folder.chmod(0o700)
    if user is not None:
        os.chown(folder, *user)


def _state(places: Places) -> dict[str, Any]:
    try:
        return dict(json.loads((places.data / "keeper.json").read_text()))
    except (OSError, ValueError):
        return {}


class Keeper:
    """Owns the server processes and stops them when nobody uses them any more."""

    def __init__(self, places: Places, names: Sequence[str], *, throwaway: bool) -> None:
        self.places, self.names, self.throwaway = places, tuple(names), throwaway
        self.user = server_user()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = False

    def run(self) -> int:
        """Start, wait for the last user to leave or a server to die, stop. Returns the exit code."""
        own = Lock(self.places.data / "keeper.lock")
        if not own.take(timeout_s=STOP_TIMEOUT_S):
            return 1
        users = Lock(self.places.data / "users.lock")
        reason = ""
        try:
            self._start()
            self._say("ready")
            reason = self._watch(users)
        except BadInput as error:
            reason = str(error)
        self._say("failed" if reason else "stopping", reason)
        self._stop()
        own.release()
        return 1 if reason else 0

    def _start(self) -> None:
        processes.end(processes.recall(self._pids), grace_s=LEFTOVER_GRACE_S, signals=STOP_SIGNALS)
        for name in self.names:
            self._start_one(name)
        for name in self.names:
            self._wait_for(name)

    def _start_one(self, name: str) -> None:
        self.children[name] = {POSTGRES: self._start_postgres, VALKEY: self._start_valkey}[name]()
        processes.remember(self._pids, {each: processes.Identity.of(child.pid) for each, child in self.children.items()})

    def _watch(self, users: Lock) -> str:
        while not self.stopping:
            if users.take(timeout_s=0.3):  # the last user is gone; holding it makes newcomers wait until we have stopped
                return ""
            dead = next((name for name, child in self.children.items() if child.poll() is not None), None)
            if dead:
                return f"{dead} ended by itself ({self._exit_code(dead)}); its last lines:\n{self._last_lines(dead)}"
        return ""

    def _stop(self) -> None:
        for name in (VALKEY, POSTGRES):
            if name in self.children:
                processes.stop({name: self.children[name]}, grace_s=STOP_TIMEOUT_S, signal_number=STOP_SIGNALS[name])

    def _say(self, state: str, reason: str = "") -> None:
        path = self.places.data / "keeper.json"
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"state": state, "reason": reason, "names": self.names, "pid": os.getpid()}))
        draft.replace(path)

    @property
    def _pids(self) -> Path:
        return self.places.data / "servers.json"

    def _start_postgres(self) -> subprocess.Popen[bytes]:
        folder = binaries.postgres_bin()
        self._refuse_other_major()
        if not (self.places.postgres / "PG_VERSION").exists():
            self._create_cluster(folder / "initdb")
        options = [*POSTGRES_OPTIONS, f"unix_socket_directories={self.places.run}", *(THROWAWAY_OPTIONS if self.throwaway else ())]
        arguments = [part for option in options for part in ("-c", option)]
        return self._launch(POSTGRES, [folder / "postgres", "-D", self.places.postgres, *arguments])

    def _refuse_other_major(self) -> None:
        version = self.places.postgres / "PG_VERSION"
        if version.exists() and version.read_text().strip() != str(binaries.POSTGRES_MAJOR):
            raise BadInput(
                f"the database in {self.places.postgres} was made by PostgreSQL {version.read_text().strip()} and this release runs"
                f" {binaries.POSTGRES_MAJOR}: dump it with the former release (pg_dump), move the folder away, start, and restore"
            )

    def _create_cluster(self, initdb: Path) -> None:
        draft = self.places.data / "postgres.new"  # renamed when whole: a killed initdb leaves no half cluster
        shutil.rmtree(draft, ignore_errors=True)
        _private_folder(draft, self.user)
        locale = "C" if sys.platform == "darwin" else "C.UTF-8"
        options = ["-U", "postgres", "--auth=trust", "--encoding=utf8", f"--locale={locale}", "--data-checksums"]
        done = self._launch("initdb", [str(initdb), "-D", str(draft), *options, *(["--no-sync"] if self.throwaway else [])])
        if done.wait(timeout=START_TIMEOUT_S) != 0:
            raise BadInput(f"initdb failed: {processes.tail(self.places.logs / 'initdb.out', lines=3)}")
        shutil.rmtree(self.places.postgres, ignore_errors=True)
        draft.rename(self.places.postgres)

    def _start_valkey(self) -> subprocess.Popen[bytes]:
        places = self.places
        places.valkey_socket.unlink(missing_ok=True)
        listen = ["--port", "0", "--unixsocket", str(places.valkey_socket), "--unixsocketperm", "700"]
        keep = [
            "--dir",
            str(places.valkey),
            "--appendonly",
            "no" if self.throwaway else "yes",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ]
        return self._launch(VALKEY, [str(binaries.valkey_server()), *listen, *keep])

    def _launch(self, name: str, command: Sequence[str | os.PathLike[str]]) -> subprocess.Popen[bytes]:
        return processes.start(
            command,
            output=self.places.logs / f"{name}.out",
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            user=self.user,
            death_signal=STOP_SIGNALS.get(name, signal.SIGKILL),
            cwd=Path("/"),
        )

    def _wait_for(self, name: str) -> None:
        is_ready = {POSTGRES: self._postgres_is_ready, VALKEY: self._valkey_is_ready}[name]
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.children[name].poll() is not None:
                if name == POSTGRES and self._predecessor_lingers():
                    time.sleep(POLL_S)
                    self._start_one(name)
                    continue
                raise BadInput(f"{name} did not start ({self._exit_code(name)}); its last lines:\n{self._last_lines(name)}")
            if is_ready():
                return
            time.sleep(POLL_S)
        raise BadInput(f"{name} was not ready after {START_TIMEOUT_S:.0f} s; its last lines:\n{self._last_lines(name)}")

    def _postgres_is_ready(self) -> bool:
        import psycopg2

        try:
            connection = psycopg2.connect(host=str(self.places.run), user="postgres", dbname="postgres", connect_timeout=5)
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = 'dgbot'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE ROLE dgbot LOGIN CREATEDB")
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'dgbot'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE dgbot OWNER dgbot")
        connection.close()
        return True

    def _predecessor_lingers(self) -> bool:
        """Whether PostgreSQL did not start only because of a killed one: its sessions still end, or it has just been reaped."""
        said = self._last_lines(POSTGRES)
        if "already exists" not in said:
            return "is still in use" in said
        try:
            return not processes.is_living(int((self.places.postgres / "postmaster.pid").read_text().split()[0]))
        except FileNotFoundError:
            return True

    def _valkey_is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.places.valkey_socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")  # "-LOADING …" while it reads its file
            except OSError:
                return False

    def _exit_code(self, name: str) -> str:
        return f"exit code {self.children[name].returncode}"

    def _last_lines(self, name: str) -> str:
        logs = [self.places.logs / f"{name}.out", *(self.places.postgres.glob("log/*.log") if name == POSTGRES else ())]
        return processes.tail(max(logs, key=lambda path: path.stat().st_mtime))


def main() -> int:
    """Be the keeper of one data folder."""
    parser = argparse.ArgumentParser(description="Keeps the embedded servers of one data folder; started by dgbot itself.")
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="+", choices=(POSTGRES, VALKEY))
    parser.add_argument("--throwaway", action="store_true", help="for tests: fast, and lost after a power cut")
    arguments = parser.parse_args()
    keeper = Keeper(Places(arguments.data), arguments.names, throwaway=arguments.throwaway)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: setattr(keeper, "stopping", True))
    return keeper.run()


if __name__ == "__main__":
    sys.exit(main())
