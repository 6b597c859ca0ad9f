"""Every metric of ours under its name: counters from `totals`, and what holds now in a fixed number of queries."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from dgbot.accounts import heartbeats, jobs
from monitoring.backups import keeping
from monitoring.exposition import totals
from monitoring.exposition.totals import LATENCY_BUCKETS_S, Totals
from monitoring.system import kpis
from risk.models import RiskState
from trading.models import Bot
from trading.models.bots import ACTIVE
from trading.services import protection

REDIS_TIMEOUT_S = 1.0
NEWEST_SENT = 200  # notifications
NEWEST = 2000  # rows that a mean of what happened lately looks at

COUNTERS = {
    "trades_total": ("Fills recorded.", ("side", "mode")),
    "trade_volume_krw_total": ("Sum of fills in KRW markets, without fees.", ("side", "mode")),
    "trade_fee_krw_total": ("Fees paid in KRW.", ("side", "mode")),
    "ai_decisions_total": ("Decisions written.", ("symbol", "decision", "mode")),
    "ai_validation_failures_total": ("Proposed entries stopped, by what stopped them.", ("rule", "mode")),
    "risk_circuit_breaker_triggers_total": ("Safe mode entered by a breaker.", ("code", "mode")),
    "risk_stop_loss_triggers_total": ("Exits filled because a stop was reached.", ("reason", "mode")),
    "risk_take_profit_triggers_total": ("Exits filled because a target was reached.", ("reason", "mode")),
    "risk_kill_switch_trips_total": ("Kill switch raised by a rule.", ("scope", "code")),
    "dgbot_order_moves_total": ("Moves of orders, by the state reached.", ("to", "mode")),
    "dgbot_ai_calls_total": ("Questions to a model.", ("model", "status")),
    "dgbot_ai_cost_usd_total": ("Paid to models, USD; a call of unknown cost counts what was reserved.", ("model",)),
}

# One row per account, by index: the newest snapshot and the first one, for accounts with either.
PORTFOLIO = """
SELECT a.name, a.mode, newest.total_value_krw, first.total_value_krw, extract(epoch FROM clock_timestamp() - newest.created_at)::float8
FROM exchange_accounts a
JOIN LATERAL (SELECT * FROM portfolio_snapshots s WHERE s.account_id = a.id ORDER BY s.created_at DESC LIMIT 1) newest ON TRUE
LEFT JOIN LATERAL (SELECT total_value_krw FROM portfolio_snapshots s WHERE s.account_id = a.id AND total_value_krw > 0
                   ORDER BY s.created_at LIMIT 1) first ON TRUE
WHERE NOT a.is_hidden ORDER BY a.id
"""
CONFIDENCE = """
SELECT symbol, mode, avg(confidence) FROM (
    SELECT t.symbol, t.mode, t.confidence FROM ai_decisions t JOIN exchange_accounts a ON a.id = t.account_id AND NOT a.is_hidden
    ORDER BY t.id DESC LIMIT %s) newest
WHERE confidence IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""
# An entry's fills against the best ask of the book it was sized by; an exit has no plan to be compared with.
SLIPPAGE = """
SELECT mode, avg(100 * (price - best) / best) FROM (
    SELECT t.mode, t.price, (o.plan #>> '{liquidity,expected_avg_price}')::numeric
           / (1 + (o.plan #>> '{liquidity,expected_slippage_pct}')::numeric / 100) AS best
    FROM (SELECT * FROM trades ORDER BY id DESC LIMIT %s) t JOIN orders o ON o.id = t.order_pk
    JOIN exchange_accounts a ON a.id = t.account_id AND NOT a.is_hidden
    WHERE t.purpose = 'entry' AND t.side = 'buy' AND o.plan #>> '{liquidity,expected_avg_price}' IS NOT NULL) AS entries
WHERE best > 0 GROUP BY 1 ORDER BY 1
"""
DOUBTFUL = """
SELECT o.mode, count(*), max(extract(epoch FROM clock_timestamp() - o.recorded_at))::float8
FROM orders o JOIN exchange_accounts a ON a.id = o.account_id AND NOT a.is_hidden
WHERE o.status IN ('unknown', 'disputed') GROUP BY 1 ORDER BY 1
"""
BALANCES = """
SELECT a.name, a.mode, extract(epoch FROM clock_timestamp() - min(b.recorded_at))::float8
FROM account_balances b JOIN exchange_accounts a ON a.id = b.account_id AND NOT a.is_hidden
WHERE a.mode IN ('paper', 'live') GROUP BY 1, 2 ORDER BY 1, 2
"""
# The newest candle of each series a paper or live bot reads; a simulated market has its own time.
CANDLES = """
SELECT DISTINCT s.exchange, s.symbol, s.interval, extract(epoch FROM clock_timestamp() - s.last_opened_at)::float8
FROM candle_series s JOIN bots b ON b.symbol = s.symbol AND b.is_running AND b.mode IN ('paper', 'live')
JOIN exchange_accounts a ON a.id = b.account_id AND a.exchange = s.exchange AND NOT a.is_hidden ORDER BY 1, 2, 3
"""

