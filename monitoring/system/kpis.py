"""The platform's own targets, each with what our rows say of the last day, week and month. What nothing tells is unknown.

Source: requirements S2-55, where the source project named targets and measured none of them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dgbot.local.up import programs

WINDOWS_H = {"24h": 24, "7d": 168, "30d": 720}
KEPT_S = 60.0

# Of the worst process. A process counts from its first sign of life on, and lives until it has been silent for too long.
UPTIME = """
WITH bounds AS (SELECT clock_timestamp() AS till, clock_timestamp() - %(hours)s * interval '1 hour' AS since),
seen AS (
    SELECT process, greatest(since, (SELECT min(f.began_at) FROM uptime_spans f WHERE f.process = s.process)) AS first, till,
           range_agg(tstzrange(greatest(began_at, since), CASE WHEN until > till - interval '60 s' THEN till ELSE until END, '[]')) AS alive
    FROM uptime_spans s, bounds WHERE until > since AND process = ANY(%(processes)s) GROUP BY 1, 2, 3
)
SELECT min(100 * alive_s / nullif(extract(epoch FROM till - first), 0))
FROM seen, LATERAL (SELECT sum(extract(epoch FROM upper(r) - lower(r))) AS alive_s FROM unnest(alive) AS r) AS added
"""
ANSWERS = """
SELECT sum(total_ms)::numeric / nullif(sum(requests), 0) FROM request_minutes
WHERE minute > clock_timestamp() - %(hours)s * interval '1 hour'
"""
# Paper and live: from our decision to the exchange's answer.
EXECUTION = """
SELECT avg(extract(epoch FROM e.recorded_at - o.recorded_at))
FROM order_sends s JOIN orders o ON o.id = s.order_pk AND o.mode IN ('paper', 'live')
JOIN exchange_accounts a ON a.id = o.account_id AND NOT a.is_hidden
JOIN order_events e ON e.order_pk = o.id AND e.from_status = 'submitting' AND e.to_status <> 'unknown'
WHERE s.claimed_at > clock_timestamp() - %(hours)s * interval '1 hour' AND s.send_no = 1
"""
ERRORS = """
SELECT 100.0 * (coalesce(a.errors, 0) + c.failed) / nullif(coalesce(a.requests, 0) + c.ended, 0)
FROM (SELECT sum(errors) AS errors, sum(requests) AS requests FROM request_minutes
      WHERE minute > clock_timestamp() - %(hours)s * interval '1 hour') a,
     (SELECT count(*) FILTER (WHERE t.status IN ('failed', 'missed')) AS failed, count(*) FILTER (WHERE t.status <> 'running') AS ended
      FROM cycles t JOIN exchange_accounts x ON x.id = t.account_id AND NOT x.is_hidden
      WHERE t.recorded_at > clock_timestamp() - %(hours)s * interval '1 hour') c
"""
DELAY = """
SELECT avg(extract(epoch FROM d.sent_at - greatest(n.created_at, coalesce(d.not_before, n.created_at))))
FROM notification_deliveries d JOIN notifications n ON n.id = d.notification_id
WHERE d.state = 'sent' AND d.sent_at > clock_timestamp() - %(hours)s * interval '1 hour'
"""


@dataclass(frozen=True)
class Target:
    """What is aimed at. at_least: values under the limit miss it; otherwise values over it do."""

    key: str
    name: str | Promise
    limit: float
    unit: str
    at_least: bool
    statement: str
    places: int

    def is_met(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def limit_text(self) -> str:
        """As it stands beside the value."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"


TARGETS = (
    Target("uptime", _("uptime of the worst process"), 99.5, "%", True, UPTIME, 3),
    Target("answer", _("mean answer of pages and API"), 200.0, "ms", False, ANSWERS, 0),
    Target("execution", _("mean execution of an order"), 1.0, "s", False, EXECUTION, 3),
    Target("errors", _("errors among answers and cycles"), 0.1, "%", False, ERRORS, 3),
    Target("notification", _("mean delay of a notification"), 5.0, "s", False, DELAY, 2),
)


@dataclass(frozen=True)
class Measured:
    """One target with its value in each window; None is unknown."""

    target: Target
    values: dict[str, float | None]

    def shown(self) -> list[dict[str, Any]]:
        """Each window with its value in words and whether the target is met."""
        return [
            {
                "window": window,
                "text": "–" if value is None else f"{value:.{self.target.places}f} {self.target.unit}",
                "is_met": None if value is None else self.target.is_met(value),
            }
            for window, value in self.values.items()
        ]


def measure() -> list[Measured]:
    """Every target in every window, now."""
    return [Measured(target, {window: _ask(target, hours) for window, hours in WINDOWS_H.items()}) for target in TARGETS]


class _Kept:
    """An answer that is asked for anew after a minute: a month of cycles is not counted for each look at the page."""

    def __init__(self, make: Callable[[], list[Measured]]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made_at, self._answer = float("-inf"), list[Measured]()

    def __call__(self) -> list[Measured]:
        with self._lock:
            if time.monotonic() - self._made_at > KEPT_S:
                self._answer, self._made_at = self._make(), time.monotonic()
            return self._answer

    def forget(self) -> None:
        self._made_at = float("-inf")


measured = _Kept(measure)


def _ask(target: Target, hours: int) -> float | None:
    with connection.cursor() as cursor:
        cursor.execute(target.statement, {"hours": hours, "processes": [program.name for program in programs("", 0)]})
        (value,) = cursor.fetchone()
    return None if value is None else float(value)
