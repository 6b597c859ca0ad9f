"""`scripts/up.sh`, `manage.py up`, `python -m dgbot.local`: everything on this machine, in order, until told to stop.

environment → lock → port, disk, folder → servers → prepare → warm-up → static files → processes → HTTP → banner
"""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import psutil

from dgbot import env
from dgbot.core.errors import BadInput
from dgbot.local.lock import Lock
from dgbot.local.servers import Servers, needed, places_of, prepare_folders
from dgbot.local.supervisor import Program, Supervisor

OLDEST_PYTHON, PAST_PYTHON = (3, 11), (3, 15)
DISK_NEEDED_BYTES = 500_000_000
WEB_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 120.0
POLL_S = 0.1
STAGES_PER_CYCLE = 4
FULL_CYCLE = """
    SELECT EXISTS (SELECT FROM cycles WHERE recorded_at >= %s
                   AND (SELECT count(*) FROM stage_results WHERE stage_results.cycle_id = cycles.id) = %s)
"""
QUEUES = "cycles,backtests,data_ingestion,notifications,default"


class Stopped(Exception):
    """SIGINT or SIGTERM arrived while we were starting."""


def main(arguments: Sequence[str]) -> int:
    """Run the platform. Returns 0 after an orderly stop or a passed --check; a refusal raises BadInput."""
    parser = argparse.ArgumentParser(prog="up", description="Start everything on this machine.", epilog="Example: scripts/up.sh --check")
    parser.add_argument("--check", action="store_true", help="stop with success once one full cycle has been recorded")
    options = parser.parse_args(arguments)
    refuse_other_python()
    return Up(env.load(), check=options.check).run()


class Up:
    """One run of the platform."""

    def __init__(self, environment: env.Environment, *, check: bool) -> None:
        self.environment, self.check = environment, check
        self.places = places_of(environment)
        self.host, self.port = environment["DGBOT_HOST"], environment["DGBOT_PORT"]
        self.address = f"http://{'127.0.0.1' if self.host in ('0.0.0.0', '::') else self.host}:{self.port}/"  # noqa: S104
        self.stop_requests = 0
        self.started = time.monotonic()

    def run(self) -> int:
        """Everything, from the lock to the last server's end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        prepare_folders(self.places)
        lock = self._lock()
        try:
            return self._run_locked()
        except Stopped:
            return 0
        finally:
            lock.release()

    def _run_locked(self) -> int:
        reaper = sys.platform != "linux" or self.environment["DGBOT_TEST_REAPER"]
        supervisor = Supervisor(programs(self.host, self.port), data=self.places.data, logs=self.places.logs, say=say, reaper=reaper)
        supervisor.end_leftovers()
        refuse_taken_port(self.host, self.port)
        refuse_full_disk(self.places.data)
        servers = Servers(self.places, names=needed(self.environment))
        try:
            if servers.names:
                servers.open()
            self._stop_if_asked()
            said = prepare(fresh_servers=servers.started_here and len(servers.names) > 0)
            self._stop_if_asked()
            return self._run_processes(supervisor, servers, said)
        finally:
            say("stopping …")
            supervisor.stop(hurry=self.stop_requests > 1)
            servers.close()
            say("stopped")

    def _run_processes(self, supervisor: Supervisor, servers: Servers, said: str) -> int:
        since = database_time()
        supervisor.start()
        self._wait_for_web(supervisor)
        self._show_banner(said)
        deadline = time.monotonic() + CHECK_TIMEOUT_S
        while not self.stop_requests:
            supervisor.tend()
            if servers.names and (reason := servers.failure()):
                say(f"Everything stops, because {reason}")
                return 1
            if self.check and full_cycles(since):
                say("check passed: one full cycle has been recorded")
                return 0
            if self.check and time.monotonic() > deadline:
                raise BadInput(f"no full cycle was recorded within {CHECK_TIMEOUT_S:.0f} s; look into {self.places.logs}")
            time.sleep(POLL_S)
        return 0

    def _lock(self) -> Lock:
        lock = Lock(self.places.data / "up.lock")
        if not lock.take():
            raise BadInput(_already_running(lock.note()))
        lock.write(json.dumps({"pid": os.getpid(), "address": self.address}))
        return lock

    def _request_stop(self, *_: Any) -> None:
        self.stop_requests += 1

    def _stop_if_asked(self) -> None:
        if self.stop_requests:
            raise Stopped

    def _wait_for_web(self, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + WEB_TIMEOUT_S
        while not (owns_port(supervisor.pid("web"), self.port) and is_live(self.host, self.port)):
            self._stop_if_asked()
            supervisor.tend()
            if supervisor.given_up():
                raise BadInput(f"{supervisor.given_up()[0]} cannot start; its last lines are above")
            if time.monotonic() > deadline:
                raise BadInput(f"the web server did not answer within {WEB_TIMEOUT_S:.0f} s:\n{supervisor.last_lines('web')}")
            time.sleep(POLL_S)

    def _show_banner(self, said: str) -> None:
        from django.db import connection

        from dgbot.local import banner

        seconds = time.monotonic() - self.started
        live = self.environment["DGBOT_LIVE_TRADING"]
        now = datetime.now(tz=UTC)
        say(banner.text(address=self.address, live_trading=live, said=said, started=now, seconds=seconds, logs=self.places.logs))
        connection.close()


def programs(host: str, port: int) -> list[Program]:
    """Our processes. Celery's `-S` is not the scheduler but a state file, so the scheduler is a setting."""
    python = sys.executable
    manage = [python, str(env.BASE_DIR / "manage.py")]
    celery = [python, "-m", "celery", "-A", "dgbot.celery", "--workdir", str(env.BASE_DIR)]
    uvicorn = [python, "-m", "uvicorn", "dgbot.asgi:application", "--app-dir", str(env.BASE_DIR), "--host", host, "--port", str(port)]
    quiet = ["--lifespan", "off", "--timeout-graceful-shutdown", "5", "--no-access-log", "--log-level", "warning"]
    worker = ["worker", "-Q", QUEUES, "--concurrency", "2", "--loglevel", "warning", "--without-gossip", "--without-mingle"]
    return [
        Program("web", [*uvicorn, *quiet]),
        Program("worker", [*celery, *worker], last=True),
        Program("beat", [*celery, "beat", "--pidfile=", "--loglevel", "warning"]),
        Program("gateway", [*manage, "run_gateway"]),
        Program("guardian", [*manage, "run_guardian"]),
        Program("ticker", [*manage, "run_ticker"]),
        Program("notifier", [*manage, "run_notifier"]),
    ]