OUTBOX = """
SELECT (SELECT count(*) FROM notification_deliveries WHERE state IN ('pending', 'sending')),
       (SELECT avg(extract(epoch FROM sent_at - greatest(created_at, coalesce(not_before, created_at))))
        FROM (SELECT d.sent_at, d.not_before, n.created_at FROM notification_deliveries d JOIN notifications n ON n.id = d.notification_id
              WHERE d.state = 'sent' ORDER BY d.id DESC LIMIT %s) newest)
"""


class RowCollector(Collector):
    """Metrics computed from our tables."""

    def describe(self) -> list[Metric]:
        """Nothing: otherwise registering would query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, in a fixed number of queries."""
        totals.fold()
        found = totals.read()
        yield from _counters(found)
        yield from _latencies(found)
        yield from _bots(found)
        yield from _jobs(found)
        yield from _risk()
        yield from _portfolio()
        yield from _lately()
        yield from _orders()
        yield from _ages()
        yield from _heartbeats()
        yield from _queues()
        yield from _outbox()
        yield from _backups()
        yield from _targets()


def _counters(found: Totals) -> Iterator[Metric]:
    for name, (meaning, labels) in COUNTERS.items():
        family = CounterMetricFamily(name, meaning, labels=labels)
        for named, value in _of(found, name):
            family.add_metric([named[label] for label in labels], float(value))
        yield family


def _of(found: Totals, metric: str) -> Iterable[tuple[dict[str, str], Decimal]]:
    return ((dict(labels), value) for (name, labels), value in sorted(found.items()) if name == metric)


def _latencies(found: Totals) -> Iterator[Metric]:
    name = "dgbot_order_latency_seconds"
    family = HistogramMetricFamily(name, "From an order's decision to the exchange's answer, machine time.", labels=["mode"])
    sums = {labels["mode"]: value for labels, value in _of(found, f"{name}_sum")}
    buckets = {(labels["mode"], labels["le"]): value for labels, value in _of(found, f"{name}_bucket")}
    for labels, count in _of(found, f"{name}_count"):
        mode = labels["mode"]
        told = [(str(le), float(buckets.get((mode, str(le)), 0))) for le in LATENCY_BUCKETS_S]
        family.add_metric([mode], buckets=[*told, ("+Inf", float(count))], sum_value=float(sums[mode]))
    yield family
    yield _summary(found, "dgbot_ai_latency_seconds", "How long a model took to answer.", "model")


def _summary(found: Totals, name: str, meaning: str, label: str) -> Metric:
    family = SummaryMetricFamily(name, meaning, labels=[label])
    sums = {labels[label]: value for labels, value in _of(found, f"{name}_sum")}
    for labels, count in _of(found, f"{name}_count"):
        family.add_metric([labels[label]], count_value=int(count), sum_value=float(sums[labels[label]]))
    return family


def _bots(found: Totals) -> Iterator[Metric]:
    labels = ["bot", "symbol", "mode"]
    running = GaugeMetricFamily("bot_running", "1 while a bot runs.", labels=labels)
    errors = CounterMetricFamily("bot_errors_total", "Cycles that failed.", labels=labels)
    failed = {int(named["bot"]): value for named, value in _of(found, "bot_errors_total")}
    for bot in Bot.objects.filter(is_hidden=False, account__is_hidden=False).order_by("pk"):
        values = [bot.name, bot.symbol, bot.mode]
        running.add_metric(values, int(bot.status in ACTIVE))
        errors.add_metric(values, float(failed.get(bot.pk, 0)))
    yield from (running, errors)


