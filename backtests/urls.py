"""Backtests' addresses."""

from django.urls import path

from backtests import views

urlpatterns = [
    path("backtests/compare/", views.compare, name="backtest_compare"),
    path("backtests/<int:run_pk>/", views.report, name="backtest_report"),
    path("backtests/<int:run_pk>/candles/", views.candles, name="backtest_candles"),
    path("backtests/<int:run_pk>/<slug:name>.<slug:kind>", views.download, name="backtest_download"),
]
