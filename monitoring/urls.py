"""Monitoring's addresses."""

from django.urls import path

from monitoring import health, metrics, views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("dashboard/snapshot/", views.snapshot, name="dashboard_snapshot"),
    path("dashboard/bots/<int:bot_pk>/start/", views.start_bot, name="dashboard_start_bot"),
    path("dashboard/bots/<int:bot_pk>/stop/", views.stop_bot, name="dashboard_stop_bot"),
    path("dashboard/bots/<int:bot_pk>/run/", views.run_now, name="dashboard_run_now"),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("metrics", metrics.expose, name="metrics"),
]
