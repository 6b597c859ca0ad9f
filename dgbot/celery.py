"""The Celery application: `celery -A dgbot.celery worker`."""

import logging
import os
import time
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutdown,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")

app = Celery("dgbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """A receiver, of whatever content, keeps Celery from configuring logs; Django has done it."""


@worker_init.connect
def worker_warms(**_: Any) -> None:
    """Before the pool forks: its children, and those that replace them, find everything loaded."""
    from dgbot.base import warmups

    warmups.run()


@worker_ready.connect
def worker_lives(**_: Any) -> None:
    """The main process tells that it lives; its pool children come and go."""
    from dgbot.base.loops import beat_in_background

    beat_in_background("worker")


@beat_init.connect
def scheduler_lives(**_: Any) -> None:
    """So does the scheduler, whether it ticks or waits for its lock."""
    from dgbot.base.loops import beat_in_background

    beat_in_background("beat")


@worker_shutdown.connect
def worker_ends(**_: Any) -> None:
    """A worker that ends in order is not late."""
    from dgbot.base.loops import Pulse

    Pulse("worker").end()


@task_prerun.connect
def job_starts(task: Any = None, **_: Any) -> None:
    """Remember when, by the clock of durations."""
    task.request.started_s = time.monotonic()


@task_postrun.connect
def job_ends(task: Any = None, retval: Any = None, state: str = "", **_: Any) -> None:
    """Write down how a scheduled job ended, for the list of schedules."""
    from django.db import Error as DatabaseError

    from dgbot.accounts import jobs

    name = (task.request.headers or {}).get("periodic_task_name") or getattr(task.request, "periodic_task_name", "")
    if not name:
        return
    seconds = time.monotonic() - getattr(task.request, "started_s", time.monotonic())
    try:
        jobs.record(name=str(name), task=task.name, seconds=seconds, is_ok=state == "SUCCESS", result=retval)
    except DatabaseError as error:  # the job's own work is done; its row in the list is a convenience
        logging.getLogger(__name__).warning("the end of %s was not written down: %s", name, error)


@worker_process_init.connect
def log_to_own_file(**_: Any) -> None:
    """Each pool child writes a file of its own: worker-1.log, worker-2.log."""
    from billiard.process import current_process

    from dgbot.logs import ProcessFileHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, ProcessFileHandler):
            handler.move_to(f"{os.environ.get('DGBOT_PROCESS', 'worker')}-{getattr(current_process(), 'index', 0) + 1}")
