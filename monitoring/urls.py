"""Monitoring's addresses."""

from django.urls import path

from monitoring import bot_views, health, metrics, scorecard_views, views
from monitoring.system import views as system

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("dashboard/snapshot/", views.snapshot, name="dashboard_snapshot"),
    path("dashboard/bots/<int:bot_pk>/start/", views.start_bot, name="dashboard_start_bot"),
    path("dashboard/bots/<int:bot_pk>/stop/", views.stop_bot, name="dashboard_stop_bot"),
    path("dashboard/bots/<int:bot_pk>/run/", views.run_now, name="dashboard_run_now"),
    path("dashboard/bots/<int:bot_pk>/pause/", views.pause_bot, name="dashboard_pause_bot"),
    path("dashboard/bots/<int:bot_pk>/resume/", views.resume_bot, name="dashboard_resume_bot"),
    path("bots/new/", bot_views.new, name="new_bot"),
    path("bots/new/checks/", bot_views.draft_checks, name="draft_checks"),
    path("bots/download/", bot_views.download, name="download_candles"),
    path("bots/<int:bot_pk>/", bot_views.page, name="bot_page"),
    path("bots/<int:bot_pk>/snapshot/", bot_views.snapshot, name="bot_snapshot"),
    path("bots/<int:bot_pk>/candles/", bot_views.candles, name="bot_candles"),
    path("bots/<int:bot_pk>/checks/", bot_views.checks, name="bot_checks"),
    path("bots/<int:bot_pk>/clone/", bot_views.clone, name="clone_bot"),
    path("bots/<int:bot_pk>/promote/", bot_views.promote, name="promote_bot"),
    path("system/", system.system, name="system"),
    path("scorecard/", scorecard_views.page, name="scorecard"),
    path("scorecard/shadows/", scorecard_views.create_shadow, name="create_shadow"),
    path("scorecard/shadows/<int:bot_pk>/promote/", scorecard_views.promote, name="promote_shadow"),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("metrics", metrics.expose, name="metrics"),
]
