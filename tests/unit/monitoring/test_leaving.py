"""Logging out asks while bots run; every page says that they do; reading changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from dgbot.accounts import heartbeats, jobs, roles
from dgbot.accounts.models import Heartbeat, JobRun
from monitoring import cleaning
from monitoring.models import SystemLog
from tests import face_rows as rows
from trading.models import Bot, BotStatus

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
RUNNING = {"is_running": True, "status": BotStatus.RUNNING}


def visitor(client: Client, **columns: Any) -> Bot:
    """Somebody logged in with a bot."""
    bot = rows.bot(rows.user(), name="night shift", **columns)
    client.force_login(bot.user)
    return bot


# --- Leaving ---


@pytest.mark.parametrize("door", ["/logout/", "/admin/logout/"])
def test_leaving_while_a_bot_runs_shows_it_and_asks(client: Client, door: str) -> None:
    bot = visitor(client, **RUNNING)
    rows.position(bot)

    page = client.post(door)

    assert page.status_code == 200 and b"night shift" in page.content and b"holds a position" in page.content
    assert client.session.get("_auth_user_id")


def test_keep_leaves_the_bot_running(client: Client) -> None:
    bot = visitor(client, **RUNNING)

    assert client.post("/logout/", {"choice": "keep"}).url == "/login/"

    bot.refresh_from_db()
    assert bot.is_running and not client.session.get("_auth_user_id")


def test_stop_stops_own_bots_and_nobody_elses(client: Client) -> None:
    theirs = rows.bot(rows.user(), **RUNNING)
    bot = visitor(client, **RUNNING)

    client.post("/logout/", {"choice": "stop"})

    bot.refresh_from_db()
    theirs.refresh_from_db()
    assert (bot.is_running, theirs.is_running) == (False, True)


def test_a_viewer_is_not_offered_to_stop(client: Client) -> None:
    bot = rows.bot(rows.user(role=roles.VIEWER), **RUNNING)
    client.force_login(bot.user)
    assert b'value="stop"' not in client.post("/logout/").content

    client.post("/logout/", {"choice": "stop"})

    bot.refresh_from_db()
    assert bot.is_running


def test_without_running_bots_nobody_is_asked(client: Client) -> None:
    visitor(client)
    assert client.post("/logout/").status_code == 302 and not client.session.get("_auth_user_id")


def test_a_get_does_not_log_out(client: Client) -> None:
    visitor(client)
    client.get("/logout/")
    assert client.session.get("_auth_user_id")


# --- Always visible ---


@pytest.mark.parametrize("page", ["/", "/admin/", "/admin/trading/bot/", "/admin/trading/trade/"])
def test_every_page_says_what_runs_at_the_cost_of_one_query(client: Client, page: str) -> None:
    visitor(client, **RUNNING)

    with CaptureQueriesContext(connection) as queries:
        text = client.get(page).content.decode()

    assert "1 bot is running" in text and "night shift" in text
    asked = [query["sql"] for query in queries if query["sql"].startswith('SELECT "bots"."name" AS') and "is_running" in query["sql"]]
    assert len(asked) == 1


# --- Reading changes nothing ---


ADDED_UP = {"metric_marks", "metric_totals"}  # a scrape of /metrics notes how far it has counted


def contents() -> dict[str, Any]:
    """A digest of every table, by name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*), md5(coalesce(string_agg(t::text || xmin::text, '|' ORDER BY t::text), '')) FROM \"{table}\" t"
            )
            found[table] = cursor.fetchone()
        return found


