"""Who protects each position, and for how many seconds nobody did: written by the guardian for what it watches itself.

A position is covered while its guardian looks and knows its price. It says so every few seconds in one statement for all; a longer
silence is counted, whatever caused it: a dead guardian, a lost database, a market without a price, a position not yet seen.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

TOLD_EVERY_S = 5.0
SILENT_AFTER_S = 10.0  # two of these missed; invariant 21: older than 10 s without cover is an alarm

END = """
UPDATE protective_stops s SET state = 'ended' FROM positions p
WHERE p.id = s.position_id AND s.state IN ('wanted', 'live') AND s.kept_by = 'local' AND p.closed_at IS NOT NULL
"""
REPLACE = """
UPDATE protective_stops s SET state = 'replaced' FROM positions p
WHERE p.id = s.position_id AND s.kept_by = 'local' AND s.state = 'live' AND p.id = ANY(%(watched)s)
  AND (s.trigger_price, s.covered_amount) IS DISTINCT FROM (coalesce(p.trailing_stop_price, p.stop_price), p.amount)
RETURNING s.position_id, s.covered_until
"""
# The first version counts from the first fill on, a later one from where the one before it was seen last. Those that are covered are
# taken away first: asked row by row, a thousand positions take a quarter of a second in which no price is looked at.
BEGIN = """
INSERT INTO protective_stops (position_id, bot_id, account_id, user_id, mode, version, kept_by, trigger_price, covered_amount, state,
                              client_id, exchange_stop_id, covered_until, naked_ms, error_message)
SELECT p.id, p.bot_id, p.account_id, p.user_id, p.mode, coalesce(last.version, 0) + 1, 'local',
       coalesce(p.trailing_stop_price, p.stop_price), p.amount, 'live', '', '', clock_timestamp(),
       greatest(0, 1000 * extract(epoch FROM clock_timestamp() - coalesce(last.covered_until, bought.at, clock_timestamp())))::bigint, ''
FROM positions p
LEFT JOIN LATERAL (SELECT version, covered_until FROM protective_stops WHERE position_id = p.id ORDER BY version DESC LIMIT 1) last ON TRUE
LEFT JOIN LATERAL (SELECT min(recorded_at) AS at FROM trades WHERE position_id = p.id) bought ON TRUE
WHERE p.closed_at IS NULL AND p.amount > 0 AND p.stop_price IS NOT NULL
  AND p.id = ANY(ARRAY(
      SELECT unnest(%(watched)s) EXCEPT SELECT position_id FROM protective_stops WHERE kept_by = 'local' AND state = 'live'))
ON CONFLICT DO NOTHING
"""
COVER = """
UPDATE protective_stops SET
    naked_ms = naked_ms + CASE WHEN clock_timestamp() - covered_until > %(silent_s)s * interval '1 second'
                               THEN (1000 * extract(epoch FROM clock_timestamp() - covered_until))::bigint ELSE 0 END,
    covered_until = clock_timestamp()
WHERE kept_by = 'local' AND state = 'live' AND position_id = ANY(%(watched)s)
"""
# The best protection counts: a stop at the exchange, read back every ten seconds, rests there while we sleep for a minute.
UNPROTECTED = """
WITH cover AS (
    SELECT p.id, coalesce((SELECT max(covered_until + CASE WHEN kept_by = 'exchange' THEN interval '50 s' ELSE interval '0' END)
                           FROM protective_stops WHERE position_id = p.id AND state = 'live'),
                          (SELECT min(recorded_at) FROM trades WHERE position_id = p.id)) AS until
    FROM positions p WHERE p.closed_at IS NULL AND p.amount > 0 AND p.mode <> 'replay'
)
SELECT id, extract(epoch FROM clock_timestamp() - until) FROM cover
WHERE until < clock_timestamp() - %(silent_s)s * interval '1 second' ORDER BY id
"""


def tell(watched: Collection[int]) -> None:
    """Note that these positions are watched now, with the stop and the amount their rows have."""
    values: Any = {"watched": sorted(watched), "silent_s": SILENT_AFTER_S}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(END)
        for statement in (REPLACE, BEGIN, COVER) if watched else ():
            cursor.execute(statement, values)


def unprotected() -> dict[int, Decimal]:
    """Open positions that nothing has covered for more than ten seconds, and for how many seconds already."""
    with connection.cursor() as cursor:
        cursor.execute(UNPROTECTED, {"silent_s": SILENT_AFTER_S})
        return dict(cursor.fetchall())
