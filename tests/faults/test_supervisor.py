"""One command starts everything, and nothing is in the way afterwards, however it ended. Real processes, real servers."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from dgbot.env import BASE_DIR
from tests.faults.platform import OPERATORS, Platform
from tests.scale import in_turn, only_in_full

pytestmark = pytest.mark.timeout(180)


def test_a_second_start_is_refused_a_killed_process_runs_again_and_sigterm_stops_all_in_order(platform):
    said = platform.start().wait_for("Logs")
    assert f"http://127.0.0.1:{platform.port}/" in said

    os.kill(platform.pid_of("celery", "worker"), signal.SIGKILL)
    assert "it starts again in 1 s" in platform.wait_for("worker ended by itself")

    code, refusal = Platform.end(second := Platform(platform.folder).start())
    assert code == 2
    assert refusal.strip() == (
        f"dgbot already runs as process {platform.run.pid} at http://127.0.0.1:{platform.port}/;"
        f" stop it with Ctrl-C there or: kill {platform.run.pid}"
    )
    assert second.run.pid not in platform.processes()

    platform.run.send_signal(signal.SIGTERM)
    code, said = platform.end()
    assert (code, said.strip().splitlines()[-1]) == (0, "stopped")
    assert platform.left_after(1) == {}


@in_turn(1, of=2)
@pytest.mark.parametrize("reaper", ["", pytest.param("1", marks=only_in_full)], ids=["kernel", "reaper"])
def test_after_kill_9_nothing_is_left_and_nothing_lost(platform, reaper):
    platform.start(**({"DGBOT_TEST_REAPER": "true"} if reaper else {})).wait_for("Logs")
    platform.sql("DROP TABLE IF EXISTS kept")
    platform.sql("CREATE TABLE kept AS SELECT 7 AS number")

    platform.run.kill()

    assert platform.left_after(10) == {}
    platform.start().wait_for("Logs")
    assert platform.sql("SELECT number FROM kept") == (7,)
    platform.run.send_signal(signal.SIGINT)
    assert platform.end()[0] == 0


def test_a_taken_port_ends_the_start_with_one_sentence(platform):
    with socket.socket() as other:
        other.bind(("127.0.0.1", platform.port))
        other.listen()

        code, said = platform.start().end()

    assert code == 2
    assert f"port {platform.port} on 127.0.0.1 cannot be used (Address already in use); set DGBOT_PORT to a free one" in said
    assert platform.left_after(1) == {}


def test_a_malformed_environment_ends_the_start_with_one_sentence(platform):
    code, said = platform.start(DGBOT_LIVE_TRADING="yes please").end()

    assert (code, said) == (2, "DGBOT_LIVE_TRADING must be true or false, was 'yes please'\n")


def test_commands_share_the_servers_and_the_last_one_stops_them(platform):
    environment = {name: value for name, value in os.environ.items() if name not in OPERATORS and not name.startswith("DGBOT_")}
    environment["DGBOT_DATA_DIR"] = str(platform.folder)
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c"]
    wait = "import time; from django.db import connection; connection.ensure_connection(); time.sleep({})"

    first = subprocess.Popen([*command, wait.format(1)], cwd=BASE_DIR, env=environment)
    second = subprocess.Popen([*command, wait.format(5)], cwd=BASE_DIR, env=environment)

    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert platform.left_after(5) == {}
