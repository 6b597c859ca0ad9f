"""JSON in, JSON out, and no more of it than anybody needs."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser

LARGEST_BODY = 256 * 1024  # bytes
DEEPEST = 32  # levels of objects and lists
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL stores neither


class TooLarge(exceptions.APIException):
    """More than is read."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class JsonParser(JSONParser):
    """One JSON value of at most LARGEST_BODY bytes and DEEPEST levels. An empty body is an empty object."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The value. Raises ParseError or TooLarge."""
        content = stream.read(LARGEST_BODY + 1)
        if len(content) > LARGEST_BODY:
            raise TooLarge(_("The body is larger than the %(kib)d KiB that are read.") % {"kib": LARGEST_BODY // 1024})
        if not content.strip():
            return {}
        try:
            value = json.loads(content.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise exceptions.ParseError(_("The body is not JSON: %(why)s.") % {"why": str(error)[:120]}) from None
        for _level, texts in _levels(value):
            if any(NOT_TEXT.search(text) for text in texts):
                raise exceptions.ParseError(_("The body holds characters that are no text: NUL, or half of a pair."))
        return value


class AlwaysJson(DefaultContentNegotiation):
    """Whatever a client says it would like, it is told in JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first and only."""
        return renderers[0], renderers[0].media_type


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _levels(value: Any) -> Iterator[tuple[int, list[str]]]:
    """Every text of each level, names included. Raises ParseError where there are too many levels."""
    level = [value]
    for number in range(DEEPEST + 1):
        yield number, [one for one in level if isinstance(one, str)] + [name for one in level if isinstance(one, dict) for name in one]
        level = [inner for one in level if isinstance(one, dict | list) for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return
    raise exceptions.ParseError(_("The body is nested deeper than %(levels)d levels.") % {"levels": DEEPEST})