def test_no_page_changes_a_row(client: Client) -> None:
    call_command("prepare", verbosity=0)
    boss = rows.user(is_superuser=True)
    bot = rows.bot(boss, is_running=True, status=BotStatus.REQUESTED)
    rows.decision(rows.cycle(bot))
    rows.position(bot)
    rows.trade(bot)
    rows.snapshot(bot.account)
    client.force_login(boss)
    before = contents()

    seen = 0
    pages = ["/", "/dashboard/snapshot/", "/logout/", "/health/live", "/health/ready", "/metrics", "/admin/"]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages += [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        row = model._default_manager.first()
        if row is not None:
            pages += [reverse(f"{name}_{what}", args=[row.pk]) for what in ("change", "delete", "history")]
    for path in pages:
        try:
            seen += client.get(path).status_code < 400
        except NoReverseMatch:
            continue

    assert seen > 40
    assert {table: digest for table, digest in contents().items() if before[table] != digest and table not in ADDED_UP} == {}


def test_steering_by_get_only_asks(client: Client) -> None:
    bot = visitor(client, **RUNNING)
    for deed in ("start", "stop", "run"):
        assert client.get(f"/dashboard/bots/{bot.pk}/{deed}/").status_code == 405
    for action in ("start_bot", "stop_bot", "pause_bot", "resume_bot", "run_bot"):
        client.get(reverse(f"admin:trading_bot_{action}", args=[bot.pk]))

    bot.refresh_from_db()
    assert (bot.is_running, bot.is_paused, bot.status) == (True, False, "running")


# --- Signs of life ---


def beat(name: str, *, silent_s: int, process: str = "worker") -> None:
    at = datetime.now(tz=UTC) - timedelta(seconds=silent_s)
    Heartbeat.objects.create(name=name, process=process, host="h", pid=1, started_at=at, beat_at=at)


def test_a_silence_is_alarmed_once_however_many_watch(caplog: pytest.LogCaptureFixture) -> None:
    beat("worker@here", silent_s=200)
    beat("gateway@here", silent_s=3)

    assert heartbeats.raise_alarms() == ["worker@here"] and heartbeats.raise_alarms() == []

    assert [late.name for late in heartbeats.late_heartbeats()] == ["worker@here"]
    (line,) = [record.message for record in caplog.records if "sign of life" in record.message]
    assert "for 200 s; the limit is 60 s" in line


def test_a_new_beat_ends_the_alarm_and_a_new_silence_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    beat("bot:7", silent_s=500, process="bot")
    heartbeats.raise_alarms()

    heartbeats.beat_bot(bot_id=7, started_at=datetime.now(tz=UTC), late_after_s=100)
    assert heartbeats.late_heartbeats() == [] and "shows signs of life again" in caplog.text

    Heartbeat.objects.update(beat_at=datetime.now(tz=UTC) - timedelta(seconds=101))
    assert heartbeats.raise_alarms() == ["bot:7"]


def test_late_processes_are_named_in_the_admin_and_in_the_metrics(client: Client) -> None:
    beat("worker@here", silent_s=200)
    client.force_login(rows.user(is_superuser=True))

    assert b"late: 3 min" in client.get("/admin/accounts/heartbeat/").content
    assert b'dgbot_heartbeats_late{kind="process"} 1.0' in client.get("/metrics").content


def test_the_last_run_of_a_job_is_shown_with_its_result(client: Client) -> None:
    call_command("prepare", verbosity=0)
    for is_ok in (False, True):
        jobs.record(name="Clean-up (daily)", task="t", seconds=1.5, is_ok=is_ok, result="3 rows removed")
    client.force_login(rows.user(is_superuser=True))

    run = JobRun.objects.get()
    assert (run.runs, run.failures, run.duration_ms, run.is_ok) == (2, 1, 1500, True)
    page = client.get("/admin/django_celery_beat/periodictask/").content.decode()
    assert "3 rows removed" in page and "1,500 ms" in page


# --- Clean-up ---


def test_clean_up_removes_what_is_old_and_keeps_the_rest() -> None:
    now = datetime.now(tz=UTC)
    beat("worker@gone", silent_s=2 * 86_400)
    beat("worker@here", silent_s=5)
    for age in (200, 1):
        SystemLog.objects.create(level="info", message=f"{age} days", created_at=now - timedelta(days=age))

    told = cleaning.clean_up(now=now)

    assert [line.message for line in SystemLog.objects.all()] == ["1 days"]
    assert [row.name for row in Heartbeat.objects.all()] == ["worker@here"] and "1 heartbeats" in told
