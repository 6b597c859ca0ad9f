"""Health, metrics and the pages' doors: who may see what, and that unknown is left out."""

from typing import Any

import pytest
from django.test import Client

from dgbot.accounts import roles
from dgbot.core.errors import BadInput
from monitoring import health, metrics
from tests import face_rows as rows
from trading import steering

pytestmark = pytest.mark.django_db


@pytest.fixture
def scrape(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(metrics, "_text", b"")
    return lambda client, **headers: client.get("/metrics", headers=headers)


def test_live_answers_without_login_and_without_a_query(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert client.get("/health/live").json() == {"status": "alive"}


def test_ready_names_every_check(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(health.CHECKS, "redis", lambda: "ok")

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()["checks"]) == (200, {"postgresql": "ok", "redis": "ok", "migrations": "ok"})


def test_not_ready_is_503_and_says_no_more_than_which_check(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise OSError("password=hunter22")

    monkeypatch.setitem(health.CHECKS, "redis", fails)

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()["checks"]["redis"]) == (503, "does not answer")
    assert b"hunter22" not in answer.content


def test_metrics_follow_the_rows(client: Client, scrape: Any) -> None:
    bot = rows.bot(rows.user(), name="alpha")
    rows.trade(bot, price="100000000", amount="0.0005")
    rows.decision(rows.cycle(bot), kind="hold")
    rows.snapshot(bot.account, value="1000500")

    text = scrape(client).content.decode()

    assert 'trades_total{mode="simulated",side="buy"} 1.0' in text
    assert 'trade_volume_krw_total{mode="simulated",side="buy"} 50000.0' in text
    assert 'trade_fee_krw_total{mode="simulated",side="buy"} 25.0' in text
    assert 'ai_decisions_total{decision="hold",mode="simulated",symbol="KRW-BTC"} 1.0' in text
    assert 'bot_running{bot="alpha",mode="simulated",symbol="KRW-BTC"} 0.0' in text
    assert f'portfolio_value_krw{{account="{bot.account.name}",mode="simulated"}} 1.0005e+06' in text


def test_unknown_value_is_left_out_of_metrics(client: Client, scrape: Any) -> None:
    rows.snapshot(rows.bot(rows.user()).account, value=None, cause="rate unknown")

    assert "portfolio_value_krw{" not in scrape(client).content.decode()


def test_metrics_are_closed_to_strangers(client: Client, scrape: Any, settings: Any) -> None:
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.9").status_code == 403
    assert scrape(client, x_forwarded_for="10.0.0.9").status_code == 403
    settings.METRICS_TOKEN = "open-sesame"
    assert scrape(client).status_code == 403
    assert scrape(client, authorization="Bearer open-sesame").status_code == 200


def test_dashboard_wants_a_login(client: Client) -> None:
    assert client.get("/").status_code == 302
    client.force_login(rows.user())
    assert client.get("/").status_code == 200


def test_a_viewer_cannot_steer(client: Client) -> None:
    viewer = rows.user(role=roles.VIEWER)
    bot = rows.bot(viewer)
    client.force_login(viewer)

    assert client.post(f"/dashboard/bots/{bot.pk}/start/").status_code == 403


def test_another_users_bot_does_not_exist(client: Client) -> None:
    bot = rows.bot(rows.user())
    client.force_login(rows.user())

    assert client.post(f"/dashboard/bots/{bot.pk}/start/").status_code == 404


def test_a_get_never_steers(client: Client) -> None:
    owner = rows.user()
    bot = rows.bot(owner)
    client.force_login(owner)

    assert client.get(f"/dashboard/bots/{bot.pk}/start/").status_code == 405


def test_start_and_stop_through_the_page(client: Client) -> None:
    owner = rows.user()
    bot = rows.bot(owner)
    client.force_login(owner)

    assert client.post(f"/dashboard/bots/{bot.pk}/start/").status_code == 200
    bot.refresh_from_db()
    assert (bot.is_running, bot.status) == (True, "requested")
    assert client.post(f"/dashboard/bots/{bot.pk}/stop/").status_code == 200
    bot.refresh_from_db()
    assert bot.is_running is False


def test_a_refusal_arrives_as_its_sentence(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise BadInput("Bot x was not started: no key.")

    owner = rows.user()
    bot = rows.bot(owner)
    client.force_login(owner)
    monkeypatch.setattr(steering.bots, "start", refuse)

    answer = client.post(f"/dashboard/bots/{bot.pk}/start/")

    assert (answer.status_code, answer.json()["message"]) == (409, "Bot x was not started: no key.")
