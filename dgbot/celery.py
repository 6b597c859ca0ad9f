"""The Celery application: `celery -A dgbot.celery worker`."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_process_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")

app = Celery("dgbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """A receiver, of whatever content, keeps Celery from configuring logs; Django has done it."""


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


@worker_process_init.connect
def log_to_own_file(**_: Any) -> None:
    """Each pool child writes a file of its own: worker-1.log, worker-2.log."""
    from billiard.process import current_process

    from dgbot.logs import ProcessFileHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, ProcessFileHandler):
            handler.move_to(f"{os.environ.get('DGBOT_PROCESS', 'worker')}-{getattr(current_process(), 'index', 0) + 1}")
