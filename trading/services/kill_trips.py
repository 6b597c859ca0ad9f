"""Rules that raise the kill switch of an account by themselves. The gateway looks after it has touched orders.

Losses have safe mode for a latch, and differences to the exchange their own; each blocks entries until it is ended. docs/decisions/0031.
"""

import json
from datetime import timedelta

from django.conf import settings
from django.db import connection

from dgbot.core.types import Mode
from risk import kill_switch
from risk.domain import trips
from risk.domain.trips import Facts
from risk.models import KillScope, KillSwitch
from trading.models import ExchangeAccount

GATEWAY, GUARDIAN = "gateway", "guardian"

# Only what happened since the switch was last changed counts: one that was lowered trips on new facts.
COUNTED = """
WITH since AS (
    SELECT coalesce((SELECT set_at FROM kill_switches WHERE scope = 'account' AND scope_id = %(account)s::text), '-infinity') AS at
),
moves AS (
    SELECT e.order_pk, e.from_status, e.to_status, e.recorded_at FROM order_events e JOIN orders o ON o.id = e.order_pk, since
    WHERE o.account_id = %(account)s AND (e.to_status = 'unknown' OR e.from_status IN ('absent', 'expired', 'failed'))
      AND e.recorded_at > greatest(since.at, clock_timestamp() - %(unknown_s)s * interval '1 second')
),
answers AS (
    SELECT s.result FROM order_sends s JOIN orders o ON o.id = s.order_pk, since
    WHERE o.account_id = %(account)s AND s.claimed_at > since.at AND s.result <> 'claimed'
    ORDER BY s.id DESC LIMIT %(answers)s
)
SELECT (SELECT count(DISTINCT order_pk) FROM moves WHERE to_status = 'unknown'),
       (SELECT count(*) FROM answers),
       (SELECT count(*) FROM answers WHERE result = 'rejected'),
       (SELECT array_agg(DISTINCT order_pk) FROM moves WHERE from_status IN ('absent', 'expired', 'failed')),
       (SELECT array_agg(s.order_pk) FROM order_sends s JOIN orders o ON o.id = s.order_pk, since
        WHERE o.account_id = %(account)s AND s.send_no = 1 AND s.answer @> '{"duplicate": true}'
          AND s.claimed_at > greatest(since.at, clock_timestamp() - %(unknown_s)s * interval '1 second')),
       (SELECT jsonb_object_agg(bot_id, sent) FROM (
            SELECT o.bot_id, count(*) AS sent FROM order_sends s JOIN orders o ON o.id = s.order_pk, since
            WHERE o.account_id = %(account)s AND o.purpose = 'entry' AND s.result <> 'not_sent'
              AND s.claimed_at > greatest(since.at, clock_timestamp() - %(rate_s)s * interval '1 second')
            GROUP BY o.bot_id) AS by_bot)
"""


def look(account: ExchangeAccount) -> None:
    """Hold an account's newest facts against the rules. Call outside any transaction: raising waits for the claims under way."""
    if KillSwitch.objects.filter(scope=KillScope.ACCOUNT, scope_id=str(account.pk), level__gt=0).exists():
        return
    facts = facts_of(account)
    for reason in trips.trips(facts, most_by_account=settings.ENTRIES_PER_MINUTE, most_by_bot=settings.BOT_ENTRIES_PER_MINUTE):
        kill_switch.trip(scope=KillScope.ACCOUNT, scope_id=account.pk, reason=reason, by=GATEWAY)


def facts_of(account: ExchangeAccount) -> Facts:
    """What this account has just seen. In recorded time an hour passes in a second, so nothing is too fast there."""
    with connection.cursor() as cursor:
        cursor.execute(
            COUNTED,
            {
                "account": account.pk,
                "unknown_s": trips.UNKNOWN_WINDOW_S,
                "answers": trips.ANSWERS_LOOKED_AT,
                "rate_s": trips.RATE_WINDOW_S,
            },
        )
        unknown, answers, rejected, resurrected, known_before, by_bot = cursor.fetchone()
    is_recorded = Mode(account.mode).is_recorded
    return Facts(
        unknown=unknown,
        answers=answers,
        rejected=rejected,
        resurrected=tuple(sorted(resurrected or ())),
        known_before=tuple(sorted(known_before or ())),
        sent_by_bot={} if is_recorded else {int(bot): count for bot, count in json.loads(by_bot or "{}").items()},
    )


def clock(*, exchange: str, offset: timedelta) -> bool:
    """Hold this machine's clock against an exchange's. Returns whether it tripped."""
    reason = trips.clock_trip(offset.total_seconds(), exchange=exchange)
    return reason is not None and kill_switch.trip(scope=KillScope.EXCHANGE, scope_id=exchange, reason=reason, by=GUARDIAN)


def stale(*, symbol: str, age_s: float) -> bool:
    """A market has been without a price for long. Returns whether it tripped."""
    reason = trips.stale_trip(age_s, symbol=symbol)
    return reason is not None and kill_switch.trip(scope=KillScope.MARKET, scope_id=symbol, reason=reason, by=GUARDIAN)
