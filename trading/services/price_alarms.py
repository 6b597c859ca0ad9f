"""Whether a market's price is known to the guardian. It raises, repeats and lifts the alarm; gateway and cycles ask."""

from django.db import connection

from trading.models import PriceAlarm

GOOD_FOR_S = 30.0  # an alarm its guardian does not repeat any more: that the guardian is silent is another alarm

RAISE = """
INSERT INTO price_alarms (exchange, symbol, message, since, told_at)
VALUES (%s, %s, %s, clock_timestamp() - %s * interval '1 second', clock_timestamp())
ON CONFLICT (exchange, symbol) DO UPDATE SET message = EXCLUDED.message, told_at = EXCLUDED.told_at
"""
ASK = """
SELECT message FROM price_alarms
WHERE exchange = %s AND symbol = %s AND told_at > clock_timestamp() - %s * interval '1 second'
"""


def put(*, exchange: str, symbol: str, message: str, age_s: float) -> None:
    """Raise or repeat it. age_s: since the last known price."""
    with connection.cursor() as cursor:
        cursor.execute(RAISE, [exchange, symbol, message, age_s])


def lift(*, exchange: str, symbol: str) -> None:
    """The price is known again."""
    PriceAlarm.objects.filter(exchange=exchange, symbol=symbol).delete()


def why_no_entries(*, exchange: str, symbol: str) -> str:
    """The alarm's sentence without its full stop, or an empty text."""
    with connection.cursor() as cursor:
        cursor.execute(ASK, [exchange, symbol, GOOD_FOR_S])
        row = cursor.fetchone()
    return "" if row is None else str(row[0])
