"""The log in the database: complete, without secrets, and never in the way."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from monitoring import logs
from monitoring.background import Background
from monitoring.models import SystemLog

NOW = datetime(2031, 12, 5, tzinfo=UTC)


def record(message: str, *, name: str = "trading.gateway", level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, (), None)


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("postgres://bot:hunter22@db/x failed", "postgres://bot:", "hunter22"),
        ("Authorization: Bearer abcdef123456", "Authorization", "abcdef123456"),
        ("access_key='AKxxxxxxxxxx' refused", "access_key", "AKxxxxxxxxxx"),
    ],
)
def test_secrets_are_masked(text: str, kept: str, gone: str) -> None:
    masked = logs.redact(text)

    assert kept in masked
    assert gone not in masked


def test_values_of_secret_settings_are_masked(settings) -> None:
    settings.SECRET_KEY = "correct-horse-battery"

    assert "correct-horse-battery" not in logs.redact("signed with correct-horse-battery")


def test_a_full_queue_drops_and_counts_and_never_waits() -> None:
    gate = threading.Event()
    taken: list[int] = []
    work = Background("test", lambda batch: (gate.wait(5), taken.extend(batch)), capacity=3, batch=1)

    for number in range(20):
        work.put(number)
    gate.set()

    assert work.wait_until_done(5)
    assert work.dropped >= 15
    assert taken == sorted(taken)
    assert len(taken) + work.dropped == 20


@pytest.mark.django_db(transaction=True)
def test_lines_of_ours_are_written_with_their_ids() -> None:
    handler = logs.SystemLogHandler()

    handler.handle(record("order=12 bot=3 filled"))
    handler.handle(record("not ours", name="urllib3"))
    handler.handle(record("the exchange does not answer", level=logging.ERROR))
    assert handler._background.wait_until_done(5)

    lines = list(SystemLog.objects.order_by("id").values_list("level", "message"))
    assert lines == [("info", "order=12 bot=3 filled"), ("error", "the exchange does not answer")]
    assert SystemLog.objects.earliest("id").context["order"] == "12"


@pytest.mark.django_db
def test_partitions_are_made_once_and_take_over_waiting_rows() -> None:
    SystemLog.objects.create(level="info", message="waited", created_at=NOW)

    logs.ensure_partitions(NOW)
    logs.ensure_partitions(NOW)

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM system_logs_2031_12")
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT to_regclass('system_logs_2032_01') IS NOT NULL")
        assert cursor.fetchone() == (True,)
    SystemLog.objects.create(level="info", message="new", created_at=NOW + timedelta(days=1))
    assert SystemLog.objects.filter(created_at__gte=NOW).count() == 2
