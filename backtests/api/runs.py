"""Backtests: at once for small ones, as a job for the others; status, result, cancel, retry, pin."""

from typing import Any

import numpy as np
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backtests import tasks
from backtests.admin.asking import send_when_committed
from backtests.models import BacktestRun, Job
from backtests.services import jobs, results, runs
from backtests.specs import SYNCHRONOUS_BARS
from backtests.strategies.registry import STRATEGIES
from dgbot.base.rest.fields import DecimalText, Instant, RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import Input, Rows
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from risk.models import RiskProfile
from trading.api.bots import Parameters, Visible
from trading.services import backtesting
from trading.services.backtesting import Wanted

JOB_COLUMNS = ("id", "user", "status", "reason", "attempts", "is_pinned", "requested_at", "started_at", "finished_at", "expired_at")
MOST_TRADES, MOST_POINTS = 1000, 2000  # of an answer; the files hold all
JSON_OBJECT = {"type": "object", "additionalProperties": {}}


class JobRow(RowSerializer):
    """What every job tells."""

    progress = serializers.SerializerMethodField(help_text="Fraction done; it never falls.")

    @extend_schema_field({"type": "number", "minimum": 0, "maximum": 1})
    def get_progress(self, job: Job) -> float:
        """Steps done of all."""
        return job.progress


class RunRow(JobRow):
    """A backtest without its numbers."""

    symbols = serializers.SerializerMethodField()

    class Meta:
        model = BacktestRun
        fields = (*JOB_COLUMNS, "strategy", "exchange", "symbols", "interval", "sweep", "progress")

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_symbols(self, run: BacktestRun) -> Any:
        """In the order of their claims on the cash."""
        return run.symbols


class RunDetail(RunRow):
    """A backtest with its numbers."""

    metrics = serializers.SerializerMethodField(help_text="By name; null is unknown. Fractions: 0.01 is 1 %.")

    class Meta:
        model = BacktestRun
        fields = (*RunRow.Meta.fields, "metrics")

    @extend_schema_field(JSON_OBJECT)
    def get_metrics(self, run: BacktestRun) -> Any:
        """Empty until it has finished."""
        return run.metrics


class RunResult(serializers.Serializer[Any]):
    """The result, every file proven by its SHA-256."""

    id = serializers.IntegerField()
    metrics = serializers.DictField()
    summary = serializers.DictField()
    trades = serializers.ListField(child=serializers.DictField(), help_text=f"The newest {MOST_TRADES:,} closed trades.")
    equity = serializers.ListField(child=serializers.DictField(), help_text=f"At most {MOST_POINTS:,} points, evenly picked.")


class MarketInput(Input):
    """What a backtest and a sweep are told alike."""

    strategy = serializers.ChoiceField(choices=list(STRATEGIES))
    exchange = serializers.CharField(max_length=32, required=False, default="upbit")
    candle_size = serializers.ChoiceField(choices=[one.value for one in Interval], required=False, default=Interval.HOUR_1.value)
    start_date = Instant(required=False, allow_null=True, default=None)
    end_date = Instant(required=False, allow_null=True, default=None, help_text="Itself left out.")
    is_perpetual = serializers.BooleanField(required=False, default=False)
    cash = DecimalText(required=False, allow_null=True, default=None)
    fee_rate = DecimalText(required=False, allow_null=True, default=None)
    slippage = DecimalText(required=False, allow_null=True, default=None)
    leverage = DecimalText(required=False, allow_null=True, default=None)
    funding_rate = DecimalText(required=False, allow_null=True, default=None)
    amount = DecimalText(required=False, allow_null=True, default=None, help_text="What an entry costs, quote currency.")
    fraction = DecimalText(required=False, allow_null=True, default=None, help_text="Or a share of the equity.")
    risk_profile = Visible(queryset=RiskProfile.objects.all(), required=False, allow_null=True, default=None)
    has_limits = serializers.BooleanField(required=False, default=True)


class RunInput(MarketInput):
    """A backtest as it is asked for. Several symbols share one cash."""

    symbols = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=50)
    parameters = Parameters(required=False, default=dict)
    hold_out = serializers.FloatField(required=False, allow_null=True, default=None, min_value=0, max_value=1)
    monte_carlo = serializers.IntegerField(required=False, default=1000, min_value=0, max_value=2**31 - 1)
    permutations = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    seed = serializers.IntegerField(required=False, default=1, min_value=0, max_value=2**31 - 1)


EXAMPLE = OpenApiExample(
    "Two years of hours",
    value={"strategy": "volatility_breakout", "symbols": ["KRW-BTC"], "start_date": "2024-01-01T00:00:00Z"},
    request_only=True,
)


