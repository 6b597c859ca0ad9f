"""The shape of every long-running process of ours: step until told to stop, beat the heart, outlive a lost database."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections

from dgbot.accounts import heartbeats
from dgbot.base.machine import machine_now

log = logging.getLogger(__name__)

AFTER_LOSS_S = 1.0  # pause before the database is asked again


def run_forever(*, process: str, step: Callable[[], None], wait: Callable[[], None], detail: Callable[[], dict[str, Any]] = dict) -> None:
    """Call `step`, then `wait`, until SIGTERM or SIGINT; a step that has begun is finished. detail: shown beside the heartbeat.

    A lost database connection is logged and tried again; any other error ends the process, and its supervisor restarts it.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    beat = Pulse(process, detail=detail)
    while not stopping.is_set():
        try:
            close_old_connections()
            beat()
            step()
        except (OperationalError, InterfaceError) as error:
            log.warning("%s lost the database and will ask again: %s", process, error)
            connections.close_all()
            time.sleep(AFTER_LOSS_S)
            continue
        wait()
    beat.end()
    log.info("%s stopped", process)


def beat_in_background(process: str) -> None:
    """Beat from a thread of its own, for a process whose loop belongs to somebody else."""

    def run() -> None:
        pulse = Pulse(process)
        while True:
            try:
                pulse()
            except (OperationalError, InterfaceError) as error:
                log.warning("%s could not write its heartbeat: %s", process, error)
            connections.close_all()
            time.sleep(settings.HEARTBEAT_S)

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


class Pulse:
    """Writes the heartbeat of one process at most every HEARTBEAT_S seconds, and looks whether others are late."""

    def __init__(self, process: str, *, detail: Callable[[], dict[str, Any]] = dict) -> None:
        self.process, self.detail = process, detail
        self.started_at: datetime | None = None
        self.next_at = 0.0

    def __call__(self) -> None:
        """Beat if it is time."""
        if time.monotonic() < self.next_at:
            return
        if self.started_at is None:
            self.started_at = machine_now()
        heartbeats.beat(process=self.process, started_at=self.started_at, **self.detail())
        heartbeats.raise_alarms()
        self.next_at = time.monotonic() + settings.HEARTBEAT_S

    def end(self) -> None:
        """The process ends in order: nobody need wait for its next beat."""
        try:
            heartbeats.forget_process(self.process)
        except (OperationalError, InterfaceError) as error:
            log.warning("%s could not take its heartbeat back: %s", self.process, error)
