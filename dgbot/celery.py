"""The Celery application: `celery -A dgbot.celery worker`."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")

app = Celery("dgbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """A receiver, of whatever content, keeps Celery from configuring logs; Django has done it."""


@worker_process_init.connect
def log_to_own_file(**_: Any) -> None:
    """Each pool child writes a file of its own: worker-1.log, worker-2.log."""
    from billiard.process import current_process

    from dgbot.logs import ProcessFileHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, ProcessFileHandler):
            handler.move_to(f"{os.environ.get('DGBOT_PROCESS', 'worker')}-{getattr(current_process(), 'index', 0) + 1}")
