"""The candle archive, read."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from backtests import selectors
from backtests.models import CandleSeries
from dgbot.base.rest.fields import DecimalText, Instant, RowSerializer
from dgbot.base.rest.filters import filters, refuse_unknown
from dgbot.base.rest.needs import reads
from dgbot.base.rest.views import Rows
from dgbot.core.clock import from_nanoseconds
from dgbot.core.interval import Interval

MOST, PAGE = 1000, 500  # candles of one answer
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)  # nanoseconds of int64 end in 2262
PRICES = ("open", "high", "low", "close", "volume")


class SeriesRow(RowSerializer):
    """One series of the archive."""

    completeness = serializers.FloatField(read_only=True, help_text="Fraction of its candles that are there or were never traded.")

    class Meta:
        model = CandleSeries
        fields = (
            *("id", "exchange", "symbol", "interval", "rows", "first_opened_at", "last_opened_at", "gap_count", "missing_count"),
            *("confirmed_count", "completeness", "content_sha256", "quality", "imported_at", "checked_at"),
        )


class CandleShape(serializers.Serializer[Any]):
    """One closed candle."""

    open_time = Instant()
    open = DecimalText(help_text="Quote currency.")
    high = DecimalText()
    low = DecimalText()
    close = DecimalText()
    volume = DecimalText(help_text="Base currency.")


class Candles(serializers.Serializer[Any]):
    """Candles, oldest first."""

    candles = CandleShape(many=True)
    next_from = Instant(allow_null=True, help_text="`from` of the next answer; null when there is no more.")


def _parameter(name: str, description: str, kind: Any = OpenApiTypes.DATETIME) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=description)


@extend_schema_view(list=extend_schema(summary="Candle series"), retrieve=extend_schema(summary="One candle series"))
class SeriesFace(Rows):
    """The candle archive. Candles nobody traded in are absent, and counted as such."""

    queryset = CandleSeries.objects.all()
    serializer_class = SeriesRow
    filterset_class = filters(CandleSeries, exact=("exchange", "symbol", "interval"))
    orderings = ("id", "-id")
    needs = dict.fromkeys(("list", "retrieve", "bars"), reads("backtests.view_candleseries"))

    @extend_schema(
        summary="Candles of a series",
        parameters=[
            _parameter("from", "Open time of the first; by default the series' first."),
            _parameter("to", "Before this open time; by default the series' end."),
            _parameter("limit", "Candles of one answer.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE}),
        ],
        responses=Candles,
    )
    @action(detail=True, methods=["get"], url_path="candles")
    def bars(self, request: Request, pk: str) -> Response:
        """Closed candles, oldest first; go on with `from` = `next_from`."""
        refuse_unknown(request.query_params, known={"from", "to", "limit"})
        series = self.get_object()
        start, end = (self._instant(request, name, default) for name, default in (("from", FIRST), ("to", LAST)))
        limit = self._limit(request)
        whole = selectors.candles_of(exchange=series.exchange, symbol=series.symbol, interval=Interval(series.interval))
        found = whole.opened_within(start, max(start, end))
        columns = [getattr(found, name)[:limit].tolist() for name in PRICES]
        opened = [from_nanoseconds(int(one)) for one in found.open_time[: limit + 1]]
        rows = [
            {"open_time": at, **{name: Decimal(repr(value)) for name, value in zip(PRICES, values, strict=True)}}
            for at, *values in zip(opened[:limit], *columns, strict=True)
        ]
        return Response(Candles({"candles": rows, "next_from": opened[limit] if len(opened) > limit else None}).data)

    def _instant(self, request: Request, name: str, default: datetime) -> datetime:
        text = request.query_params.get(name)
        if text is None:
            return default
        try:
            return min(LAST, Instant().to_internal_value(text))
        except ValidationError as error:
            raise ValidationError({name: error.detail}) from None

    def _limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(PAGE))
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST):
            raise ValidationError({"limit": [f"It must be a whole number from 1 to {MOST}."]})
        return int(text)
