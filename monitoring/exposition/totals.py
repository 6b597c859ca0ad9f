"""Counters over append-only rows: a stored total up to a mark, and the few rows after it counted anew.

A row may become visible after one with a higher id, when its transaction takes longer. So a mark moves to an id only ten minutes after
that id was seen as the highest: what was on its way then has arrived. Restarts lose nothing, processes need not know of each other, and
rows that are deleted later stay counted.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

LAG_S = 600
END = 2**63 - 1
TRIES = 5
LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Key = tuple[str, tuple[tuple[str, str], ...]]  # metric, labels in their order
Totals = dict[Key, Decimal]


@dataclass(frozen=True)
class Source:
    """One table. rows: metric, labels, value of each row with %(after)s < id ≤ %(upto)s. highest: the id up to which rows are final."""

    name: str
    rows: str
    highest: str = ""


SHOWN = "JOIN exchange_accounts a ON a.id = t.account_id AND NOT a.is_hidden"
WITHIN = "t.id > %(after)s AND t.id <= %(upto)s"

TRADES = f"""
SELECT m.metric, jsonb_build_object('side', t.side, 'mode', t.mode) AS labels, m.value FROM trades t {SHOWN}
CROSS JOIN LATERAL (VALUES ('trades_total', 1::numeric),
    ('trade_volume_krw_total', CASE WHEN a.quote_currency = 'KRW' THEN t.total END),
    ('trade_fee_krw_total', CASE WHEN t.fee_currency = 'KRW' THEN t.fee END)) AS m (metric, value)
WHERE {WITHIN} AND m.value IS NOT NULL
"""  # noqa: S608  the parts are constants of this module, here and below
DECISIONS = f"""
SELECT 'ai_decisions_total', jsonb_build_object('symbol', t.symbol, 'decision', t.decision, 'mode', t.mode), 1::numeric
FROM ai_decisions t {SHOWN} WHERE {WITHIN}
UNION ALL
SELECT 'ai_validation_failures_total', jsonb_build_object('rule', rule, 'mode', t.mode), 1
FROM ai_decisions t {SHOWN} CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(t.verdict -> 'stopped_by', '[]')) AS rule WHERE {WITHIN}
"""  # noqa: S608
BREAKERS = f"""
SELECT 'risk_circuit_breaker_triggers_total', jsonb_build_object('code', t.code, 'mode', a.mode), 1::numeric
FROM risk_events t {SHOWN} WHERE {WITHIN} AND t.actor = 'breaker'
"""  # noqa: S608
KILL_SWITCHES = f"""
SELECT 'risk_kill_switch_trips_total', jsonb_build_object('scope', t.scope, 'code', t.code), 1::numeric
FROM kill_switch_changes t WHERE {WITHIN} AND t.code <> ''
"""  # noqa: S608
CYCLES = f"""
SELECT CASE WHEN t.status = 'done' THEN 'scheduler_job_success_total' ELSE 'scheduler_job_failure_total' END,
       jsonb_build_object('job_name', 'trading_cycle'), 1::numeric
FROM cycles t {SHOWN} WHERE {WITHIN} AND t.status IN ('done', 'failed', 'missed')
UNION ALL
SELECT 'scheduler_job_duration_seconds_sum', jsonb_build_object('job_name', 'trading_cycle'),
       extract(epoch FROM t.finished_at - t.recorded_at)
FROM cycles t {SHOWN} WHERE {WITHIN} AND t.status = 'done' AND t.finished_at IS NOT NULL
UNION ALL
SELECT 'bot_errors_total', jsonb_build_object('bot', t.bot_id), 1::numeric
FROM cycles t {SHOWN} WHERE {WITHIN} AND t.status = 'failed'
"""  # noqa: S608
# How long an order took: from our decision to what the exchange answered. Simulated and replay measure our own code alone.
MOVES = f"""
WITH moved AS (
    SELECT t.from_status, t.to_status, o.mode, o.exit_reason, extract(epoch FROM t.recorded_at - o.recorded_at) AS seconds
    FROM order_events t JOIN orders o ON o.id = t.order_pk JOIN exchange_accounts a ON a.id = o.account_id AND NOT a.is_hidden
    WHERE {WITHIN}
)
SELECT 'dgbot_order_moves_total', jsonb_build_object('to', to_status, 'mode', mode), 1::numeric FROM moved
UNION ALL
SELECT CASE WHEN exit_reason IN ('target', 'partial') THEN 'risk_take_profit_triggers_total' ELSE 'risk_stop_loss_triggers_total' END,
       jsonb_build_object('reason', exit_reason, 'mode', mode), 1
FROM moved WHERE to_status = 'filled' AND exit_reason IN ('target', 'partial', 'stop', 'trailing', 'liquidation')
UNION ALL
SELECT 'dgbot_order_latency_seconds_bucket', jsonb_build_object('le', le.text, 'mode', mode), 1
FROM moved CROSS JOIN unnest(%(buckets)s::text[]) AS le (text)
WHERE from_status = 'submitting' AND to_status <> 'unknown' AND seconds <= le.text::numeric
UNION ALL
SELECT m.metric, jsonb_build_object('mode', mode), m.value FROM moved
CROSS JOIN LATERAL (VALUES ('dgbot_order_latency_seconds_count', 1::numeric),
    ('dgbot_order_latency_seconds_sum', seconds)) AS m (metric, value)
