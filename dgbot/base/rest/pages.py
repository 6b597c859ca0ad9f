"""The OpenAPI document, its page to read and try, and the answer to addresses that lead nowhere."""

from typing import Any

from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.base.rest.needs import ANYBODY, HasWhatItNeeds, reads
from dgbot.base.rest.views import Face, _House


class SchemaFace(_House, SpectacularAPIView):
    """The document."""

    needs = {"get": reads()}
    permission_classes = (HasWhatItNeeds,)


class DocsFace(_House, SpectacularSwaggerSplitView):
    """The page; its files come from here, so it works without the internet."""

    needs = {"get": reads()}
    permission_classes = (HasWhatItNeeds,)
    url_name = "api_schema"


class NowhereFace(Face):
    """Any address under the API that leads nowhere, for whoever asks."""

    authentication_classes = ()
    needs = dict.fromkeys(("get", "post", "put", "patch", "delete"), ANYBODY)

    @extend_schema(exclude=True)
    def get(self, request: Request, **_: Any) -> Response:
        """Always 404."""
        raise NotFound("There is nothing at this address; /api/docs/ lists all.")

    post = put = patch = delete = get
