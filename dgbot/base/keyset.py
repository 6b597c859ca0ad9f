"""Lists without page numbers: the next page begins where this one ended, so the thousandth costs what the first does.

    ?older=2026-01-05T03:00:00+00:00~1042      rows after that one, newest first
    ?newer=…                                   rows before it
    ?newer=end                                 the oldest page

Nothing is counted. Ties of the time are broken by the primary key, so no row is shown twice and none is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

OLDER, NEWER = "older", "newer"
END = "end"
SEPARATOR = "~"


@dataclass(frozen=True)
class Page:
    """Rows in their order, newest first, and the cursors of its neighbours; empty where there is none."""

    rows: list[Any]
    older: str
    newer: str


def columns_of(ordering: Sequence[str] | None) -> tuple[str, ...]:
    """The columns of an ordering that pages can be cut along: at most one time and the id, newest first. Empty for any other."""
    names = tuple(str(name) for name in ordering or ())
    if not names or len(names) > 2 or names[-1] != "-id" or not all(name.startswith("-") for name in names):
        return ()
    return tuple(name[1:] for name in names)


def page(rows: QuerySet[Any], *, columns: Sequence[str], size: int, older: str = "", newer: str = "") -> Page:
    """At most `size` of `rows` next to a cursor. columns: see `columns_of`. Raises ValueError for a cursor that is none."""
    if newer:
        return _newer_page(rows, columns=columns, size=size, cursor=newer)
    found = list(_after(rows, columns, older)[: size + 1])
    shown = found[:size]
    return Page(
        rows=shown,
        older=cursor_of(shown[-1], columns) if len(found) > size else "",
        newer=cursor_of(shown[0], columns) if older and shown else "",
    )


def in_chunks(rows: QuerySet[Any], *, columns: Sequence[str], paths: Sequence[str], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """The values at `paths` of all `rows`, newest first, `size` at a time, one short statement each: no cursor is held open."""
    told = rows.select_related(None).values_list(*columns, *paths)
    cursor = ""
    while chunk := list(_after(told, columns, cursor)[:size]):
        yield [row[len(columns) :] for row in chunk]
        if len(chunk) < size:
            return
        cursor = SEPARATOR.join(_text(value) for value in chunk[-1][: len(columns)])


def cursor_of(row: Any, columns: Sequence[str]) -> str:
    """Where a row stands in the order."""
    return SEPARATOR.join(_text(getattr(row, name)) for name in columns)


def _newer_page(rows: QuerySet[Any], *, columns: Sequence[str], size: int, cursor: str) -> Page:
    upwards = rows.order_by(*columns)
    if cursor != END:
        upwards = upwards.filter(_beyond(cursor, columns, direction="gt"))
    found = list(upwards[: size + 1])
    shown = found[:size][::-1]
    return Page(
        rows=shown,
        older=cursor_of(shown[-1], columns) if cursor != END and shown else "",
        newer=cursor_of(shown[0], columns) if len(found) > size else "",
    )


def _after(rows: QuerySet[Any], columns: Sequence[str], cursor: str) -> QuerySet[Any]:
    ordered = rows.order_by(*(f"-{name}" for name in columns))
    return ordered.filter(_beyond(cursor, columns, direction="lt")) if cursor else ordered


def _beyond(cursor: str, columns: Sequence[str], *, direction: str) -> Q:
    """Rows on one side of a cursor. The time is bounded on its own, too, which is what an index can begin at."""
    parts = cursor.split(SEPARATOR)
    if len(parts) != len(columns):
        raise ValueError(f"{cursor!r} is no place in a list ordered by {' and '.join(columns)}")
    pk = Q(**{f"id__{direction}": int(parts[-1])})
    if len(columns) == 1:
        return pk
    at = datetime.fromisoformat(parts[0])
    if at.tzinfo is None:
        raise ValueError(f"{cursor!r} names a time without its zone")
    return Q(**{f"{columns[0]}__{direction}e": at}) & (Q(**{f"{columns[0]}__{direction}": at}) | pk)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class KeysetPaginator(Paginator):
    """What the admin's templates ask a paginator for, without a count."""

    template_name = "admin/keyset_pagination.html"


class KeysetChangeList(ChangeList):
    """A change list cut along its ordering. The admin's `ordering` must be one that `columns_of` knows."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """The filtered rows. The cursor is taken out of the parameters first: another filter begins at the newest row."""
        self.cursors = {name: str(self.params.pop(name, "")) for name in (OLDER, NEWER)}
        for name in (OLDER, NEWER):
            self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        """One page and one row more, which tells whether there is another."""
        columns = columns_of(self.model_admin.get_ordering(request))
        try:
            found = page(self.queryset, columns=columns, size=self.list_per_page, **self.cursors)
        except ValueError as error:
            raise IncorrectLookupParameters(str(error)) from error
        self.result_list = found.rows
        self.result_count = len(found.rows)
        self.full_result_count = self.result_count  # neither is one; when they differ the skin would tell them
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = KeysetPaginator(found.rows, self.list_per_page)
        self.page_urls = {
            "newest": self.get_query_string() if found.newer else "",
            "newer": self.get_query_string({NEWER: found.newer}) if found.newer else "",
            "older": self.get_query_string({OLDER: found.older}) if found.older else "",
            "oldest": self.get_query_string({NEWER: END}) if found.older else "",
        }

    @cached_property
    def head(self) -> Any:
        """What stands above the rows, of an admin that has a `HistoryAdmin`'s head."""
        return self.model_admin.head_of(self)
