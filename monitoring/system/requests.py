"""How many answers the web server gives, how fast, and how many of them are errors: added up per minute in the database."""

import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import Error as DatabaseError
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse

from monitoring.background import Background

LEFT_OUT = ("/health/", "/metrics", "/static/")  # asked by machines, or no work of ours
SERVER_ERROR = 500
EVERY_S = 5.0

ADD = """
INSERT INTO request_minutes (minute, requests, errors, total_ms, slowest_ms) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (minute) DO UPDATE SET
    requests = request_minutes.requests + EXCLUDED.requests, errors = request_minutes.errors + EXCLUDED.errors,
    total_ms = request_minutes.total_ms + EXCLUDED.total_ms, slowest_ms = greatest(request_minutes.slowest_ms, EXCLUDED.slowest_ms)
"""


class Tally:
    """Answers of one process since they were written last."""

    def __init__(self) -> None:
        self.is_on = False  # until the apps are ready; a test that wants it asks
        self._lock = threading.Lock()
        self._minutes: dict[datetime, list[int]] = {}
        self._written_at = time.monotonic()
        self._background = Background("answers", self._write, capacity=100)

    def add(self, *, milliseconds: int, is_error: bool) -> None:
        """Count one answer. Never waits, never fails."""
        minute = datetime.now(tz=UTC).replace(second=0, microsecond=0)
        with self._lock:
            row = self._minutes.setdefault(minute, [0, 0, 0, 0])
            row[0] += 1
            row[1] += is_error
            row[2] += milliseconds
            row[3] = max(row[3], milliseconds)
            if time.monotonic() - self._written_at < EVERY_S:
                return
        self.flush()

    def flush(self) -> None:
        """Hand over what has been counted."""
        with self._lock:
            minutes, self._minutes, self._written_at = self._minutes, {}, time.monotonic()
        if minutes:
            self._background.put(minutes)

    def wait_until_written(self) -> bool:
        """Whether everything handed over lies in the database."""
        return self._background.wait_until_done()

    def _write(self, batch: list[dict[datetime, list[int]]]) -> None:
        try:
            with connection.cursor() as cursor:
                for minutes in batch:
                    for minute, (requests, errors, total_ms, slowest_ms) in minutes.items():
                        cursor.execute(ADD, [minute, requests, errors, total_ms, slowest_ms])
        except DatabaseError:  # a page that was shown is worth more than its number
            self._background.dropped += len(batch)
            connections.close_all()


tally = Tally()


class AnswersCounted:
    """Middleware that measures every answer, from the outermost place."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Measure, unless it is left out."""
        if self._is_async:
            return self._answer_later(request)
        began = time.monotonic()
        response = self.get_response(request)
        _count(request, response, began)  # type: ignore[arg-type]  # a synchronous chain answers at once
        return response

    async def _answer_later(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        response: HttpResponse = await self.get_response(request)  # type: ignore[misc]
        _count(request, response, began)
        return response


def _count(request: HttpRequest, response: HttpResponse, began: float) -> None:
    if tally.is_on and not request.path.startswith(LEFT_OUT):
        tally.add(milliseconds=round(1000 * (time.monotonic() - began)), is_error=response.status_code >= SERVER_ERROR)
