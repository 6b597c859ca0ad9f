"""The platform watches itself: silence, full disks, old backups begin an alarm, tell it once, and end it."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from dgbot.accounts import heartbeats, roles
from dgbot.local.up import programs
from monitoring.models import Alarm, Notification, RequestMinute, UptimeSpan
from monitoring.notifications.kinds import Level
from monitoring.system import alarms, database, kpis, readings, requests
from monitoring.system.readings import Health, Reading
from tests import face_rows as rows

pytestmark = pytest.mark.django_db

PROCESSES = [program.name for program in programs("", 0)]


def disk(health: Health, said: str = "97 % used") -> Reading:
    return Reading("machine", "disk", "disk", health, said)


def settle(*found: Reading) -> int:
    return alarms.settle(list(found), now=timezone.now())


def beat_all(*, but: str = "") -> None:
    for name in PROCESSES:
        if name != but:
            heartbeats.beat(process=name, started_at=timezone.now())


def time_passes(seconds: float, *, of: str = "") -> None:
    """Machine time, for rows alone: their beats lie so much further back."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE heartbeats SET beat_at = beat_at - %s * interval '1 second' WHERE %s IN ('', process)", [seconds, of])


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_that_falls_silent_raises_its_alarm_within_two_minutes(process: str, client: Client) -> None:
    beat_all()
    time_passes(60.0 + 1, of=process)  # twelve beats of five seconds, and the next look of whoever lives

    heartbeats.raise_alarms()

    alarm = Alarm.objects.get()
    assert alarm.key.startswith(f"process:{process}@")
    assert alarm.level == ("critical" if process in ("gateway", "guardian") else "error")
    assert (timezone.now() - alarm.since).total_seconds() < 120
    client.force_login(rows.user(is_superuser=True))
    page = client.get("/system/").content.decode()
    assert alarm.message in page
    heartbeats.beat(process=process, started_at=timezone.now())
    alarm.refresh_from_db()
    assert alarm.ended_at is not None


def test_a_process_that_ends_in_order_ends_its_alarm() -> None:
    heartbeats.beat(process="ticker", started_at=timezone.now())
    time_passes(120)
    heartbeats.raise_alarms()

    heartbeats.forget_process("ticker")

    assert Alarm.objects.get().ended_at is not None


def test_an_alarm_begins_once_is_told_once_gets_worse_and_ends() -> None:
    assert settle(disk(Health.WARNING)) == 1
    assert settle(disk(Health.WARNING, "83 % used")) == 1
    assert settle(disk(Health.ERROR)) == 1
    assert settle(disk(Health.UNKNOWN)) == 1
    assert settle(disk(Health.OK)) == 0

    alarm = Alarm.objects.get()
    told = list(Notification.objects.order_by("pk").values_list("level", flat=True))
    assert (alarm.level, alarm.message, alarm.ended_at is not None) == ("error", "disk: 97 % used", True)
    assert told == [Level.WARNING, Level.ERROR, Level.INFO]


def test_the_same_trouble_again_is_another_alarm() -> None:
    for health in (Health.ERROR, Health.OK, Health.ERROR):
        settle(disk(health))

    assert Alarm.objects.count() == 2
    assert [alarm.key for alarm in alarms.open_alarms()] == ["disk"]


def test_an_alarm_and_what_is_told_of_it_come_together() -> None:
    found = {reading.key: reading for reading in readings.read()}

    assert found["postgresql"].health is Health.OK
    assert found["redis"].health is Health.OK
    assert {f"absent:{name}" for name in PROCESSES} <= found.keys()
    assert found["backup:postgres"].health is Health.UNKNOWN
    assert {"disk", "memory", "processor", "naked", "prices", "orders_unknown"} <= found.keys()
    assert alarms.look() >= len(PROCESSES)


def test_redis_that_is_away_is_an_error_and_not_an_exception(settings: Any) -> None:
    settings.REDIS_URLS = ("redis://127.0.0.1:1/0",)

    (found,) = [reading for reading in readings.read() if reading.area == "queues"]

    assert (found.key, found.health) == ("redis", Health.ERROR)


def test_unknown_and_warning_make_a_warning_and_error_wins() -> None:
    assert readings.summary([disk(Health.OK)]).overall == "OK"
    assert readings.summary([disk(Health.OK), disk(Health.UNKNOWN)]).overall == "WARNING"
    ten = [disk(Health.OK)] * 9 + [disk(Health.WARNING)]
    assert (readings.summary(ten).total, readings.summary(ten).ok, readings.summary(ten).overall) == (10, 9, "WARNING")
    assert readings.summary([disk(Health.WARNING), disk(Health.ERROR)]).overall == "ERROR"


