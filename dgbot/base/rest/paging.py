"""Pages of a list by the values of their last row instead of a count: page 20,000 costs what page 1 does, and rows that are inserted
meanwhile move nothing. `next` and `previous` are complete addresses; the cursor in them is not to be understood.
"""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE, MOST = 50, 200  # rows
LONGEST_CURSOR = 500  # characters


class _Row(Func):
    """(a, b) as PostgreSQL compares rows: by a, then by b; an index on both finds the place at once."""

    function = "ROW"


class _Compared(Func):
    """left < right, or the other way round, as a condition."""

    template = "(%(expressions)s)"
    output_field = BooleanField()


class KeysetPagination(BasePagination):
    """The view says by what its list may be ordered: `orderings`, the first of which rules unless asked otherwise.

    Each is a column that is never empty, with a minus sign for the newest or largest first; rows of equal value go by their id.
    """

    def __init__(self, *, page: int = PAGE, most: int = MOST) -> None:
        self.page, self.most = page, most

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page asked for."""
        self.request = request
        self.ordering = self._ordering(request, view.orderings)
        limit = self._limit(request)
        columns = _columns(self.ordering)
        position, self.is_back = self._position(request, queryset, columns)
        rows = queryset.order_by(*_sorted_by(columns, is_descending=self.ordering.startswith("-") != self.is_back))
        if position is not None:
            rows = rows.filter(_beyond(columns, position, is_descending=self.ordering.startswith("-") != self.is_back))
        found = list(rows[: limit + 1])
        self.has_more = len(found) > limit
        self.came_from = position is not None
        shown = found[:limit]
        if self.is_back:
            shown.reverse()
        self.ends = (_values(shown[0], columns), _values(shown[-1], columns)) if shown else None
        return shown

    def get_paginated_response(self, data: Any) -> Response:
        """With the addresses of its neighbours."""
        has_next = self.came_from if self.is_back else self.has_more
        has_previous = self.has_more if self.is_back else self.came_from
        return Response({"next": self._link(1, has_next), "previous": self._link(0, has_previous), "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI document."""
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "description": "Address of the next page; null on the last."},
                "previous": {**link, "description": "Address of the page before; null on the first."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """For the OpenAPI document."""
        number = {"type": "integer", "minimum": 1, "maximum": self.most, "default": self.page}
        return [
            _parameter(
                "cursor",
                {"type": "string", "maxLength": LONGEST_CURSOR, "minLength": 1},
                "From `next` or `previous`; leave it out for the first page.",
            ),
            _parameter("limit", number, "Rows of a page."),
            _parameter("ordering", {"type": "string", "enum": list(view.orderings)}, f"By default `{view.orderings[0]}`."),
        ]

    def names(self) -> set[str]:
        """Of its query parameters."""
        return {"cursor", "limit", "ordering"}

    def _ordering(self, request: Request, orderings: Sequence[str]) -> str:
        asked = request.query_params.get("ordering", orderings[0])
        if asked not in orderings:
            raise ValidationError({"ordering": [_("It must be one of %(known)s.") % {"known": ", ".join(orderings)}]})
        return asked

    def _limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.page))
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= self.most):
            raise ValidationError({"limit": [_("It must be a whole number from 1 to %(most)d.") % {"most": self.most}]})
        return int(text)

    def _position(self, request: Request, queryset: QuerySet[Any], columns: Sequence[str]) -> tuple[list[Any] | None, bool]:
        text = request.query_params.get("cursor")
        if text is None:
            return None, False
        try:
            return _decoded(text, queryset=queryset, columns=columns, ordering=self.ordering)
        except (ValueError, TypeError, ModelError, OverflowError, RecursionError):
            told = _("This cursor does not belong to this list and ordering; begin again without one.")
            raise ValidationError({"cursor": [told]}) from None

    def _link(self, end: int, is_there: bool) -> str | None:
        if not is_there or self.ends is None:
            return None
        told = json.dumps([self.ordering, 1 - end, *[_as_text(value) for value in self.ends[end]]], separators=(",", ":"))
        cursor = base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor)


class LongPagination(KeysetPagination):
    """For lists that are read by the thousand."""

    def __init__(self) -> None:
        super().__init__(page=100, most=1000)


def _columns(ordering: str) -> tuple[str, ...]:
    name = ordering.lstrip("-")
    return ("pk",) if name in ("id", "pk") else (name, "pk")


def _sorted_by(columns: Sequence[str], *, is_descending: bool) -> list[str]:
    return [f"-{name}" if is_descending else name for name in columns]


def _beyond(columns: Sequence[str], position: Sequence[Any], *, is_descending: bool) -> _Compared:
    left, right = _Row(*[F(name) for name in columns]), _Row(*position)
    return _Compared(left, right, arg_joiner=" < " if is_descending else " > ")


def _values(row: Any, columns: Sequence[str]) -> list[Any]:
    return [getattr(row, name) for name in columns]


def _as_text(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value if isinstance(value, int | str) else str(value)


def _decoded(text: str, *, queryset: QuerySet[Any], columns: Sequence[str], ordering: str) -> tuple[list[Any], bool]:
    """The values of the row the page begins after, typed, and whether it lies before them. Raises ValueError for anything else."""
    if len(text) > LONGEST_CURSOR or not text.isascii():
        raise ValueError("too long")
    told = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    if not isinstance(told, list) or len(told) != 2 + len(columns) or told[0] != ordering or told[1] not in (0, 1):
        raise ValueError("of another list")
    return [_typed(queryset.model, name, value) for name, value in zip(columns, told[2:], strict=True)], bool(told[1])


def _typed(model: Any, name: str, value: Any) -> Value:
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if isinstance(value, bool | float | list | dict | None) or "\x00" in str(value):
        raise ValueError("no such value")
    field = field.remote_field.model._meta.pk if field.remote_field else field
    cleaned = field.to_python(value)
    field.run_validators(cleaned)
    if isinstance(cleaned, datetime) and cleaned.tzinfo is None:
        raise ValueError("a time without offset")
    return Value(cleaned, output_field=field)


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
