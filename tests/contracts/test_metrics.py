"""Counters equal the rows, whatever was added up already, restarted, deleted or run twice at once."""

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction
from prometheus_client.parser import text_string_to_metric_families

from monitoring import metrics
from monitoring.exposition import families, totals
from monitoring.models import MetricMark
from tests import face_rows as rows

NAMED = {  # requirements S0-14, S2-41 to S2-46; each with its kind
    "scheduler_job_success": "counter",
    "scheduler_job_failure": "counter",
    "scheduler_job_duration_seconds": "summary",
    "ai_decisions": "counter",
    "ai_confidence": "gauge",
    "ai_validation_failures": "counter",
    "trades": "counter",
    "trade_volume_krw": "counter",
    "trade_fee_krw": "counter",
    "slippage_pct": "gauge",
    "risk_circuit_breaker_triggers": "counter",
    "risk_stop_loss_triggers": "counter",
    "risk_take_profit_triggers": "counter",
    "risk_daily_pnl_pct": "gauge",
    "risk_weekly_pnl_pct": "gauge",
    "risk_safe_mode_active": "gauge",
    "portfolio_value_krw": "gauge",
    "portfolio_profit_rate": "gauge",
    "bot_running": "gauge",
    "bot_errors": "counter",
}


def told() -> dict[str, Any]:
    """Families by name, as Prometheus reads them."""
    return {family.name: family for family in text_string_to_metric_families(metrics._render().decode())}


def value(name: str, **labels: str) -> float | None:
    """One sample; None when there is none."""
    for family in told().values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def everything_is_final() -> None:
    """As ten minutes later."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE metric_marks SET seen_at = seen_at - interval '1 hour'")


@pytest.mark.django_db
def test_every_metric_that_was_asked_for_is_there_with_its_kind() -> None:
    found = told()

    assert {name: found[name].type for name in NAMED if name in found} == NAMED


@pytest.mark.django_db
def test_totals_and_new_rows_add_up_however_often_they_are_folded() -> None:
    bot = rows.bot(rows.user(), name="alpha")
    for number in range(6):
        rows.trade(bot, price="100000000", amount="0.0005")
        rows.decision(rows.cycle(bot, slot=rows.T0.replace(hour=number)), kind="hold")
        totals.fold()
        if number % 2:
            everything_is_final()

    assert MetricMark.objects.get(source="trades").upto > 0
    assert value("trades_total", side="buy", mode="simulated") == 6
    assert value("trade_volume_krw_total", side="buy") == 300_000
    assert value("ai_decisions_total", symbol="KRW-BTC", decision="hold") == 6
    assert value("scheduler_job_success_total", job_name="trading_cycle") == 6


@pytest.mark.django_db
def test_rows_deleted_after_they_were_added_up_stay_counted() -> None:
    bot = rows.bot(rows.user())
    rows.cycle(bot, status="failed")
    for _ in range(2):
        totals.fold()
        everything_is_final()
    totals.fold()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM stage_results")
        cursor.execute("DELETE FROM cycles")
        cursor.execute("SET session_replication_role = DEFAULT")

    assert value("scheduler_job_failure_total", job_name="trading_cycle") == 1
    assert value("bot_errors_total", bot=bot.name) == 1


@pytest.mark.django_db
def test_a_running_cycle_is_counted_once_it_has_ended() -> None:
    cycle = rows.cycle(rows.bot(rows.user()), status="running")
    for _ in range(3):
        totals.fold()
        everything_is_final()
    type(cycle).objects.filter(pk=cycle.pk).update(status="done", finished_at=cycle.recorded_at)

    assert value("scheduler_job_success_total", job_name="trading_cycle") == 1


@pytest.mark.django_db
def test_hidden_accounts_are_left_out() -> None:
    owner = rows.user()
    rows.trade(rows.bot(owner, within=rows.account(owner, is_hidden=True)))

    assert value("trades_total") is None


@pytest.mark.django_db(transaction=True)
def test_a_row_that_arrives_late_under_a_lower_number_is_counted() -> None:
    bot = rows.bot(rows.user())
    late, arrived = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            rows.trade(bot)
            late.set()
            arrived.wait(10)
        connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    late.wait(10)
    rows.trade(bot)  # a higher number, visible at once
    totals.fold()
    arrived.set()
    thread.join()
    for _ in range(2):
        everything_is_final()
        totals.fold()

    assert value("trades_total") == 2


@pytest.mark.django_db(transaction=True)
def test_many_who_fold_and_read_at_once_never_count_twice_or_back() -> None:
    bot = rows.bot(rows.user())
    seen: list[float] = []

    def scrape() -> None:
        for _ in range(8):
            totals.fold()
            found = totals.read()
            seen.append(float(found.get(("trades_total", (("mode", "simulated"), ("side", "buy"))), 0)))
            everything_is_final()
        connections.close_all()

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        rows.trade(bot)
    for thread in threads:
        thread.join()

    assert max(seen) <= 12
    assert value("trades_total") == 12


@pytest.mark.django_db
def test_a_scrape_asks_a_fixed_number_of_questions(django_assert_max_num_queries: Any) -> None:
    for number in range(4):
        bot = rows.bot(rows.user(), name=f"bot {number}")
        rows.trade(bot)
        rows.snapshot(bot.account, value="1000000")
        totals.fold()

    with django_assert_max_num_queries(60) as asked:
        list(families.RowCollector().collect())
    few = len(asked)
    for number in range(4, 12):
        rows.trade(rows.bot(rows.user(), name=f"bot {number}"))

    with django_assert_max_num_queries(few):
        list(families.RowCollector().collect())


@pytest.mark.django_db
def test_redis_that_is_away_is_told_and_hides_nothing_else(settings: Any) -> None:
    settings.REDIS_URLS = ("redis://127.0.0.1:1/0",)

    found = told()

    assert [sample.value for sample in found["dgbot_redis_up"].samples] == [0]
    assert found["dgbot_queue_depth"].samples == []
    assert "dgbot_orders_unknown" in found
