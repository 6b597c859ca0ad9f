"""What a USDT is worth in KRW: Upbit's own market KRW-USDT, asked every 20 s by a job and kept as a row with its age.

    Upbit KRW-USDT ──ticker, every 20 s──▶ krw_rates ──younger than 2 min──▶ caps of entries, values of accounts
                                                     └─older or missing────▶ unknown: no entry in USDT

A rate that is not known is never guessed from an older one: DESIGN §8, "rate unknown → no entry".
"""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import connection

from dgbot.base.fields import ClockTimestamp
from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.money import plain
from dgbot.core.protocols import Quotes
from dgbot.core.types import Mode
from trading.models import ExchangeAccount, KrwRate

log = logging.getLogger(__name__)

MARKETS = {"USDT": "KRW-USDT"}  # by currency: where Upbit trades it for KRW
SOURCE = "upbit"
ASKED_EVERY_S = 20  # the first value of its schedule
GOOD_FOR_S = 120.0  # six questions missed; older than that a rate says nothing about the money at stake now

ASK = "SELECT krw_per_unit FROM krw_rates WHERE currency = %s AND recorded_at > clock_timestamp() - %s * interval '1 second'"


@dataclass(frozen=True)
class StoredRates:
    """Fulfils KrwRates from the rows the gateway keeps, for markets whose time is the machine's."""

    def krw_per(self, currency: str) -> Decimal | None:
        """See KrwRates. One statement and no network, so it may be asked inside a transaction."""
        if currency == "KRW":
            return Decimal(1)
        with connection.cursor() as cursor:
            cursor.execute(ASK, [currency, GOOD_FOR_S])
            row = cursor.fetchone()
        return None if row is None else row[0]


def refresh_wanted(*, quotes: Quotes) -> str:
    """Ask again for every currency that is needed, and say what came of it. A failed question changes nothing: the row grows old."""
    if not _is_anybody_real():
        return "no account at a real market needs a rate"
    told = []
    for currency in MARKETS:
        try:
            rate = refresh(currency, quotes=quotes)
        except ExchangeUnavailable as error:
            log.warning("currency=%s rate not refreshed: %s", currency, error)
            told.append(f"{currency} unknown: {error}")
        else:
            told.append(f"{currency} {plain(rate)} KRW")
    return ", ".join(told)


def refresh(currency: str, *, quotes: Quotes) -> Decimal:
    """Ask the market, keep what it says and answer it. Raises ExchangeUnavailable when it cannot tell."""
    symbol = MARKETS[currency]
    started = time.monotonic()
    ticker = quotes.ticker(symbol)
    row = KrwRate(
        currency=currency,
        krw_per_unit=ticker.price,
        source=f"{SOURCE} {symbol}",
        known_at=ticker.known_at,
        recorded_at=ClockTimestamp() - timedelta(seconds=time.monotonic() - started),
    )
    columns = ["krw_per_unit", "source", "known_at", "recorded_at"]
    KrwRate.objects.bulk_create([row], update_conflicts=True, unique_fields=["currency"], update_fields=columns)
    return ticker.price


def _is_anybody_real() -> bool:
    """Whether anybody's money is at, or valued at, a real market."""
    return ExchangeAccount.objects.exclude(mode__in=[Mode.REPLAY.value, Mode.SIMULATED.value]).exists()
