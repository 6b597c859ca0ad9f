"""What Prometheus reads: our rows as metrics, and what every process counted by itself.

In multiprocess mode django-prometheus' own view would leave the database's metrics out, so this view builds the registry.
Unknown values are left out, never 0. The label `mode` keeps simulated money apart from real money.
"""

import hmac
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Avg, Count, F, Q, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dgbot.accounts import heartbeats
from risk.models import RiskState
from trading.models import Bot, Cycle, Decision, Order, PortfolioSnapshot, Trade
from trading.models.bots import ACTIVE
from trading.models.cycles import CycleStatus

CACHE_S = 10.0
LOOPBACK = ("127.0.0.1", "::1")
SHOWN: dict[str, Any] = {"account__is_hidden": False}


@login_not_required
@require_safe
def expose(request: HttpRequest) -> HttpResponse:
    """All metrics; for who bears DGBOT_METRICS_TOKEN, or for this machine when there is none."""
    if not _may_read(request):
        return HttpResponseForbidden("Send DGBOT_METRICS_TOKEN as a bearer token.\n", content_type="text/plain")
    return HttpResponse(_cached(), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if token:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    # A proxy on this machine makes every visitor look local.
    return request.META.get("REMOTE_ADDR") in LOOPBACK and "X-Forwarded-For" not in request.headers


class RowCollector(Collector):
    """Metrics computed from our tables."""

    def describe(self) -> list[Metric]:
        """Nothing: otherwise registering would query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, each in a fixed number of queries."""
        yield from _trades()
        yield from _decisions()
        yield from _risk()
        yield from _portfolio()
        yield from _bots()
        yield from _jobs()
        yield from _orders()
        yield from _heartbeats()


def _trades() -> Iterator[Metric]:
    count = CounterMetricFamily("trades_total", "Fills recorded.", labels=["side", "mode"])
    volume = CounterMetricFamily("trade_volume_krw_total", "Sum of fills in KRW markets, without fees.", labels=["side", "mode"])
    fees = CounterMetricFamily("trade_fee_krw_total", "Fees paid in KRW.", labels=["side", "mode"])
    in_krw = Q(account__quote_currency="KRW")
    rows = Trade.objects.filter(**SHOWN).values("side", "mode").order_by("side", "mode")
    for row in rows.annotate(n=Count("pk"), volume=Sum("total", filter=in_krw), fees=Sum("fee", filter=Q(fee_currency="KRW"))):
        labels = [row["side"], row["mode"]]
        count.add_metric(labels, row["n"])
        _add(volume, labels, row["volume"])
        _add(fees, labels, row["fees"])
    yield from (count, volume, fees)


def _decisions() -> Iterator[Metric]:
    count = CounterMetricFamily("ai_decisions_total", "Decisions written.", labels=["symbol", "decision", "mode"])
    confidence = GaugeMetricFamily("ai_confidence", "Mean confidence of decisions that state one, percent.", labels=["symbol", "mode"])
    rows = Decision.objects.filter(**SHOWN)
    for row in rows.values("symbol", "decision", "mode").order_by("symbol", "decision", "mode").annotate(n=Count("pk")):
        count.add_metric([row["symbol"], row["decision"], row["mode"]], row["n"])
    for symbol, mode, mean in rows.values_list("symbol", "mode").order_by("symbol", "mode").annotate(mean=Avg("confidence")):
        _add(confidence, [symbol, mode], mean)
    yield from (count, confidence)


def _risk() -> Iterator[Metric]:
    labels = ["account", "bot", "mode"]
    safe_mode = GaugeMetricFamily("risk_safe_mode_active", "1 while entries are blocked until an operator releases them.", labels=labels)
    daily = GaugeMetricFamily("risk_daily_pnl_pct", "Profit of the trading day, percent of its first equity.", labels=labels)
    weekly = GaugeMetricFamily("risk_weekly_pnl_pct", "Profit of 7 trading days, percent of the day's first equity.", labels=labels)
    newest = RiskState.objects.filter(**SHOWN).order_by("account", "bot", "-trading_day").distinct("account", "bot")
    for state in newest.select_related("account", "bot"):
        values = [state.account.name, state.bot.name if state.bot else "", state.mode]
        safe_mode.add_metric(values, int(state.safe_mode))
        if state.start_equity:
            _add(daily, values, None if state.daily_pnl is None else 100 * state.daily_pnl / state.start_equity)
            _add(weekly, values, None if state.weekly_pnl is None else 100 * state.weekly_pnl / state.start_equity)
    yield from (safe_mode, daily, weekly)


def _portfolio() -> Iterator[Metric]:
    value = GaugeMetricFamily("portfolio_value_krw", "Last value of an account, KRW.", labels=["account", "mode"])
    newest = PortfolioSnapshot.objects.filter(**SHOWN).order_by("account", "-created_at").distinct("account").select_related("account")
    for snapshot in newest:
        _add(value, [snapshot.account.name, snapshot.mode], snapshot.total_value_krw)
    yield value


def _bots() -> Iterator[Metric]:
    labels = ["bot", "symbol", "mode"]
    running = GaugeMetricFamily("bot_running", "1 while a bot runs.", labels=labels)
    errors = CounterMetricFamily("bot_errors_total", "Cycles that failed.", labels=labels)
    failed = Count("cycles", filter=Q(cycles__status=CycleStatus.FAILED))
    for bot in Bot.objects.filter(is_hidden=False, **SHOWN).annotate(failed=failed).order_by("pk"):
        values = [bot.name, bot.symbol, bot.mode]
        running.add_metric(values, int(bot.status in ACTIVE))
        errors.add_metric(values, bot.failed)
    yield from (running, errors)


def _jobs() -> Iterator[Metric]:
    success = CounterMetricFamily("scheduler_job_success_total", "Jobs that ended well.", labels=["job_name"])
    failure = CounterMetricFamily("scheduler_job_failure_total", "Jobs that failed or were missed.", labels=["job_name"])
    duration = SummaryMetricFamily("scheduler_job_duration_seconds", "Duration of finished jobs, machine time.", labels=["job_name"])
    bad = Q(status__in=[CycleStatus.FAILED, CycleStatus.MISSED])
    took = Sum(F("finished_at") - F("recorded_at"), filter=Q(status=CycleStatus.DONE))
    done = Count("pk", filter=Q(status=CycleStatus.DONE))
    row = Cycle.objects.filter(**SHOWN).aggregate(done=done, bad=Count("pk", filter=bad), took=took)
    success.add_metric(["trading_cycle"], row["done"])
    failure.add_metric(["trading_cycle"], row["bad"])
    if row["took"] is not None:
        duration.add_metric(["trading_cycle"], count_value=row["done"], sum_value=row["took"].total_seconds())
    yield from (success, failure, duration)


def _orders() -> Iterator[Metric]:
    unknown = GaugeMetricFamily("dgbot_orders_unknown", "Orders of unknown fate.", labels=["mode"])
    doubtful = Count("pk", filter=Q(status__in=["unknown", "disputed"]))
    for row in Order.objects.filter(**SHOWN).unsettled().values("mode").order_by("mode").annotate(n=doubtful):
        unknown.add_metric([row["mode"]], row["n"])
    yield unknown


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


def _add(family: Any, labels: list[str], value: Any) -> None:
    if value is not None:
        family.add_metric(labels, float(value))


def _cached() -> bytes:
    global _text, _made_at
    with _lock:
        if not _text or time.monotonic() - _made_at > CACHE_S:
            _text, _made_at = _render(), time.monotonic()
        return _text


def _render() -> bytes:
    registry = CollectorRegistry()
    registry.register(RowCollector())
    text = generate_latest(registry)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        return text + generate_latest(counted)
    return text + generate_latest(REGISTRY)


_lock = threading.Lock()
_text, _made_at = b"", 0.0
