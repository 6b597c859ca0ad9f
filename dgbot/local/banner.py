"""What `up` tells the operator once everything runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

WIDTH = 12
HALF_A_SECOND = timedelta(seconds=0.5)  # to the nearest second: 11:00:00, not 10:59:59
LIVE = "LIVE: bots in mode live trade real money"
PAPER = "no real money: DGBOT_LIVE_TRADING is false"


def text(*, address: str, live_trading: bool, said: str, started: datetime, seconds: float, logs: Path) -> str:
    """The banner. `said` is what the seeds had to say, such as a password shown only once."""
    lines = [
        ("Address", address),
        ("Login", f"{address}login/"),
        ("Mode", LIVE if live_trading else PAPER),
        ("Started", f"{started.astimezone():%Y-%m-%d %H:%M:%S %z} ({seconds:.1f} s)"),
        ("Stop", "Ctrl-C here, or SIGTERM to this process"),
        ("Logs", str(logs)),
    ]
    rule = "─" * 72
    body = "\n".join(f"{label:{WIDTH}}{value}" for label, value in lines)
    jobs = "\n".join(f"{'Job':{WIDTH}}{job}" for job in jobs_with_next_run()) or f"{'Job':{WIDTH}}none is scheduled"
    first = f"\n{said.strip()}\n" if said.strip() else ""
    return f"{rule}\ndgbot runs\n\n{body}\n{jobs}\n{first}{rule}"


def jobs_with_next_run() -> Iterator[str]:
    """Each enabled schedule and when it fires next, in this machine's zone."""
    from django_celery_beat.models import PeriodicTask

    for task in PeriodicTask.objects.filter(enabled=True).order_by("name"):
        yield f"{task.name}: {_next_run(task.schedule, task.last_run_at)}"


def _next_run(schedule: Any, last_run_at: datetime | None) -> str:
    now = datetime.now(tz=UTC)
    period = getattr(schedule, "run_every", None)
    if isinstance(period, timedelta) and period < timedelta(minutes=1):
        return f"every {period.total_seconds():g} s"
    remaining: timedelta = schedule.remaining_estimate(last_run_at or now)
    return f"{(now + max(remaining, timedelta()) + HALF_A_SECOND).astimezone():%Y-%m-%d %H:%M:%S %z}"
