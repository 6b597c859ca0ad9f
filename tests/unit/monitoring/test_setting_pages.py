"""Settings: each key has its own input, says whom it concerns, tells its history with differences, and can go back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from dgbot.accounts import roles
from tests import face_rows as rows
from trading import jobs
from trading.admin import setting_words
from trading.domain.config import SETTINGS, check
from trading.models import BotConfig, ConfigVersion
from trading.services import config, schedules

pytestmark = pytest.mark.django_db
GIVEN = {
    "bot_status": ({"value": "on"}, {"enabled": True}),
    "trading_interval_minutes": ({"value": "60"}, {"minutes": 60}),
    "max_trade_amount_krw": ({"value": "250000.5"}, {"amount": "250000.5"}),
    "risk_level": ({"value": "high"}, {"level": "high"}),
    "target_symbols": ({"value": "KRW-BTC, KRW-XRP\n KRW-SOL "}, {"symbols": ["KRW-BTC", "KRW-XRP", "KRW-SOL"]}),
}


@pytest.fixture
def boss(client: Client) -> Client:
    config.create_missing()
    client.force_login(rows.user(is_superuser=True))
    return client


def address(key: str) -> str:
    return reverse("admin:trading_botconfig_change", args=[BotConfig.objects.get(key=key).pk])


@pytest.mark.parametrize("key", SETTINGS)
def test_what_is_given_in_its_input_is_stored_in_its_form(boss: Client, key: str) -> None:
    given, wanted = GIVEN[key]

    answer = boss.post(address(key), {**given, "reason": "because"})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert BotConfig.objects.get(key=key).value == wanted
    check(key, wanted)


@pytest.mark.parametrize("key", SETTINGS)
def test_an_input_shows_what_is_stored(boss: Client, key: str) -> None:
    form: Any = boss.get(address(key)).context["adminform"].form

    again = setting_words.stored(key, form.fields["value"].clean(form.initial["value"]))

    assert again == BotConfig.objects.get(key=key).value


@pytest.mark.parametrize(("key", "value"), [("max_trade_amount_krw", "-1"), ("max_trade_amount_krw", "NaN"), ("target_symbols", "X")])
def test_what_is_wrong_is_told_beside_its_input(boss: Client, key: str, value: str) -> None:
    answer = boss.post(address(key), {"value": value, "reason": "because"})

    assert "value" in answer.context["adminform"].form.errors


def test_history_tells_differences_and_the_way_back(boss: Client) -> None:
    boss.post(address("target_symbols"), {"value": "KRW-BTC\nKRW-SOL", "reason": "more of it"})

    text = boss.get(address("target_symbols")).content.decode()
    version = ConfigVersion.objects.filter(key="target_symbols").latest("pk")
    boss.post(reverse("admin:trading_configversion_revert", args=[version.pk]), {"reason": "too soon", "confirmed": "yes"})

    assert "+ KRW-SOL" in text
    assert "− KRW-ETH" in text
    assert "more of it" in text
    assert BotConfig.objects.get(key="target_symbols").value == {"symbols": ["KRW-BTC", "KRW-ETH"]}
    assert ConfigVersion.objects.latest("pk").reason == "too soon"


def test_it_counts_the_readers_bots_only(client: Client) -> None:
    config.create_missing()
    rows.bot(rows.user(), name="qxq-bot", symbol="KRW-DOGE", is_running=True)
    client.force_login(rows.user(role=roles.OPERATOR))

    text = client.get(address("target_symbols")).content.decode()

    assert "qxq-bot" not in text
    assert 'name="value"' not in text


def test_a_value_of_another_form_is_shown_as_it_is() -> None:
    assert setting_words.said("risk_level", {"level": 7}) == "{'level': 7}"
    assert setting_words.said("bot_status", {"a": 1, "b": 2}) == "{'a': 1, 'b': 2}"


def test_the_page_of_a_schedule_tells_what_comes_and_who_follows(boss: Client) -> None:
    schedule = PeriodicTask.objects.create(name="Every hour", task="trading.tasks.dispatch_schedule", crontab=schedules.crontab_of(60))
    rows.bot(rows.user(), name="qxq-bot", schedule=schedule)

    text = boss.get(reverse("admin:django_celery_beat_periodictask_change", args=[schedule.pk])).content.decode()

    assert text.count(":00:00 ·") == 4
    assert "qxq-bot" in text


def test_coming_runs_are_those_of_the_plan() -> None:
    now = datetime(2026, 1, 5, 3, 20, tzinfo=UTC)
    hourly = PeriodicTask(name="a", task="trading.tasks.dispatch_schedule", crontab=schedules.crontab_of(60))
    spaced = PeriodicTask(name="b", task="other", interval=IntervalSchedule(every=10, period="minutes"), last_run_at=now)
    off = PeriodicTask(name="c", task="other", enabled=False)

    told = [[at.strftime("%H:%M") for at in jobs.coming_runs(task, now=now, count=3)] for task in (hourly, spaced, off)]

    assert told == [["04:00", "05:00", "06:00"], ["03:30", "03:40", "03:50"], []]
