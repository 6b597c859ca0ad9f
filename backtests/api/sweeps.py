"""Sweeps: asked for, watched, ranked."""

from typing import Any

import numpy as np
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backtests import tasks
from backtests.admin.asking import send_when_committed
from backtests.api.runs import JOB_COLUMNS, JobFace, JobRow, MarketInput, wanted
from backtests.models import Sweep
from backtests.research.searching import OBJECTIVES
from backtests.services import sweeps
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import reads, trades
from dgbot.core.errors import BadInput
from trading.services import backtesting
from trading.services.backtesting import SAMPLERS, WantedSweep

SHOWN = 100


class SweepRow(JobRow):
    """A sweep."""

    importance = serializers.SerializerMethodField(help_text="Share of the score's variance that each parameter explains alone.")

    class Meta:
        model = Sweep
        fields = (*JOB_COLUMNS, "strategy", "exchange", "symbol", "interval", "sampler", "sets", "importance", "progress")

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "number"}})
    def get_importance(self, sweep: Sweep) -> Any:
        """Largest first; empty until it has finished."""
        return sweep.importance


class SweepInput(MarketInput):
    """A search for parameters on one market."""

    symbol = serializers.CharField(max_length=64)
    sampler = serializers.ChoiceField(choices=SAMPLERS, required=False, default="sobol")
    sets = serializers.IntegerField(required=False, default=2048, min_value=0, max_value=2**63 - 1)
    ranges = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2), required=False, default=dict
    )
    grid = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=1, max_length=10_000), required=False, default=dict
    )
    objective = serializers.ChoiceField(choices=OBJECTIVES, required=False, default="sharpe")
    hold_out = serializers.FloatField(required=False, default=0.3, min_value=0, max_value=1)
    folds = serializers.IntegerField(required=False, default=4, min_value=0, max_value=1000)
    permutations = serializers.IntegerField(required=False, default=0, min_value=0, max_value=1000)
    seed = serializers.IntegerField(required=False, default=1, min_value=0, max_value=2**31 - 1)


class SweepResult(serializers.Serializer[Any]):
    """What was found."""

    id = serializers.IntegerField()
    best = serializers.ListField(child=serializers.DictField(), help_text=f"The best {SHOWN} sets so far, best first.")
    judged = serializers.DictField(help_text="Walk forward, hold-out, promotion; empty until it has finished.")


@extend_schema_view(list=extend_schema(summary="Sweeps"), retrieve=extend_schema(summary="One sweep"))
class SweepsFace(JobFace):
    """Searches for parameters by as many workers as there are."""

    queryset = Sweep.objects.select_related("search")
    serializer_class = SweepRow
    filterset_class = filters(
        Sweep, exact=("status", "strategy", "exchange", "symbol", "interval", "sampler", "is_pinned"), times=("requested_at", "finished_at")
    )
    needs = {
        **dict.fromkeys(("list", "retrieve", "status", "result"), reads("backtests.view_sweep")),
        "create": trades("backtests.add_sweep"),
        **dict.fromkeys(("cancel", "retry", "pin"), trades("backtests.change_sweep")),
    }
    task = tasks.work_on_sweep

    @extend_schema(summary="Queue a sweep", request=SweepInput, responses={202: SweepRow})
    def create(self, request: Request) -> Response:
        """Absurd requests are refused before anything is queued."""
        sweep = sweeps.submit(spec=backtesting.prepare_sweep(_wanted(self.given(request, SweepInput))), user=request.user)
        send_when_committed(tasks.work_on_sweep, sweep.pk)
        sweep.refresh_from_db()
        return self.shown(sweep, status=202)

    @extend_schema(summary="What a sweep has found", responses=SweepResult)
    @action(detail=True, methods=["get"])
    def result(self, request: Request, pk: str) -> Response:
        """Also while it runs. A damaged file is told as that and never shown."""
        sweep = self.get_object()
        columns = sweeps.points(sweep) if sweep.search_id is not None else {}
        if not columns:
            raise BadInput(f"Sweep {sweep.pk} has found nothing yet: it is {sweep.get_status_display()}.")
        order = np.argsort(-np.nan_to_num(columns["score"], nan=-np.inf), kind="stable")[:SHOWN]
        best = [{name: _number(column[at]) for name, column in columns.items()} for at in order]
        return Response({"id": sweep.pk, "best": best, "judged": sweep.search.result})


def _wanted(told: dict[str, Any]) -> WantedSweep:
    names = ("sampler", "sets", "ranges", "grid", "objective", "hold_out", "folds", "permutations", "seed")
    own = {name: told[name] for name in names}
    rest = {name: value for name, value in told.items() if name not in (*names, "symbol")}
    return WantedSweep(run=wanted({**rest, "symbols": [told["symbol"]]}), **own)


def _number(value: Any) -> float | int | None:
    plain: float | int = value.item()
    return plain if np.isfinite(plain) else None
