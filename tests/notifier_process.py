"""The notifier as a process of its own, on the database and the Redis of this session."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Self

from django.conf import settings
from django.db import connection

from dgbot.accounts.models import Heartbeat
from dgbot.env import BASE_DIR

START_S = 60.0


class NotifierProcess:
    """Use as a context manager; it runs when the block begins."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(ProcessLookupError):
            self.process.terminate()
        self.process.wait(20)

    def start(self) -> None:
        """Start it and wait for its first sign of life."""
        Heartbeat.objects.filter(process="notifier").delete()
        database = connection.settings_dict
        url = f"postgres://{database['USER']}@{str(database['HOST']).replace('/', '%2F')}/{database['NAME']}"
        given = {"DATABASE_URL": url, "DGBOT_DATA_DIR": str(settings.DATA_DIR), "DGBOT_PRIVATE_ADDRESSES": "true"}
        environment = {
            **os.environ,
            **given,
            "DGBOT_PROCESS": "notifier",
            "DGBOT_SUPERVISED": "true",
            "DGBOT_FIELD_KEYS": ",".join(settings.FIELD_KEYS),
        }
        command = [sys.executable, "manage.py", "run_notifier"]
        self.process = subprocess.Popen(command, cwd=BASE_DIR, env={**environment, **self.environment})
        until = time.monotonic() + START_S
        while not Heartbeat.objects.filter(process="notifier").exists():
            assert time.monotonic() < until and self.process.poll() is None, "the notifier did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
