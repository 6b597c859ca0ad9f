"""The cockpit: every page opens at a fixed cost, facts stay facts, deeds go through services."""

from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dgbot.accounts import roles
from dgbot.accounts.models import AuditEntry
from risk.models import RiskState
from tests import face_rows as rows
from trading.models import Bot, BotConfig, Trade
from trading.services import config

pytestmark = pytest.mark.django_db(databases=["default", "venue"])
FACTS = [
    "trading.trade",
    "trading.order",
    "trading.orderevent",
    "trading.ordersend",
    "trading.decision",
    "trading.cycle",
    "trading.stageresult",
    "trading.position",
    "trading.portfoliosnapshot",
    "trading.accountbalance",
    "trading.krwrate",
    "trading.lease",
    "trading.configversion",
    "trading.venueorder",
    "trading.venuefill",
    "trading.venueaccount",
    "risk.riskstate",
    "risk.riskevent",
    "risk.reservation",
    "risk.killswitch",
    "risk.killswitchchange",
    "accounts.heartbeat",
    "accounts.auditentry",
    "monitoring.systemlog",
    "monitoring.notification",
]
MOST_QUERIES = 12
ROOMS = ("accounts", "risk", "trading", "monitoring", "django_celery_beat", "auth")
REGISTERED = {model._meta.label_lower: model for model in admin.site._registry if model._meta.app_label in ROOMS}


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(rows.user(is_superuser=True))
    return client


def page(label: str, what: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{what}", args=args)


def some_rows() -> Bot:
    bot = rows.bot(rows.user())
    rows.decision(rows.cycle(bot))
    rows.position(bot)
    rows.trade(bot)
    rows.snapshot(bot.account)
    return bot


@pytest.mark.parametrize("label", sorted(REGISTERED))
def test_every_list_opens_at_a_fixed_cost(boss: Client, label: str) -> None:
    counts = []
    for _ in range(2):
        some_rows()
        with CaptureQueriesContext(connection) as queries:
            assert boss.get(page(label)).status_code == 200
        counts.append(len(queries))

    assert counts[1] <= MOST_QUERIES
    assert counts[1] <= counts[0] + 1


@pytest.mark.parametrize(
    "label", ["bot", "trade", "position", "cycle", "decision", "portfoliosnapshot", "exchangeaccount", "simulatedmarket"]
)
def test_details_open(boss: Client, label: str) -> None:
    some_rows()
    row = REGISTERED[f"trading.{label}"].objects.latest("pk")

    assert boss.get(page(f"trading.{label}", "change", row.pk)).status_code == 200


@pytest.mark.parametrize("label", FACTS)
def test_facts_can_be_neither_added_nor_changed_nor_deleted(boss: Client, label: str) -> None:
    some_rows()
    assert boss.get(page(label, "add")).status_code == 403
    row = REGISTERED[label].objects.first()
    if row is not None:
        assert boss.post(page(label, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert boss.post(page(label, "change", row.pk), {}).status_code == 403


def test_lists_offer_no_bulk_deletion_of_trades(boss: Client) -> None:
    trade = rows.trade(rows.bot(rows.user()))

    boss.post(page("trading.trade"), {"action": "delete_selected", "_selected_action": trade.pk, "post": "yes"})

    assert Trade.objects.filter(pk=trade.pk).exists()


def test_an_operator_sees_only_own_bots(client: Client) -> None:
    mine = rows.bot(rows.user(), name="mine")
    theirs = rows.bot(rows.user(), name="theirs")
    client.force_login(mine.user)

    assert b"theirs" not in client.get(page("trading.bot")).content
    assert client.get(page("trading.bot", "change", theirs.pk)).status_code == 404


def test_the_first_page_opens(boss: Client) -> None:
    some_rows()

    assert boss.get("/admin/").status_code == 200


def test_starting_needs_a_post(client: Client) -> None:
    bot = rows.bot(rows.user())
    client.force_login(bot.user)
    url = page("trading.bot", "start_bot", bot.pk)

    assert client.get(url).status_code == 200
    assert Bot.objects.get(pk=bot.pk).is_running is False
    client.post(url, {"confirmed": "yes"})
    assert Bot.objects.get(pk=bot.pk).is_running is True


def test_selected_bots_start_and_the_count_is_told(client: Client) -> None:
    owner = rows.user()
    chosen = [rows.bot(owner).pk, rows.bot(owner).pk]
    client.force_login(owner)

    answer = client.post(page("trading.bot"), {"action": "start_selected", "_selected_action": chosen}, follow=True)

    assert Bot.objects.filter(is_running=True).count() == 2
    assert "2 of 2 bots: done." in answer.content.decode()


def test_a_wrong_setting_is_refused_under_its_field(boss: Client) -> None:
    config.create_missing()
    row = BotConfig.objects.get(key="trading_interval_minutes")

    answer = boss.post(page("trading.botconfig", "change", row.pk), {"value": "7", "reason": "try"})

    assert "value" in answer.context["adminform"].form.errors
    row.refresh_from_db()
    assert row.value == {"minutes": 60}


def test_a_setting_changes_through_the_service(boss: Client) -> None:
    config.create_missing()
    row = BotConfig.objects.get(key="risk_level")

    boss.post(page("trading.botconfig", "change", row.pk), {"value": "low", "reason": "calmer"})

    row.refresh_from_db()
    assert row.value == {"level": "low"}
    assert AuditEntry.objects.latest("pk").reason == "calmer"


@pytest.mark.parametrize(("role", "is_released"), [(roles.OPERATOR, False), (roles.RISK_MANAGER, True)])
def test_safe_mode_is_released_by_risk_managers_only(client: Client, role: str, is_released: bool) -> None:
    person = rows.user(role=role)
    bot = rows.bot(person)
    state = RiskState.objects.create(
        bot=bot,
        account=bot.account,
        user=person,
        mode=bot.mode,
        trading_day=date(2026, 1, 5),
        safe_mode=True,
        safe_mode_reason="loss",
        updated_at=rows.T0,
    )
    client.force_login(person)

    client.post(page("risk.riskstate", "release", state.pk), {"confirmed": "yes", "reason": "looked at it"})

    state.refresh_from_db()
    assert state.safe_mode is not is_released
