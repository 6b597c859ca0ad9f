"""Totals of a filtered list, exact or not told at all: what would take long is said to be unknown, never guessed."""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet

MOST_ADDED = 10_000  # rows; adding them up takes PostgreSQL some 20 ms, and a page is to open in 150


def grouped(
    rows: QuerySet[Any], *, by: dict[str, str], sums: dict[str, str] | None = None, most: int = MOST_ADDED
) -> list[dict[str, Any]] | None:
    """Counts and sums of `rows` by the columns of `by`; None when there are more than `most` rows.

    by, sums: name → path of a column. Each answer has the names of `by`, of `sums`, and `count`.
    """
    sums = sums or {}
    inner = rows.order_by().select_related(None).values_list(*by.values(), *sums.values())[: most + 1]
    try:
        sql, parameters = inner.query.sql_with_params()
    except EmptyResultSet:
        return []
    quoted = connections[rows.db].ops.quote_name
    names, added = [quoted(name) for name in by], [quoted(name) for name in sums]
    chosen = ", ".join([*names, "count(*)", *(f"sum({name})" for name in added)])
    part, order = f"({sql}) AS part({', '.join([*names, *added])})", ", ".join(names)
    # Names and columns are ours, quoted; every value is a parameter.
    statement = f"SELECT {chosen} FROM {part} GROUP BY {order} ORDER BY {order}"  # noqa: S608
    with connections[rows.db].cursor() as cursor:
        cursor.execute(statement, parameters)
        found = [dict(zip([*by, "count", *sums], row, strict=True)) for row in cursor.fetchall()]
    return None if sum(row["count"] for row in found) > most else found