class JobFace(Rows):
    """What backtests and sweeps have in common."""

    outside = frozenset({"create", "submit", "retry"})  # the queue is not ours to roll back
    task: Any = None

    @extend_schema(summary="Cancel", request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """It ends within two seconds. One that has ended stays as it is; the answer tells how it stands."""
        job = self.get_object()
        jobs.cancel(type(job), job.pk)
        return self._fresh(job)

    @extend_schema(summary="Retry what was given up", request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """With all its attempts."""
        job = self.get_object()
        jobs.retry(type(job), job.pk)
        send_when_committed(type(self).task, job.pk)
        return self._fresh(job)

    @extend_schema(summary="Keep the result", request=None)
    @action(detail=True, methods=["post"])
    def pin(self, request: Request, pk: str) -> Response:
        """However old it is."""
        job = self.get_object()
        results.pin(job, is_pinned=True)
        return self._fresh(job)

    @extend_schema(summary="How it stands")
    @action(detail=True, methods=["get"])
    def status(self, request: Request, pk: str) -> Response:
        """State, reason and progress."""
        return self.shown(self.get_object())

    def _fresh(self, job: Any) -> Response:
        job.refresh_from_db()
        return self.shown(job)


@extend_schema_view(list=extend_schema(summary="Backtests"), retrieve=extend_schema(summary="One backtest"))
class BacktestsFace(JobFace):
    """Backtests."""

    queryset = BacktestRun.objects.all()
    serializer_class = RunRow
    detail_class = RunDetail
    filterset_class = filters(
        BacktestRun,
        exact=("status", "strategy", "exchange", "interval", "is_pinned"),
        ids=("sweep",),
        times=("requested_at", "finished_at"),
    )
    needs = {
        **dict.fromkeys(("list", "retrieve", "status", "result"), reads("backtests.view_backtestrun")),
        **dict.fromkeys(("create", "submit"), trades("backtests.add_backtestrun")),
        **dict.fromkeys(("cancel", "retry", "pin"), trades("backtests.change_backtestrun")),
    }
    task = tasks.run_backtest

    @extend_schema(summary="Run a small backtest at once", request=RunInput, responses={201: RunDetail}, examples=[EXAMPLE])
    def create(self, request: Request) -> Response:
        """For up to 200,000 bars, symbols together, and without permuted markets; larger ones go to `/backtests/async`."""
        prepared = backtesting.prepare(wanted(self.given(request, RunInput)))
        if not prepared.is_small:
            raise BadInput(
                f"{prepared.bars:,} bars are asked for; at most {SYNCHRONOUS_BARS:,}, without permuted markets, are computed while you "
                "wait; ask POST /api/v1/backtests/async instead."
            )
        return self.shown(runs.run_now(spec=prepared.spec, user=request.user), status=201)

    @extend_schema(summary="Queue a backtest", request=RunInput, responses={202: RunDetail}, examples=[EXAMPLE])
    @action(detail=False, methods=["post"], url_path="async")
    def submit(self, request: Request) -> Response:
        """Absurd requests are refused before anything is queued."""
        run = runs.submit(spec=backtesting.prepare(wanted(self.given(request, RunInput))).spec, user=request.user)
        send_when_committed(tasks.run_backtest, run.pk)
        return self._accepted(run)

    @extend_schema(summary="The result of a backtest", responses=RunResult)
    @action(detail=True, methods=["get"])
    def result(self, request: Request, pk: str) -> Response:
        """A damaged file is told as that and never shown."""
        stored = results.read(self.get_object())
        columns = vars(stored.trades)
        newest = range(max(len(stored.trades) - MOST_TRADES, 0), len(stored.trades))
        trades_told = [{name: _value(name, column[at]) for name, column in columns.items()} for at in newest]
        picked = np.unique(np.linspace(0, len(stored.equity) - 1, min(len(stored.equity), MOST_POINTS)).astype(int))
        points = [{"time": _time(stored.equity.time[at]), "equity": float(stored.equity.equity[at])} for at in picked]
        told = {"id": stored.run.pk, "metrics": stored.metrics, "summary": stored.summary, "trades": trades_told, "equity": points}
        return Response(told)

    def _accepted(self, run: BacktestRun) -> Response:
        run.refresh_from_db()
        return self.shown(run, status=202)


def wanted(told: dict[str, Any]) -> Wanted:
    """A checked body as `Wanted`."""
    values = dict(told)
    return Wanted(
        interval=Interval(values.pop("candle_size")),
        start=values.pop("start_date"),
        end=values.pop("end_date"),
        profile=values.pop("risk_profile"),
        **values,
    )


def _value(name: str, value: Any) -> Any:
    if name in ("entry_at", "exit_at"):
        return _time(value)
    return value.item() if hasattr(value, "item") else value


def _time(nanoseconds: Any) -> str:
    return from_nanoseconds(int(nanoseconds)).isoformat()
