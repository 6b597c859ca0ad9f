"""A container's health check, asked of a real database."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.db.models.functions import Now

from dgbot.accounts import heartbeats
from dgbot.accounts.models import Heartbeat
from dgbot.env import BASE_DIR

pytestmark = pytest.mark.django_db(transaction=True)


def ask(process: str) -> subprocess.CompletedProcess[str]:
    server = connection.settings_dict
    url = f"postgres://{server['USER']}@{quote(server['HOST'], safe='')}/{server['NAME']}"
    command = [sys.executable, "-m", "dgbot.local.alive", process]
    return subprocess.run(command, check=False, cwd=BASE_DIR, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True)


def test_a_process_that_beats_is_alive():
    heartbeats.beat(process="gateway", started_at=datetime.now(tz=UTC))

    assert ask("gateway").returncode == 0


def test_a_process_that_never_beat_is_not():
    answer = ask("guardian")

    assert answer.returncode == 1
    assert answer.stdout == f"guardian on {socket.gethostname()} has never beaten; alive means within 60 s.\n"


def test_an_old_heartbeat_is_late():
    heartbeats.beat(process="gateway", started_at=datetime.now(tz=UTC))
    Heartbeat.objects.update(beat_at=Now() - timedelta(minutes=5))

    answer = ask("gateway")

    assert answer.returncode == 1
    assert "beat 300 s ago" in answer.stdout or "beat 301 s ago" in answer.stdout
