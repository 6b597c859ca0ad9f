"""Which address of the API leads to which face. Loaded by the web process only."""

from typing import Any

from django.urls import include, path, re_path

from dgbot.base.rest.pages import DocsFace, NowhereFace, SchemaFace
from trading.api.routes import short_patterns

v1: list[Any] = [
    path("", include("dgbot.accounts.api.routes")),
    path("", include("risk.api.routes")),
    path("", include("backtests.api.routes")),
    path("", include("trading.api.routes")),
    path("", include("monitoring.api.routes")),
    re_path("", NowhereFace.as_view(), name="nowhere"),  # the last: whatever is left
]
urlpatterns = [
    path("api/v1/", include((v1, "v1"))),
    path("api/schema/", SchemaFace.as_view(), name="api_schema"),
    path("api/docs/", DocsFace.as_view(), name="api_docs"),
    re_path("^api/", NowhereFace.as_view(), name="api_nowhere"),
    *short_patterns,
]
