"""How scheduled jobs end. Workers write it after each run; the admin shows it beside the schedule."""

from typing import Any

from django.db import connection

from dgbot.accounts.models import JobRun

RESULT_LIMIT = 500  # characters

RECORD = """
INSERT INTO job_runs (name, task, started_at, duration_ms, is_ok, result, runs, failures, total_ms)
VALUES (%(name)s, %(task)s, clock_timestamp() - %(ms)s * interval '1 millisecond', %(ms)s, %(is_ok)s, %(result)s, 1, %(failed)s,
        %(ms)s)
ON CONFLICT (name) DO UPDATE SET
    task = EXCLUDED.task, started_at = EXCLUDED.started_at, duration_ms = EXCLUDED.duration_ms, is_ok = EXCLUDED.is_ok,
    result = EXCLUDED.result, runs = job_runs.runs + 1, failures = job_runs.failures + EXCLUDED.failures,
    total_ms = job_runs.total_ms + EXCLUDED.total_ms
"""


def record(*, name: str, task: str, seconds: float, is_ok: bool, result: Any) -> None:
    """Write down how a run of the schedule `name` ended. result: what the job answered, or why it failed; None says nothing."""
    text = "" if result is None else str(result)[:RESULT_LIMIT].replace("\x00", "")
    values: dict[str, Any] = {
        "name": name,
        "task": task,
        "ms": round(seconds * 1000),
        "is_ok": is_ok,
        "result": text,
        "failed": int(not is_ok),
    }
    with connection.cursor() as cursor:
        cursor.execute(RECORD, values)


def last_runs() -> dict[str, JobRun]:
    """The last run of every schedule, by its name."""
    return {run.name: run for run in JobRun.objects.all()}
