"""What a worker does before its pool forks: no task waits for a kernel."""

import json
import os
import subprocess
import sys

from backtests.engine import warm

AS_A_WORKER_STARTS = """
import json
from celery.signals import worker_init
from dgbot.celery import app
app.loader.init_worker()
worker_init.send(sender=app)
from backtests.tasks import report_kernels
print(json.dumps(report_kernels()))
"""


def test_a_worker_has_every_kernel_loaded_before_its_pool_forks_and_compiles_none() -> None:
    warm()  # as `up` does before it starts any process: the cache holds every kernel

    answer = subprocess.run([sys.executable, "-c", AS_A_WORKER_STARTS], env={**os.environ}, capture_output=True, text=True, check=True)

    assert json.loads(answer.stdout.splitlines()[-1]) == {"were_loaded": True, "compiled": []}
