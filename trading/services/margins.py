"""Leverage of derivatives: what an entry asks for, what the exchange has confirmed, and whether liquidation lies beyond the stop.

    plan: leverage, entry, stop, maintenance ──▶ the gateway has it confirmed (prepare) ──▶ claim: confirmed? ≤ limit? liquidation
    pinned to the order                          before the claim, outside every transaction       beyond the stop?

A leverage that was not confirmed is unknown and sends nothing (W-64).
"""

import logging
from decimal import Decimal

from django.db import connection

from dgbot.base.fields import ClockTimestamp
from dgbot.core.errors import ExchangeError, ExchangeUnavailable
from dgbot.core.money import parse_decimal
from dgbot.core.protocols import Exchange
from dgbot.core.types import Purpose
from risk.domain import exposure
from trading.domain.lifecycle import Status
from trading.models import MarginSetting, Order

log = logging.getLogger(__name__)

GOOD_FOR_S = 60.0  # of a confirmation: it is asked for right before the claim, and again for every entry

ASK = """
SELECT leverage FROM margin_settings
WHERE account_id = %s AND symbol = %s AND asked_at > clock_timestamp() - %s * interval '1 second'
"""


def maintenance(exchange: Exchange, symbol: str, *, notional: Decimal) -> Decimal | None:
    """Fraction of a position of `notional` that must stay as margin; None when the exchange does not tell."""
    try:
        return exposure.maintenance_rate(exchange.margin_tiers(symbol), notional=notional)
    except ExchangeUnavailable as error:
        log.warning("symbol=%s maintenance unknown: %s", symbol, error)
        return None


def confirm_planned(account_id: int, *, exchange: Exchange) -> None:
    """Have the exchange set and confirm the leverage of every symbol in which an entry waits to be sent. Outside any transaction."""
    waiting = Order.objects.filter(account_id=account_id, status=Status.PLANNED.value, purpose=Purpose.ENTRY.value)
    wanted = dict(waiting.exclude(plan__margin=None).order_by("pk").values_list("symbol", "plan__margin__leverage"))
    for symbol, leverage in wanted.items():
        _confirm(account_id, symbol, leverage=parse_decimal(leverage, name="leverage"), exchange=exchange)


def confirmed(account_id: int, symbol: str) -> Decimal | None:
    """The leverage the exchange has just confirmed; None when it has not."""
    with connection.cursor() as cursor:
        cursor.execute(ASK, [account_id, symbol, GOOD_FOR_S])
        row = cursor.fetchone()
    return None if row is None else row[0]


def _confirm(account_id: int, symbol: str, *, leverage: Decimal, exchange: Exchange) -> None:
    told: Decimal | None = None
    cause = ""
    try:
        state = exchange.prepare(symbol, leverage=leverage)
        told, cause = (None, "the exchange lends nothing") if state is None else (state.leverage, "")
    except ExchangeError as error:
        log.warning("account=%s symbol=%s leverage not confirmed: %s", account_id, symbol, error)
        cause = str(error)
    row = MarginSetting(account_id=account_id, symbol=symbol, leverage=told, cause=cause, asked_at=ClockTimestamp())
    columns = ["leverage", "cause", "asked_at"]
    MarginSetting.objects.bulk_create([row], update_conflicts=True, unique_fields=["account", "symbol"], update_fields=columns)