def test_uptime_is_what_lies_between_signs_of_life_of_the_worst_process() -> None:
    now = timezone.now()
    UptimeSpan.objects.create(process="worker", began_at=now - timedelta(hours=24), until=now)
    UptimeSpan.objects.create(process="gateway", began_at=now - timedelta(hours=24), until=now - timedelta(hours=12))
    UptimeSpan.objects.create(process="gateway", began_at=now - timedelta(hours=6), until=now)
    UptimeSpan.objects.create(process="gateway", began_at=now - timedelta(hours=3), until=now)  # another host, at the same time

    uptime = next(each for each in kpis.measure() if each.target.key == "uptime")

    assert uptime.values["24h"] == pytest.approx(75.0, abs=0.01)
    assert uptime.shown()[0]["is_met"] is False


def test_beats_in_time_lengthen_one_stretch_and_a_late_one_begins_another() -> None:
    heartbeats.beat(process="gateway", started_at=timezone.now())
    heartbeats.beat(process="gateway", started_at=timezone.now())
    assert UptimeSpan.objects.filter(process="gateway").count() == 1
    UptimeSpan.objects.update(began_at=timezone.now() - timedelta(hours=2), until=timezone.now() - timedelta(hours=1))

    heartbeats.beat(process="gateway", started_at=timezone.now())

    assert UptimeSpan.objects.filter(process="gateway").count() == 2


def test_targets_follow_the_rows_and_nothing_is_unknown() -> None:
    assert {each.target.key: set(each.values.values()) for each in kpis.measure()} == {
        key: {None} for key in ("uptime", "answer", "execution", "errors", "notification")
    }
    RequestMinute.objects.create(
        minute=timezone.now().replace(second=0, microsecond=0), requests=998, errors=1, total_ms=99_800, slowest_ms=900
    )
    bot = rows.bot(rows.user())
    rows.cycle(bot)
    rows.cycle(bot, slot=rows.T0 + timedelta(hours=1), status="failed")

    found = {each.target.key: each for each in kpis.measure()}

    assert found["answer"].values["24h"] == 100
    assert found["errors"].values["7d"] == pytest.approx(0.2)
    assert found["errors"].shown()[0] == {"window": "24h", "text": "0.200 %", "is_met": False}


@pytest.mark.django_db(transaction=True)
def test_answers_are_counted_by_the_minute_and_health_checks_are_not(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.tally, "is_on", True)
    client.get("/login/")
    client.get("/health/live")

    requests.tally.flush()

    assert requests.tally.wait_until_written()
    assert sum(RequestMinute.objects.values_list("requests", flat=True)) == 1


def test_the_page_is_for_those_who_may_read_the_system_log(client: Client) -> None:
    client.force_login(rows.user(role=roles.VIEWER))
    assert client.get("/system/").status_code == 403

    client.force_login(rows.user(is_superuser=True))
    whole, part = client.get("/system/").content.decode(), client.get("/system/?part=1").content.decode()
    assert "<html" in whole
    assert "<html" not in part
    assert "PostgreSQL" in part


def test_health_answers_for_programs_and_fails_when_something_is_wrong(settings: Any) -> None:
    said = StringIO()

    with pytest.raises(CommandError, match="checks are errors"):
        call_command("health", "--json", stdout=said)

    found = json.loads(said.getvalue())
    assert found["total"] == found["ok"] + found["warning"] + found["error"]
    assert (found["overall"], found["readings"][-1]["key"]) == ("ERROR", "http")


def test_health_in_words_ends_with_the_summary() -> None:
    said = StringIO()

    with pytest.raises(CommandError):
        call_command("health", "verbose", stdout=said)

    assert "errors → ERROR" in said.getvalue().splitlines()[-1]


def test_db_status_tells_rows_sizes_newest_and_unused() -> None:
    bot = rows.bot(rows.user())
    cycle = rows.cycle(bot)
    rows.decision(cycle)

    found = {row["table"]: row for row in database.status()["tables"]}

    assert found["ai_decisions"]["rows"] == 1
    assert found["ai_decisions"]["newest"] is not None
    assert found["system_logs"]["bytes"] > 0
    said = StringIO()
    call_command("db_status", stdout=said)
    assert "ai_decisions" in said.getvalue()
    assert "Slow queries are not measured" in said.getvalue()