def _jobs(found: Totals) -> Iterator[Metric]:
    success = CounterMetricFamily("scheduler_job_success_total", "Jobs that ended well.", labels=["job_name"])
    failure = CounterMetricFamily("scheduler_job_failure_total", "Jobs that failed or were missed.", labels=["job_name"])
    duration = SummaryMetricFamily("scheduler_job_duration_seconds", "Duration of finished jobs, machine time.", labels=["job_name"])
    cycle = {name: value for (name, labels), value in found.items() if labels == (("job_name", "trading_cycle"),)}
    done = cycle.get("scheduler_job_success_total", Decimal(0))
    success.add_metric(["trading_cycle"], float(done))
    failure.add_metric(["trading_cycle"], float(cycle.get("scheduler_job_failure_total", 0)))
    duration.add_metric(["trading_cycle"], count_value=int(done), sum_value=float(cycle.get("scheduler_job_duration_seconds_sum", 0)))
    for name, run in sorted(jobs.last_runs().items()):
        success.add_metric([name], run.runs - run.failures)
        failure.add_metric([name], run.failures)
        duration.add_metric([name], count_value=run.runs, sum_value=run.total_ms / 1000)
    yield from (success, failure, duration)


def _risk() -> Iterator[Metric]:
    labels = ["account", "bot", "mode"]
    safe_mode = GaugeMetricFamily("risk_safe_mode_active", "1 while entries are blocked until an operator releases them.", labels=labels)
    daily = GaugeMetricFamily("risk_daily_pnl_pct", "Profit of the trading day, percent of its first equity.", labels=labels)
    weekly = GaugeMetricFamily("risk_weekly_pnl_pct", "Profit of 7 trading days, percent of the day's first equity.", labels=labels)
    newest = RiskState.objects.filter(account__is_hidden=False).order_by("account", "bot", "-trading_day").distinct("account", "bot")
    for state in newest.select_related("account", "bot"):
        values = [state.account.name, state.bot.name if state.bot else "", state.mode]
        safe_mode.add_metric(values, int(state.safe_mode))
        if state.start_equity:
            _add(daily, values, None if state.daily_pnl is None else 100 * state.daily_pnl / state.start_equity)
            _add(weekly, values, None if state.weekly_pnl is None else 100 * state.weekly_pnl / state.start_equity)
    yield from (safe_mode, daily, weekly)


def _portfolio() -> Iterator[Metric]:
    labels = ["account", "mode"]
    value = GaugeMetricFamily("portfolio_value_krw", "Last value of an account, KRW.", labels=labels)
    rate = GaugeMetricFamily("portfolio_profit_rate", "Change of its value since its first, percent; transfers included.", labels=labels)
    age = GaugeMetricFamily("dgbot_snapshot_age_seconds", "Since the last valuation; of paper and live.", labels=labels)
    for name, mode, newest, first, age_s in _rows(PORTFOLIO):
        _add(value, [name, mode], newest)
        _add(rate, [name, mode], None if newest is None or first is None else 100 * (newest - first) / first)
        if mode in ("paper", "live"):
            _add(age, [name, mode], age_s)
    yield from (value, rate, age)


def _lately() -> Iterator[Metric]:
    confidence = GaugeMetricFamily(
        "ai_confidence", f"Mean confidence among the newest {NEWEST} decisions, percent.", labels=["symbol", "mode"]
    )
    for symbol, mode, mean in _rows(CONFIDENCE, NEWEST):
        _add(confidence, [symbol, mode], mean)
    slippage = GaugeMetricFamily(
        "slippage_pct", f"Mean of entries among the newest {NEWEST} fills: price paid over the best ask before, percent.", labels=["mode"]
    )
    for mode, mean in _rows(SLIPPAGE, NEWEST):
        _add(slippage, [mode], mean)
    yield from (confidence, slippage)


