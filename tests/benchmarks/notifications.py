"""How soon a notification arrives: `python -m tests.benchmarks.notifications`. 20 events/s, four channels, real sockets.

PostgreSQL, Valkey and the notifier are real, Telegram, Slack, the mail server and the webhook are fakes on this machine. Time runs
from before the event's transaction begins until the fake has read the whole message. Goal: p95 under 150 ms, p99 under 500 ms.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from dgbot.local.paths import Places
from dgbot.local.servers import Servers

PER_S = 20
CHAT = 4711


def main() -> int:
    """Measure and print; the exit code tells whether the goals were met for every medium."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="how long events are told")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dgbot-bench.", dir="/tmp"))
    folder.chmod(0o755)
    try:
        found = measure(Places(folder), seconds=asked.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found) if asked.json else "\n".join(f"{name:10} {value}" for name, value in found.items()))  # noqa: T201
    figures = [one for one in found.values() if isinstance(one, dict)]
    return 0 if all(one["p95_ms"] < 150 and one["p99_ms"] < 500 for one in figures) else 1


def measure(places: Places, *, seconds: int) -> dict[str, Any]:
    """Milliseconds by medium, and the notifier's CPU."""
    os.environ.update(DATABASE_URL=places.database_url(user="postgres"), REDIS_URL=places.redis_url(), DGBOT_DATA_DIR=str(places.data))
    os.environ.update(DJANGO_SETTINGS_MODULE="dgbot.settings", DGBOT_PRIVATE_ADDRESSES="true", DGBOT_SUPERVISED="true")
    with Servers(places, throwaway=True):
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return _measured(seconds)


def _measured(seconds: int) -> dict[str, Any]:
    import psutil

    from tests import notice_stage as stage
    from tests.fakes.notices.mail import FakeMail
    from tests.fakes.notices.slack import FakeSlack
    from tests.fakes.notices.telegram import TOKEN, FakeTelegram
    from tests.fakes.notices.webhook import FakeWebhook
    from tests.notifier_process import NotifierProcess

    with ExitStack() as open_:
        telegram, slack = open_.enter_context(FakeTelegram(chats={CHAT})), open_.enter_context(FakeSlack())
        mailbox, hook = open_.enter_context(FakeMail()), open_.enter_context(FakeWebhook())
        owner = _owner()
        stage.channel(owner, "telegram", address=str(CHAT))
        stage.channel(owner, "slack", address=slack.address)
        stage.channel(owner, "email", address="me@example.com")
        stage.to_webhook(owner, hook)
        variables = {"TELEGRAM_ENABLED": "true", "TELEGRAM_BOT_TOKEN": TOKEN, "DGBOT_TELEGRAM_URL": telegram.url}
        mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mailbox.port), "SMTP_FROM_ADDR": "dgbot@example.com"}
        notifier = open_.enter_context(NotifierProcess(**variables, **mail))
        stage.tell(owner, "0 warm")
        time.sleep(3)
        process = psutil.Process(notifier.process.pid)
        before = sum(process.cpu_times()[:2])
        told = _tell(stage, owner, seconds)
        until = time.monotonic() + 30
        while time.monotonic() < until and any(len(sink.arrived) <= len(told) for sink in (telegram, slack, hook)):
            time.sleep(0.1)
        spent = sum(process.cpu_times()[:2]) - before
        sinks = {"telegram": telegram.arrived, "slack": slack.arrived, "webhook": hook.arrived}
        found: dict[str, Any] = {name: _figures(told, [(one.body.decode(), one.at) for one in arrived]) for name, arrived in sinks.items()}
        found["mail"] = _figures(told, [(str(one["Subject"]), at) for one, at in zip(mailbox.mails, mailbox.times, strict=True)])
        return {**found, "events": len(told), "cpu_ms_per_event": round(1000 * spent / len(told), 1)}


def _owner() -> Any:
    from dgbot.accounts.models import User

    return User.objects.create_user("bench")


def _tell(stage: Any, owner: Any, seconds: int) -> dict[int, float]:
    """When each event began, by its number."""
    told, started = {}, time.monotonic()
    for number in range(1, PER_S * seconds + 1):
        time.sleep(max(0.0, started + number / PER_S - time.monotonic()))
        told[number] = time.monotonic()
        stage.tell(owner, f"event-{number}-told")
    return told


def _figures(told: dict[int, float], arrived: list[tuple[str, float]]) -> dict[str, Any]:
    delays = []
    for text, at in arrived:
        _before, found, rest = text.partition("event-")
        if found:
            delays.append(1000 * (at - told[int(rest.partition("-told")[0])]))
    cuts = quantiles(delays, n=100)
    return {"arrived": len(delays), "median_ms": round(median(delays), 1), "p95_ms": round(cuts[94], 1), "p99_ms": round(cuts[98], 1)}


if __name__ == "__main__":
    raise SystemExit(main())
