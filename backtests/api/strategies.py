"""Strategies, with their parameters as a form would show them."""

from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backtests.strategies.base import Strategy
from backtests.strategies.registry import STRATEGIES
from dgbot.base.rest.filters import refuse_unknown
from dgbot.base.rest.needs import reads
from dgbot.base.rest.views import Deeds


class ParameterShape(serializers.Serializer[Any]):
    """One parameter: both limits are allowed values."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["boolean", "integer", "number"])
    default = serializers.FloatField(help_text="1 is true, 0 is false.")
    low = serializers.FloatField()
    high = serializers.FloatField()
    unit = serializers.CharField(allow_blank=True)
    help = serializers.CharField(allow_blank=True)


class StrategyShape(serializers.Serializer[Any]):
    """One strategy."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    allows_shorts = serializers.BooleanField()
    needs_btc = serializers.BooleanField(help_text="Its candles of BTC must be collected, too.")
    needs_decisions = serializers.BooleanField(help_text="It replays stored decisions.")
    parameters = ParameterShape(many=True)


class StrategiesFace(Deeds):
    """Strategies: what a bot may be made with."""

    lookup_field = "name"
    lookup_value_regex = "[a-z_]{1,64}"
    needs = dict.fromkeys(("list", "retrieve"), reads("trading.view_bot"))
    serializer_class = StrategyShape

    @extend_schema(summary="Strategies", responses=StrategyShape(many=True))
    def list(self, request: Request) -> Response:
        """Every strategy with its parameters and their bounds."""
        refuse_unknown(request.query_params, known=set())
        return Response([_told(one) for one in STRATEGIES.values()])

    @extend_schema(summary="One strategy", responses=StrategyShape)
    def retrieve(self, request: Request, name: str) -> Response:
        """With its parameters and their bounds."""
        if name not in STRATEGIES:
            raise Http404
        return Response(_told(STRATEGIES[name]))


def _told(strategy: Strategy[Any]) -> dict[str, Any]:
    kinds, defaults = strategy.parameters.kinds(), strategy.parameters()
    words = {bool: "boolean", int: "integer", float: "number"}
    return {
        **{name: getattr(strategy, name) for name in ("name", "allows_shorts", "needs_btc", "needs_decisions")},
        "title": _(strategy.title),
        "description": _(strategy.description),
        "parameters": [
            {
                "name": name,
                "type": words[kinds[name]],
                "default": float(getattr(defaults, name)),
                "low": bounds.low,
                "high": bounds.high,
                "unit": _(bounds.unit) if bounds.unit else "",
                "help": _(bounds.help) if bounds.help else "",
            }
            for name, bounds in strategy.parameters.bounds().items()
        ],
    }
