"""Rows as CSV or Excel, written while they are read, with nothing in them that a spreadsheet would run.

Text from outside (a symbol, a reason, an exchange's words) that begins like a formula is given a leading apostrophe, in both formats.
Numbers are written as numbers. Times are UTC.
"""

import csv
import io
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from dgbot.core.money import plain

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
MOST_EXCEL_ROWS = 50_000  # written in the web process, some five seconds of it
CSV_TYPE = "text/csv; charset=utf-8"
EXCEL_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BLOCK = 1 << 16
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # an Excel file must not hold them
Rows = Iterable[Sequence[Any]]


def harmless(text: str) -> str:
    """`text`, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def csv_pieces(titles: Sequence[str], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """A CSV file, one piece for each chunk. It begins with the mark by which Excel knows UTF-8."""
    yield "\ufeff".encode() + _csv([titles])
    for chunk in chunks:
        yield _csv([[_csv_cell(value) for value in row] for row in chunk])


def excel_pieces(titles: Sequence[str], chunks: Iterable[Rows], *, sheet: str) -> Iterator[bytes]:
    """An Excel file. Written to disk first: the format's directory stands at its end."""
    from openpyxl import Workbook  # a second of loading, for this alone

    book = Workbook(write_only=True)
    page = book.create_sheet(sheet[:31])
    page.append(list(titles))
    for chunk in chunks:
        for row in chunk:
            page.append([_excel_cell(value) for value in row])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while block := file.read(BLOCK):
            yield block


def download(request: HttpRequest, pieces: Iterator[bytes], *, name: str, content_type: str) -> StreamingHttpResponse:
    """Send `pieces` as they come, under either server interface."""
    content = _awaited(pieces) if isinstance(request, ASGIRequest) else pieces
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


async def _awaited(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece made on the request's own thread, where its database connection lives."""
    following = sync_to_async(lambda: next(pieces, None))
    while (piece := await following()) is not None:
        yield piece


def _csv(rows: Rows) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return "" if value is None else harmless(value) if isinstance(value, str) else str(value)


def _excel_cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)  # Excel knows no zones
    return harmless(UNPRINTABLE.sub("", value)) if isinstance(value, str) else value
