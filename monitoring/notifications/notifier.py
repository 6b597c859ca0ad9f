"""The notifier process: reads what happened, and sends it. Any number of them may run; each row decides who works on it.

One look = read the facts, look at the states, hand every channel that has something due to a thread of its own, so that a slow
one holds up no other.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import InterfaceError, OperationalError, close_old_connections, connections

from monitoring.notifications import bell, delivery, reader, watcher

log = logging.getLogger(__name__)

SWEEP_S = 1.0  # without a bell nothing waits longer
WATCH_EVERY_S = 1.0
TIDY_EVERY_S = 30.0
THREADS = 8


class Notifier:
    """One process's work. `turn` is called again and again; `wait` in between."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="channel")
        self._busy: set[int] = set()
        self._again: set[int] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watched_at = self._tidied_at = float("-inf")
        self._reader = reader.Reader()

    def turn(self) -> None:
        """Look once."""
        self._reader.read()
        now = time.monotonic()
        if now - self._watched_at >= WATCH_EVERY_S:
            self._watched_at = now
            watcher.look()
            delivery.free_the_dead()
        if now - self._tidied_at >= TIDY_EVERY_S:
            self._tidied_at = now
            delivery.expire()
        for channel_pk in delivery.due_channels():
            self._hand_out(channel_pk)

    def wait(self) -> None:
        """Until the bell rings or the sweep is due."""
        bell.wait(at_most_s=SWEEP_S)

    def close(self) -> None:
        """Finish what is being sent; what waits is the next process's."""
        self._ending.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _hand_out(self, channel_pk: int) -> None:
        with self._lock:
            if channel_pk in self._busy:
                self._again.add(channel_pk)  # its thread may just have looked for the last time
                return
            self._busy.add(channel_pk)
        self._pool.submit(self._serve, channel_pk)

    def _serve(self, channel_pk: int) -> None:
        try:
            while True:
                close_old_connections()
                delivery.serve(channel_pk, is_ending=self._ending.is_set)
                with self._lock:
                    if channel_pk not in self._again or self._ending.is_set():
                        self._busy.discard(channel_pk)
                        return
                    self._again.discard(channel_pk)
        except (OperationalError, InterfaceError) as error:
            log.warning("channel=%s lost the database and is served again: %s", channel_pk, error)
            connections.close_all()
        except Exception:
            log.exception("channel=%s could not be served", channel_pk)
        with self._lock:
            self._busy.discard(channel_pk)
            self._again.discard(channel_pk)
