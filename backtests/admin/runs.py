"""Backtests with their progress and their numbers."""

from django.contrib import admin

from backtests.models import BacktestRun, ResultFile, Sweep
from dgbot.base.admin import FactAdmin


@admin.register(BacktestRun)
class BacktestRunAdmin(FactAdmin):
    """What was asked for and what came of it."""

    list_display = ("strategy", "symbols", "interval", "status", "requested_at", "finished_at")
    list_filter = ("status", "strategy")


@admin.register(Sweep)
class SweepAdmin(FactAdmin):
    """Searches for parameters."""

    list_display = ("strategy", "symbol", "interval", "sets", "status", "requested_at", "finished_at")
    list_filter = ("status", "strategy")


@admin.register(ResultFile)
class ResultFileAdmin(FactAdmin):
    """Where results lie, and whether they can be read."""

    list_display = ("name", "kind", "place", "size", "is_damaged", "stored_at")
    list_filter = ("place", "is_damaged", "kind")
