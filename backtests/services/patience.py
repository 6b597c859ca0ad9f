"""Computing that can be told to stop: the kernels hold no lock of Python's, so the job is kept alive beside them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from backtests.services.jobs import Held

T = TypeVar("T")

LOOK_EVERY_S = 0.5  # how soon a cancel is noticed; a quarter of what is promised


def computed(held: Held, function: Callable[[], T], *, done: int) -> T:
    """What `function` returns or raises. It must not touch the database: its thread has a connection of its own.

    Raises JobStopped when the job was cancelled, lost or is over its limit. The thread is then left behind: nobody can end it, its
    result goes nowhere, and what was asked for is bounded, so it ends soon.
    """
    if time.monotonic() - held.renewed_s > LOOK_EVERY_S:  # many short computations in a row are one long one
        held.check(done=done)
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # it is raised where the result is waited for
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name=f"job-{held.pk}").start()
    while True:
        try:
            return future.result(timeout=LOOK_EVERY_S)
        except TimeoutError:
            if future.done():  # the function itself timed out
                raise
            held.check(done=done)