def refuse_other_python() -> None:
    """Raises BadInput outside the versions for which every wheel exists."""
    if not OLDEST_PYTHON <= sys.version_info[:2] < PAST_PYTHON:
        raise BadInput(f"dgbot runs on Python 3.11 to 3.14, this is {sys.version.split()[0]}; install another one or use uv")


def refuse_taken_port(host: str, port: int) -> None:
    """Raises BadInput when something else listens there, or the address is not this machine's."""
    family, kind, protocol, _, address = _resolve(host, port)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            remedy = f"set DGBOT_PORT to a free one, for example {port + 1}"
            raise BadInput(f"port {port} on {host} cannot be used ({error.strerror}); {remedy}") from error


def _resolve(host: str, port: int) -> tuple[Any, ...]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadInput(f"DGBOT_HOST {host} is not an address ({error.strerror}); use 127.0.0.1") from error


def refuse_full_disk(folder: Path) -> None:
    """Raises BadInput below 500 MB."""
    free = shutil.disk_usage(folder).free
    if free < DISK_NEEDED_BYTES:
        raise BadInput(
            f"only {free // 1_000_000} MB are free for {folder}, and {DISK_NEEDED_BYTES // 1_000_000} MB are needed;"
            " free some, or set DGBOT_DATA_DIR to another disk"
        )


def prepare(*, fresh_servers: bool) -> str:
    """Set Django up in this process, prepare the database and the files. Returns what the seeds said."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")
    os.environ["DGBOT_SUPERVISED"] = "true"  # without the admin's pages, which take seconds to import
    import django

    django.setup()
    from django.core.management import call_command

    from dgbot.base import warmups

    said = StringIO()
    said.write(_run_checks())
    call_command("prepare", fresh_servers=fresh_servers, stdout=said)
    warmups.run()
    _collect_static()
    return said.getvalue()


def _run_checks() -> str:
    """Our own system checks. Raises BadInput at an error; returns the warnings."""
    from django.core.checks import ERROR, run_checks

    from dgbot.checks import OURS

    found = run_checks(tags=[OURS])
    errors = [f"{message.msg}: {message.hint}" for message in found if message.level >= ERROR]
    if errors:
        raise BadInput("; ".join(errors))
    return "".join(f"Warning: {message.msg}. {message.hint}\n" for message in found)


def _collect_static() -> None:
    """Collect when a file may have changed: another lock file, or a newer one of ours."""
    from django.conf import settings
    from django.core.management import call_command

    mark = settings.STATIC_ROOT / ".collected"
    print_now = _static_print()
    if settings.DEBUG or (mark.is_file() and mark.read_text() == print_now):
        return
    call_command("collectstatic", interactive=False, clear=settings.STATIC_ROOT.is_dir(), verbosity=0)
    mark.write_text(print_now)


def _static_print() -> str:
    files = [env.BASE_DIR / "uv.lock", *sorted(env.BASE_DIR.glob("*/static/**/*")), *sorted(env.BASE_DIR.glob("*/*/static/**/*"))]
    seen = [f"{path}:{path.stat().st_mtime_ns}" for path in files if path.is_file()]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def database_time() -> datetime:
    """The database's clock, by which cycles are recorded."""
    now: datetime = _ask("SELECT clock_timestamp()")
    return now


def full_cycles(since: datetime) -> bool:
    """Whether a cycle recorded after `since` has all its stages."""
    return bool(_ask(FULL_CYCLE, since, STAGES_PER_CYCLE))


def _ask(query: str, *parameters: Any) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    connection.close()
    return row[0] if row else None


def owns_port(pid: int | None, port: int) -> bool:
    """Whether our own process listens there: an old web server may still answer."""
    if pid is None:
        return False
    try:
        found = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port for connection in found)


def is_live(host: str, port: int) -> bool:
    """Whether the site says that it lives."""
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/health/live", headers={"Host": "localhost"})
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def say(sentence: str) -> None:
    """Tell the operator."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def _already_running(note: str) -> str:
    try:
        holder = json.loads(note)
    except ValueError:
        return "dgbot is already starting from this folder; wait for its banner"
    return f"dgbot already runs as process {holder['pid']} at {holder['address']}; stop it with Ctrl-C there or: kill {holder['pid']}"
