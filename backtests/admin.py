"""The candle archive at a glance."""

from django.contrib import admin

from backtests.models import CandleSeries
from dgbot.base.admin import FactAdmin


@admin.register(CandleSeries)
class CandleSeriesAdmin(FactAdmin):
    """Labels of the archive's files; candles come in by `manage.py import_candles`."""

    list_display = (
        "symbol",
        "interval",
        "exchange",
        "rows",
        "first_opened_at",
        "last_opened_at",
        "gap_count",
        "missing_count",
        "imported_at",
    )
    list_filter = ("exchange", "interval")
    search_fields = ("symbol",)