def _orders() -> Iterator[Metric]:
    unknown = GaugeMetricFamily("dgbot_orders_unknown", "Orders of unknown fate.", labels=["mode"])
    oldest = GaugeMetricFamily("dgbot_orders_unknown_seconds", "Age of the oldest of them.", labels=["mode"])
    counted = {mode: (count, age_s) for mode, count, age_s in _rows(DOUBTFUL)}
    for mode in ("simulated", "paper", "live"):
        count, age_s = counted.get(mode, (0, 0.0))
        unknown.add_metric([mode], count)
        oldest.add_metric([mode], age_s)
    naked = protection.unprotected()
    bare = GaugeMetricFamily("dgbot_positions_naked", "Open positions that nothing protects.")
    bare.add_metric([], len(naked))
    longest = GaugeMetricFamily("dgbot_naked_seconds", "For how long the worst of them has been without protection.")
    longest.add_metric([], float(max(naked.values(), default=Decimal(0))))
    yield from (unknown, oldest, bare, longest)


def _ages() -> Iterator[Metric]:
    balances = GaugeMetricFamily("dgbot_balance_age_seconds", "Since an account's balances were told.", labels=["account", "mode"])
    for name, mode, age_s in _rows(BALANCES):
        balances.add_metric([name, mode], age_s)
    candles = GaugeMetricFamily(
        "dgbot_candle_age_seconds", "Since a series' newest candle opened.", labels=["exchange", "symbol", "interval"]
    )
    for exchange, symbol, interval, age_s in _rows(CANDLES):
        candles.add_metric([exchange, symbol, interval], age_s)
    yield from (balances, candles)


def _heartbeats() -> Iterator[Metric]:
    ages = GaugeMetricFamily("dgbot_heartbeat_age_seconds", "Seconds since a process's last sign of life.", labels=["process"])
    for name, age_s in heartbeats.ages().items():
        ages.add_metric([name], age_s)
    yield ages
    late = GaugeMetricFamily("dgbot_heartbeats_late", "Processes and bots that have been silent for too long.", labels=["kind"])
    silent = [item.process == "bot" for item in heartbeats.late_heartbeats()]
    late.add_metric(["bot"], sum(silent))
    late.add_metric(["process"], len(silent) - sum(silent))
    yield late


def queue_depths() -> dict[str, int]:
    """Tasks that wait, by queue. Raises redis.RedisError."""
    with redis.Redis.from_url(
        settings.REDIS_URLS[settings.BROKER_DB], socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    ) as client:
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
        return {name: int(client.llen(f"{prefix}{name}")) for name in settings.QUEUES}


def _queues() -> Iterator[Metric]:
    depth = GaugeMetricFamily("dgbot_queue_depth", "Tasks that wait.", labels=["queue"])
    answers = GaugeMetricFamily("dgbot_redis_up", "1 while Redis answers.")
    try:
        for name, waiting in queue_depths().items():
            depth.add_metric([name], waiting)
        answers.add_metric([], 1)
    except (redis.RedisError, OSError):  # it may be lost at any moment; the metric says so
        answers.add_metric([], 0)
    yield from (depth, answers)


def _outbox() -> Iterator[Metric]:
    ((waiting, delay_s),) = _rows(OUTBOX, NEWEST_SENT)
    depth = GaugeMetricFamily("dgbot_outbox_waiting", "Notifications that are not sent yet, quiet hours included.")
    depth.add_metric([], waiting)
    delay = GaugeMetricFamily("dgbot_outbox_delay_seconds", f"Mean of the newest {NEWEST_SENT} sent: from when they might be sent on.")
    _add(delay, [], delay_s)
    yield from (depth, delay)


def _backups() -> Iterator[Metric]:
    age = GaugeMetricFamily("dgbot_backup_age_seconds", "Since the newest good backup was begun.", labels=["kind"])
    failures = GaugeMetricFamily("dgbot_backup_failures", "Backups that failed since the newest good one.", labels=["kind"])
    for each in keeping.standing():
        _add(age, [each.kind], each.age_s)
        failures.add_metric([each.kind], each.failures)
    yield from (age, failures)


def _targets() -> Iterator[Metric]:
    value = GaugeMetricFamily("dgbot_kpi", "The platform's own targets: what our rows say, in the target's unit.", labels=["kpi", "window"])
    limit = GaugeMetricFamily("dgbot_kpi_target", "What is aimed at.", labels=["kpi"])
    for each in kpis.measured():
        limit.add_metric([each.target.key], each.target.limit)
        for window, found in each.values.items():
            _add(value, [each.target.key, window], found)
    yield from (value, limit)


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _add(family: Any, labels: list[str], value: Any) -> None:
    if value is not None:
        family.add_metric(labels, float(value))