WHERE from_status = 'submitting' AND to_status <> 'unknown'
"""  # noqa: S608
CALLS = f"""
SELECT m.metric, m.labels, m.value FROM analyst_calls t
CROSS JOIN LATERAL (VALUES
    ('dgbot_ai_calls_total', jsonb_build_object('model', t.model, 'status', t.status), 1::numeric),
    ('dgbot_ai_cost_usd_total', jsonb_build_object('model', t.model), coalesce(t.cost, t.reserved_cost)),
    ('dgbot_ai_latency_seconds_sum', jsonb_build_object('model', t.model), t.latency_ms / 1000.0),
    ('dgbot_ai_latency_seconds_count', jsonb_build_object('model', t.model), CASE WHEN t.latency_ms IS NOT NULL THEN 1 END)
) AS m (metric, labels, value)
WHERE {WITHIN} AND m.value IS NOT NULL
"""  # noqa: S608

SOURCES = (
    Source("trades", TRADES),
    Source("ai_decisions", DECISIONS),
    Source("risk_events", BREAKERS),
    Source("kill_switch_changes", KILL_SWITCHES),
    Source(  # one that still runs has not ended in any way yet
        "cycles",
        CYCLES,
        "SELECT least((SELECT max(id) FROM cycles), (SELECT min(id) - 1 FROM cycles WHERE status = 'running'))",
    ),
    Source("order_events", MOVES),
    Source(
        "analyst_calls",
        CALLS,
        "SELECT least((SELECT max(id) FROM analyst_calls), (SELECT min(id) - 1 FROM analyst_calls WHERE status = 'reserved'"
        " AND asked_at > clock_timestamp() - interval '5 minutes'))",
    ),
)


def read() -> Totals:
    """Every counter as it stands now, by metric and labels."""
    for _ in range(TRIES):
        marks = _marks()
        found = _read(marks)
        if found is not None:
            return found
    raise RuntimeError(f"marks moved {TRIES} times while counters were read")


def fold() -> int:
    """Add rows that have become final to the totals. Returns how many sources moved. Cheap to call often: each moves every ten minutes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT source FROM metric_marks WHERE seen_at >= clock_timestamp() - %s * interval '1 second'", [LAG_S])
        waiting = {source for (source,) in cursor.fetchall()}
    return sum(_fold(source) for source in SOURCES if source.name not in waiting)


def _marks() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT source, upto FROM metric_marks")
        return dict(cursor.fetchall())


def _read(marks: dict[str, int]) -> Totals | None:
    """Totals and the rows after the marks, in one statement; None when a mark moved before it."""
    parts = ["SELECT metric, labels, value FROM metric_totals", "SELECT '', jsonb_build_object(source, upto), 0 FROM metric_marks"]
    parameters: dict[str, Any] = {"buckets": [str(bucket) for bucket in LATENCY_BUCKETS_S]}
    for source in SOURCES:
        # Literals, not sub-selects: the planner must see that few rows follow the mark.
        parts.append(f"SELECT * FROM ({_bound_to(source)}) AS {source.name}")  # noqa: S608
        parameters |= {f"{source.name}_after": marks.get(source.name, 0), f"{source.name}_upto": END}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT metric, labels, sum(value) FROM ({' UNION ALL '.join(parts)}) AS all_of_them GROUP BY 1, 2", parameters)  # noqa: S608
        rows = [(metric, json.loads(labels) if isinstance(labels, str) else labels, value) for metric, labels, value in cursor.fetchall()]
    seen = {name: upto for metric, labels, _value in rows if metric == "" for name, upto in labels.items()}
    if seen != marks:
        return None
    return {(metric, tuple(sorted((k, str(v)) for k, v in labels.items()))): value for metric, labels, value in rows if metric}


def _bound_to(source: Source) -> str:
    return source.rows.replace("%(after)s", f"%({source.name}_after)s").replace("%(upto)s", f"%({source.name}_upto)s")


@transaction.atomic
def _fold(source: Source) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metric_marks (source, upto, seen, seen_at) VALUES (%s, 0, 0, '-infinity') ON CONFLICT DO NOTHING",
            [source.name],
        )
        cursor.execute(
            "SELECT upto, seen FROM metric_marks WHERE source = %s AND seen_at < clock_timestamp() - %s * interval '1 second'"
            " FOR UPDATE SKIP LOCKED",
            [source.name, LAG_S],
        )
        mark = cursor.fetchone()
        if mark is None:
            return False
        upto, seen = mark
        values = {"after": upto, "upto": seen, "buckets": [str(bucket) for bucket in LATENCY_BUCKETS_S]}
        cursor.execute(
            "INSERT INTO metric_totals (metric, labels, value)"  # noqa: S608
            f" SELECT metric, labels, sum(value) FROM ({source.rows}) AS rows (metric, labels, value) GROUP BY 1, 2"
            " ON CONFLICT (metric, labels) DO UPDATE SET value = metric_totals.value + EXCLUDED.value",
            values,
        )
        cursor.execute(source.highest or f"SELECT max(id) FROM {source.name}")  # noqa: S608
        (highest,) = cursor.fetchone()
        cursor.execute(
            "UPDATE metric_marks SET upto = %s, seen = greatest(%s, %s), seen_at = clock_timestamp() WHERE source = %s",
            [seen, seen, highest or 0, source.name],
        )
    return seen > upto
