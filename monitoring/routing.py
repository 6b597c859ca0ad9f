"""Which websocket address leads where."""

from django.urls import path

from monitoring.consumers import BotConsumer, DashboardConsumer

websocket_urlpatterns = [
    path("ws/dashboard/", DashboardConsumer.as_asgi()),
    path("ws/bots/<int:bot_pk>/", BotConsumer.as_asgi()),
]
